"""Random rules and random packets: what netfw predicts of them, and what the kernel does."""
