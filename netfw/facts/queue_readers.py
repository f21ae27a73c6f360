"""Who reads the queues of NFQUEUE: /proc/net/netfilter/nfnetlink_queue.

seq_show in net/netfilter/nfnetlink_queue.c: queue, port id, packets that wait, …
"""

from __future__ import annotations

from netfw.errors import FactError


def parse_queue_readers(text: str) -> tuple[tuple[int, int], ...]:
    """Queue and port id of each; the port id is that of a netlink socket. Raises FactError for
    anything else."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            found.append((int(words[0]), int(words[1])))
        except (IndexError, ValueError):
            place = f"/proc/net/netfilter/nfnetlink_queue:{number}"
            raise FactError.at(place, "is not understood") from None
    return tuple(found)


def parse_netlink_sockets(text: str, protocol: int) -> dict[int, int]:
    """The inodes of a protocol's netlink sockets by port id: /proc/net/netlink (columns sk, Eth,
    Pid, …, Inode). Raises FactError for anything else."""
    found = {}
    for number, line in enumerate(text.splitlines()[1:], start=2):
        words = line.split()
        try:
            if int(words[1]) == protocol:
                found[int(words[2])] = int(words[9])
        except (IndexError, ValueError):
            raise FactError.at(f"/proc/net/netlink:{number}", "is not understood") from None
    return found
