"""From what a host holds to what it shall hold: steps that can be taken, and what they change."""
