"""Where the kernel writes the packet log of a namespace: which logger, for each family.

Source: nf_log_proc_dostring in net/netfilter/nf_log.c. The sysctl is of the namespace alone; a
value that somebody else has set meanwhile is left alone when ours is taken back.
"""

from __future__ import annotations

from netfw.host.namespace import Namespace
from netfw.host.sysctl import read_settings, write_setting

_NAMES = ("net/netfilter/nf_log/2", "net/netfilter/nf_log/10")
"""For IPv4 and IPv6 (NFPROTO_*)."""
_OURS = "nfnetlink_log"
_NONE = "NONE"


def read_loggers(namespace: Namespace | None) -> tuple[str, str]:
    """The loggers of IPv4 and IPv6; ``NONE`` where there is none. Raises HostError."""
    found = read_settings(_NAMES, namespace)
    first, second = (found.get(name, _NONE) for name in _NAMES)
    return first, second


def restore_loggers(namespace: Namespace | None, before: tuple[str, str]) -> None:
    """Put back what was there before netlink became the logger; raises HostError."""
    found = read_settings(_NAMES, namespace)
    for name, value in zip(_NAMES, before, strict=True):
        if found.get(name) == _OURS and value != _OURS:
            write_setting(name, value, namespace)
