"""A capture that tests and documentation share."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

CLIENT, SERVER = "198.51.100.7", "203.0.113.1"


def ether() -> Packet:
    """The header of a link between two hosts."""
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def handshake() -> list[Packet]:
    """The beginning of a connection, and what else came: ``capture.pcap`` in the documentation."""
    there, back = IP(src=CLIENT, dst=SERVER), IP(src=SERVER, dst=CLIENT)
    return [
        ether() / ARP(pdst=SERVER),
        ether() / there / TCP(sport=40000, dport=443, flags="S", seq=1),
        ether() / back / TCP(sport=443, dport=40000, flags="SA", seq=9, ack=2),
        ether() / there / TCP(sport=40000, dport=443, flags="A", seq=2, ack=10),
        ether() / there / UDP(sport=40000, dport=443),
    ]
