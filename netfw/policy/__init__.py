"""The policy language: YAML text to typed data, with a place for every fault."""
