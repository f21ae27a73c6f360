"""Sockets that put packets into a namespace, and that see them leave it.

Packets from outside are injected at the far end of a link: an AF_PACKET socket on the firewall
itself would bypass OUTPUT. Packets of the firewall's own go through raw sockets, which take the
way of every local packet (raw_send_hdrinc in net/ipv4/raw.c).
"""

from __future__ import annotations

import errno
import socket
import struct

from netfw.host.file_owner import file_owner
from netfw.host.namespace import Namespace
from netfw.host.netlink import dropped, set_receive_buffer
from netfw.ir.names import Family
from netfw.ir.net import format_address

ETH_P_ALL = 3
ETHER_TYPE = {Family.IPV4: b"\x08\x00", Family.IPV6: b"\x86\xdd"}
FAMILY_OF_TYPE = {kind: family for family, kind in ETHER_TYPE.items()}
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
_SO_BINDTODEVICE = 25
_SO_MARK = 36
_IPV6_HDRINCL = 36
_MAC = 6
"""Bytes of an Ethernet address."""
_BUFFER = 16 * 1024 * 1024
_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class FarEnd:
    """The far end of a cable: sends frames, and sees what arrives. Nothing answers there."""

    def __init__(self, namespace: Namespace, interface: str, mac: str, peer_mac: str) -> None:
        self._head = {
            family: bytes.fromhex((peer_mac + mac).replace(":", "")) + kind
            for family, kind in ETHER_TYPE.items()
        }

        def make() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            made.bind((interface, ETH_P_ALL))
            return made

        self._link = namespace.call(make)
        self._link.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        set_receive_buffer(self._link, _BUFFER)
        self._link.setblocking(False)

    def send(self, family: Family, packet: bytes, hardware: int | None = None) -> None:
        """Send a packet into the cable, from another hardware address (48 bits) if one is given;
        raises OSError."""
        head = self._head[family]
        if hardware is not None:
            head = head[:_MAC] + hardware.to_bytes(_MAC, "big") + head[2 * _MAC :]
        self._link.send(head + packet)

    def arrived(self) -> list[tuple[Family, bytes]]:
        """The IP packets that have come out of the cable since the last call."""
        packets: list[tuple[Family, bytes]] = []
        while True:
            try:
                frame = self._link.recv(65536)
            except BlockingIOError:
                return packets
            family = FAMILY_OF_TYPE.get(frame[12:14])
            if family is not None:
                packets.append((family, frame[14:]))

    @property
    def lost(self) -> int:
        """How many arrived packets found no room in the buffer and were never seen here."""
        return dropped(self._link)

    def close(self) -> None:
        """Give the socket back."""
        self._link.close()


class LocalSender:
    """Sends packets as a process of the namespace would, header included.

    ``interface`` binds the socket (SO_BINDTODEVICE). ``owner`` are user and group that it belongs
    to (``file_owner``). The kernel takes the header as it is, but for the IPv4 checksum and total
    length, which it computes, and an identification or source of 0, which it fills in (raw(7)).
    """

    def __init__(
        self,
        namespace: Namespace,
        family: Family,
        interface: str = "",
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        self._family = family

        def make() -> socket.socket:
            with file_owner(*owner):
                made = socket.socket(_AF[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
            if family is Family.IPV4:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            if interface:
                made.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, interface.encode())
            return made

        self._socket = namespace.call(make)
        self._mark = 0

    def send(self, packet: bytes, destination: int, mark: int = 0) -> bool:
        """Send a packet with a socket mark (32 bits).

        False where a rule of OUTPUT dropped it: the kernel then says EPERM to the sender.
        Raises OSError for everything else.
        """
        if mark != self._mark:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_MARK, struct.pack("=I", mark))
            self._mark = mark
        try:
            self._socket.sendto(packet, (format_address(self._family, destination), 0))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                return False
            raise
        return True

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
