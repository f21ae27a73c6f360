"""A packet's way through netfilter: the order as documented, and the order as predicted."""
