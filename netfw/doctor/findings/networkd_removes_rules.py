"""systemd-networkd takes away routing rules that somebody else made."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import Networkd, RoutingRule
from netfw.doctor.probing import NoProbing
from netfw.doctor.steering import spot_of

CODE = "networkd-removes-rules"
TITLE = "systemd-networkd will take away routing rules by mark that it did not make"
EXPLANATION = """\
systemd-networkd deletes routing rules that its own configuration does not have, when it starts
('systemctl restart systemd-networkd', an update of the package) and when an interface comes back.
Rules of the kernel stay; those of 'ip rule add', of VPN programs and of netfw go, and with them
the way of marked packets, until somebody adds them again.

Tell networkd to leave them alone ('ManageForeignRoutingPolicyRules=no'), or write the rules into
a .network file ('[RoutingPolicyRule]' with 'FirewallMark=').
"""
_SAFE = frozenset({2, 4})
"""RTPROT_KERNEL, and RTPROT_STATIC: what networkd itself makes (linux/rtnetlink.h)."""
_FILE = "/etc/systemd/networkd.conf.d/foreign-rules.conf"


def find(state: HostState) -> Iterator[Finding]:
    """One finding with all rules by mark that are somebody else's."""
    networkd = state.networkd
    if networkd is None or not networkd.manages_foreign_rules:
        return
    foreign = [
        one
        for one in state.routing_rules
        if one.rule.mark is not None and one.protocol not in _SAFE
    ]
    if foreign:
        yield _finding(networkd, foreign)


def _finding(networkd: Networkd, foreign: list[RoutingRule]) -> Finding:
    count = len(foreign)
    does = "runs" if networkd.is_running else "starts with this host"
    said = f" ({', '.join(networkd.files)})" if networkd.files else ""
    return Finding(
        CODE,
        Severity.WARNING,
        f"systemd-networkd {does} and manages foreign routing rules{said}, and {count} by mark "
        f"{'is' if count == 1 else 'are'} not its own: {spot_of(foreign[0])}",
        tuple(spot_of(one) for one in foreign),
        "at its next start these rules are gone, and marked packets take the default route",
        (
            f"mkdir -p {_FILE.rpartition('/')[0]}",
            f"printf '[Network]\\nManageForeignRoutingPolicyRules=no\\n' > {_FILE}",
        ),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("systemd-networkd is not in a twin, and it would have to start again")
