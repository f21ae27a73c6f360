"""The services of IPVS that are chosen by a mark: /proc/net/ip_vs.

ip_vs_info_seq_show in net/netfilter/ipvs/ip_vs_ctl.c: ``FWM  00000100 rr``.
"""

from __future__ import annotations

from netfw.errors import FactError


def parse_marked_services(text: str) -> tuple[int, ...]:
    """The marks, in the order of the file. Raises FactError for anything else."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words[:1] != ["FWM"]:
            continue
        try:
            found.append(int(words[1], 16))
        except (IndexError, ValueError):
            raise FactError.at(f"/proc/net/ip_vs:{number}", "is not understood") from None
    return tuple(found)
