"""Figures of speed and memory; ``make bench`` prints them. No test depends on them."""
