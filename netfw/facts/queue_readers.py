"""Who reads the queues of NFQUEUE: /proc/net/netfilter/nfnetlink_queue.

seq_show in net/netfilter/nfnetlink_queue.c: queue, port id, packets that wait, …
"""

from __future__ import annotations

from netfw.errors import FactError


def parse_queue_readers(text: str) -> tuple[tuple[int, int], ...]:
    """Queue and port id of each; the port id is mostly the number of the process. Raises FactError
    for anything else."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            found.append((int(words[0]), int(words[1])))
        except (IndexError, ValueError):
            place = f"/proc/net/netfilter/nfnetlink_queue:{number}"
            raise FactError.at(place, "is not understood") from None
    return tuple(found)
