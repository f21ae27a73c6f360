"""The sysctl that routing by mark needs cannot be written from inside."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings import rp_filter_ignores_mark
from netfw.doctor.host_state import HostState
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing
from netfw.doctor.steering import spot_of, steering_rules

CODE = "settings-read-only"
TITLE = "/proc/sys is read-only here, and routing by mark needs a sysctl that is 0"
EXPLANATION = """\
In most containers /proc/sys is mounted read-only. wg-quick and other VPN programs write
'net.ipv4.conf.all.src_valid_mark=1' when they come up: there they fail with 'Read-only file
system' and take the tunnel down again, or go on, and rp_filter drops the answers that come by it.

Whoever makes the container has to set it: 'docker run --sysctl
net.ipv4.conf.all.src_valid_mark=1', 'sysctls:' in a compose file, or the securityContext of a
pod.
"""
_SYSCTL = "net.ipv4.conf.all.src_valid_mark"


def find(state: HostState) -> Iterator[Finding]:
    """One finding for a host that needs src_valid_mark and cannot set it by itself."""
    if not state.settings_are_read_only or state.setting(_SYSCTL.replace(".", "/")) != 0:
        return
    dropped = next(rp_filter_ignores_mark.find(state), None)
    if dropped is not None:
        yield _finding(dropped.evidence[-1])
        return
    marked = {link.mark for link in state.links if link.kind == "wireguard" and link.mark}
    for one in steering_rules(state):
        mark = one.rule.mark
        if mark is not None and mark.value in marked:
            yield _finding(spot_of(one))
            return


def _finding(needs: Spot) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"/proc/sys is read-only here, so {_SYSCTL} stays 0 whatever is done inside, and {needs} "
        "needs it to be 1",
        (
            Spot(System.SYSCTL, None, "net.ipv4.conf.all", "src_valid_mark", text="read-only"),
            needs,
        ),
        "a program that sets it fails (wg-quick then takes its tunnel down), or answers to marked "
        "packets are dropped by rp_filter",
        (f"from outside: docker run --sysctl {_SYSCTL}=1 …, or sysctls: of the pod",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("a twin's settings can be written; see rp-filter-ignores-mark")
