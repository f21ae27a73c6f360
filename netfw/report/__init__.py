"""Data types as text for people and for programs. Never touches the host."""
