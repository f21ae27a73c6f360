"""netfw: from a firewall policy to iptables rules that are proven and seen to work."""

__version__ = "0.1.0"
