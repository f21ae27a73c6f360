"""The names of targets: what ``-j`` may name besides a chain."""

from __future__ import annotations

_OWN = (
    "AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK "
    "IDLETIMER LED LOG MARK MASQUERADE MIRROR NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT "
    "REJECT SAME SECMARK SET SNAT SNPT SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG"
)
"""Extensions of iptables, those that are gone included (libxt_*, libipt_*, libip6t_*)."""
_ADDONS = (
    "ACCOUNT CHAOS DELUDE DHCPMAC DNETMAP ECHO IPMARK IPV4OPTSSTRIP LOGMARK PROTO RAWDNAT RAWSNAT "
    "STEAL SYSRQ TARPIT"
)
"""Extensions of xtables-addons."""
_OTHERS = "FLOWOFFLOAD FULLCONENAT IMQ NATTYPE NDPI NETFLOW ROUTE RTPENGINE RTPPROXY"
"""Extensions that some distributions and programs bring, and that need no option."""
STANDARD_TARGETS = frozenset({"ACCEPT", "DROP", "QUEUE", "RETURN"})
"""Verdicts; no chain can have such a name."""
TARGET_NAMES = STANDARD_TARGETS | frozenset(f"{_OWN} {_ADDONS} {_OTHERS}".split())


def may_be_target(name: str, *, has_options: bool) -> bool:
    """Whether a name can be that of a target: all are in capitals, and no chain takes options."""
    return name in TARGET_NAMES or (has_options and name.isupper())
