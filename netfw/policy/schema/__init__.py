"""The language as a JSON Schema, built from what the reader itself knows of it."""
