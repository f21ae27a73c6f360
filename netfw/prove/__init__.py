"""Sets of all packets there can be, and what rules and policies make of them."""
