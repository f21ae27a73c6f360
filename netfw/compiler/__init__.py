"""Policy to rulesets, as a tuple of passes with one file each."""
