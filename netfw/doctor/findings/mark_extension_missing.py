"""The kernel lacks what a rule would need that sets a mark somebody asks for."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings.mark_never_set import Unset, unset_marks
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing

CODE = "mark-extension-missing"
TITLE = "the kernel cannot set the mark that is asked for: it was built without the extension"
EXPLANATION = """\
'iptables: unknown option "--set-mark"', "Couldn't load match `mark'" or 'No chain/target/match by
that name' come from a kernel that was built without CONFIG_NETFILTER_XT_MARK (or
..._XT_CONNMARK, CONFIG_NF_CONNTRACK_MARK). The rule is not there, and a script that does not look
at the exit code goes on: routing rules and others ask for a mark that nobody can set.

Use a kernel with these options (a module may have to be installed), or set the mark with native
nftables ('meta mark set'), which does not need them.
"""
_NEEDED = {
    Word.PACKET: ("NETFILTER_XT_MARK",),
    Word.CONNECTION: ("NETFILTER_XT_CONNMARK", "NF_CONNTRACK_MARK"),
}


def find(state: HostState) -> Iterator[Finding]:
    """One finding for each mark that is asked for, that nothing sets, and whose rules could not
    be loaded."""
    if not state.kernel_lacks:
        return
    seen: set[Word] = set()
    for one in unset_marks(state):
        lacking = [name for name in _NEEDED[one.test.word] if name in state.kernel_lacks]
        if lacking and one.test.word not in seen:
            seen.add(one.test.word)
            yield _finding(one, lacking)


def _finding(one: Unset, lacking: list[str]) -> Finding:
    names = " and ".join(f"CONFIG_{name}" for name in lacking)
    return Finding(
        CODE,
        Severity.WARNING,
        f"{one.reader.spot} asks for {one.test.word} {one.test}, nothing sets it, and this kernel "
        f"was built without {names}",
        (one.reader.spot, Spot(System.SYSCTL, None, "kernel", text=f"without {names}")),
        "rules of iptables that would set it cannot be loaded; packets come by unmarked",
        ("use a kernel with these options, or set the mark with native nftables",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("a rule that cannot be loaded cannot be in a twin; see mark-never-set")
