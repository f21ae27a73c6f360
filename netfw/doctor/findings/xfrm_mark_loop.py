"""The mark of an encrypted packet stays when it is decrypted, and a policy asks for it."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, conditions_of
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import TransformMark
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.probing import NoProbing
from netfw.ir.match import ProtocolMatch

CODE = "xfrm-mark-loop"
TITLE = "encrypted packets are marked for an IPsec policy, and keep the mark when decrypted"
EXPLANATION = """\
A packet of ESP that is decrypted on this host comes by PREROUTING again as what was inside, with
the mark of the outer packet. Where a rule marks ESP as it comes in, and a policy of IPsec asks
for that mark, the clear packet meets the policy again: it is encrypted once more, sent back, or
dropped.

Mark by the interface of the tunnel (VTI with its own key, or an xfrm interface), or take the mark
off behind the decryption: '-m policy --dir in --pol ipsec -j MARK --set-xmark 0x0/MASK'.
"""
_ESP, _AH = 50, 51


def find(state: HostState) -> Iterator[Finding]:
    """Each rule that marks ESP or AH on entry with the mark of a policy."""
    policies = [one for one in state.transforms if one.kind == "policy" and one.mark is not None]
    if not policies:
        return
    for writer in state.writers(Word.PACKET):
        if writer.spot.system not in RULES or not _is_for_encrypted(writer):
            continue
        policy = next((one for one in policies if _gives(writer, one)), None)
        if policy is not None and policy.mark is not None:
            yield _finding(writer, policy, policy.mark.value & policy.mark.mask)


def _is_for_encrypted(use: MarkUse) -> bool:
    early = any(where.stage is Stage.PREROUTING for where in use.passages)
    return early and any(
        isinstance(one, ProtocolMatch) and one.number in (_ESP, _AH) and not one.negate
        for one in conditions_of(use)
    )


def _gives(use: MarkUse, policy: TransformMark) -> bool:
    """Whether packets have the policy's mark behind the writer."""
    mark = policy.mark
    if mark is None or not mark.value & mark.mask:
        return False
    return any(
        effect.word is Word.PACKET and effect.sets & mark.mask == mark.value & mark.mask
        for effect in use.effects
    )


def _finding(writer: MarkUse, policy: TransformMark, bits: int) -> Finding:
    spot = Spot(System.XFRM, None, policy.kind, text=policy.text)
    return Finding(
        CODE,
        Severity.WARNING,
        f"{writer.spot} gives encrypted packets mark {bits:#x}, which they keep when they are "
        f"decrypted, and {spot} asks for it",
        (writer.spot, spot),
        "the clear packet meets the policy again: encrypted once more, or dropped",
        (
            "iptables -t mangle -A PREROUTING -m policy --dir in --pol ipsec -j MARK --set-xmark "
            f"0x0/{bits:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("IPsec is not copied into a twin")
