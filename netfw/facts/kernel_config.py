"""What a kernel was built without, of what rules about marks need: its configuration.

The text of /proc/config.gz or /boot/config-RELEASE: ``CONFIG_NAME=y`` (or m), and
``# CONFIG_NAME is not set``.
"""

from __future__ import annotations

MARK_OPTIONS = ("NETFILTER_XT_MARK", "NETFILTER_XT_CONNMARK", "NF_CONNTRACK_MARK")
"""iptables' MARK and mark, CONNMARK and connmark, and the connection mark itself."""


def missing_options(text: str) -> frozenset[str]:
    """Those of MARK_OPTIONS that the configuration leaves out; one that it does not name at all
    is left out as well, if it is a configuration (some other option is in it)."""
    lines = set(text.splitlines())
    if not any(line.startswith("CONFIG_") for line in lines):
        return frozenset()
    return frozenset(
        name for name in MARK_OPTIONS if not lines & {f"CONFIG_{name}=y", f"CONFIG_{name}=m"}
    )
