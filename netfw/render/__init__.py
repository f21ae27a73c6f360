"""Data to text, byte for byte as iptables-save prints it."""
