"""What a host says, as data: pure parsers of commands' output."""
