"""A proof for people and as JSON: that rules and policy agree, or packets that show otherwise."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from netfw.ir.names import Family
from netfw.ir.protocols import TCP
from netfw.ir.ruleset import Ruleset
from netfw.policy.judge import Judgement
from netfw.policy.model import Policy
from netfw.prove.assertions import Broken
from netfw.prove.comparison import Difference
from netfw.prove.packet_of import Example
from netfw.prove.path import PathKind
from netfw.prove.prediction import judge_example, predict
from netfw.prove.proof import FamilyProof, PathSize, Proof
from netfw.report.explanation import explain
from netfw.report.glyphs import Glyphs
from netfw.traverse.notation import flags_text, usual_flags

_PATHS = {PathKind.IN: "to this host", PathKind.OUT: "from this host", PathKind.FORWARD: "through"}
_SHOWN_DIFFERENCES = 5
_SHOWN_PATHS = 12


def proof_lines(
    policy: Policy,
    rulesets: Mapping[Family, Ruleset],
    proof: Proof,
    glyphs: Glyphs,
    *,
    verbose: bool = False,
) -> Iterator[str]:
    """The whole report, the result in its last line."""
    for found in proof.families:
        yield from _family_lines(found, glyphs, verbose=verbose)
        for difference in found.differences[:_SHOWN_DIFFERENCES]:
            yield ""
            yield from _difference_lines(policy, rulesets[found.family], difference, glyphs)
        for broken in found.broken:
            yield ""
            yield from broken_lines(policy, broken)
        hidden = len(found.differences) - _SHOWN_DIFFERENCES
        if hidden > 0:
            yield f"  and {hidden} more kinds of difference"
    yield ""
    differ = any(found.differences for found in proof.families)
    failed = {each.assertion.origin for found in proof.families for each in found.broken}
    if differ:
        yield f"{glyphs.bad} the rules do not do what the policy says"
    elif not failed:
        yield f"{glyphs.good} proved: for every packet the rules do what the policy says"
    count = len(policy.assertions)
    if failed:
        do = "does" if len(failed) == 1 else "do"
        yield f"{glyphs.bad} {len(failed)} of {_assertions(count)} {do} not hold"
    elif count and not differ:
        holds = "1 assertion holds" if count == 1 else f"{count} assertions hold"
        yield f"{glyphs.good} {holds} for every packet described"


def _assertions(count: int) -> str:
    return "1 assertion" if count == 1 else f"{count} assertions"


def broken_lines(policy: Policy, broken: Broken) -> Iterator[str]:
    """An assertion that does not hold, with a packet that shows it."""
    origin = broken.assertion.origin
    yield f"{origin.where}: '{origin.text}' does not hold: {broken.family} {broken.kind.value}"
    yield f"  witness, one of {_power(broken.exponent)}: {example_text(broken.example)}"
    yield f"  the policy says: {judgement_text(judge_example(policy, broken.example))}"


def _family_lines(found: FamilyProof, glyphs: Glyphs, *, verbose: bool) -> Iterator[str]:
    sign = glyphs.bad if found.differences else glyphs.good
    yield (
        f"{sign} {found.family}: {found.rules} rules, {found.nodes} nodes, {found.seconds:.2f} s"
    )
    shown = found.paths if verbose else found.paths[:_SHOWN_PATHS]
    for path in shown:
        yield f"  {path_text(path, glyphs):<34} {_sizes_text(path)}"
    if len(shown) < len(found.paths):
        yield f"  and {len(found.paths) - len(shown)} more pairs of endpoints (-v shows them)"


def path_text(path: PathSize, glyphs: Glyphs) -> str:
    """Between what a packet passes, in words."""
    came_by, leaves_by = path.came_by or "this host", path.leaves_by or "this host"
    return f"{came_by} {glyphs.arrow} {leaves_by}"


def _sizes_text(path: PathSize) -> str:
    if path.allowed == path.denied == -math.inf:
        return "not covered"
    return f"allowed {_power(path.allowed)}, denied {_power(path.denied)} of {_power(path.all)}"


def _power(exponent: float) -> str:
    """A size as a power of two; exact where it is one."""
    if exponent == -math.inf:
        return "none"
    return f"2^{exponent:.0f}" if exponent == int(exponent) else f"2^{exponent:.1f}"


def _difference_lines(
    policy: Policy, ruleset: Ruleset, difference: Difference, glyphs: Glyphs
) -> Iterator[str]:
    example = difference.example
    yield (
        f"  {_PATHS[difference.kind]}: the policy says {difference.wanted}, "
        f"the rules say {difference.found}"
    )
    yield f"  witness, one of {_power(difference.exponent)}: {example_text(example)}"
    yield f"  policy: {judgement_text(judge_example(policy, example))}"
    yield "  rules:"
    traversal = predict(ruleset, example)
    for line in explain(ruleset, example.packet, traversal, glyphs):
        yield f"    {line}"


def example_text(example: Example) -> str:
    """A packet in the notation that ``netfw explain`` takes."""
    packet = example.packet
    text = str(packet)
    if packet.is_icmp:
        # the notation has the type behind the addresses
        text = text.replace(f" type {packet.icmp_type} ", " ", 1)
    if packet.in_interface:
        text += f" in {packet.in_interface}"
    if example.out_interface:
        text += f" out {example.out_interface}"
    if packet.is_icmp:
        text += f" type {packet.icmp_type}"
        text += f"/{packet.icmp_code}" if packet.icmp_code else ""
    if packet.protocol == TCP and packet.tcp_flags != usual_flags(example.state):
        text += f" flags {flags_text(packet.tcp_flags)}"
    if packet.mark:
        text += f" mark {packet.mark:#x}"
    if example.state.value != "NEW":
        text += f" state {example.state.value.lower()}"
    return text


def judgement_text(judgement: Judgement) -> str:
    """What the policy says of a packet, and where."""
    text = judgement.verdict.value
    if judgement.rejected:
        text = "rejected"
    rule = judgement.rule
    if rule is None:
        return f"{text}, by a default"
    return f"{text}, {rule.origin} {rule.origin.text}".rstrip()


def proof_json(proof: Proof) -> str:
    """The same as JSON; sizes are powers of two, null for none."""

    def size(exponent: float) -> float | None:
        return None if exponent == -math.inf else round(exponent, 3)

    def path_data(path: PathSize) -> dict[str, Any]:
        return {
            "path": path.kind.value,
            "in": path.came_by or None,
            "out": path.leaves_by or None,
            "all": size(path.all),
            "allowed": size(path.allowed),
            "denied": size(path.denied),
        }

    def difference_data(difference: Difference) -> dict[str, Any]:
        return {
            "path": difference.kind.value,
            "policy": difference.wanted,
            "rules": difference.found,
            "packets": size(difference.exponent),
            "witness": example_text(difference.example),
        }

    data = {
        "schema": 1,
        "proved": proof.holds,
        "families": [
            {
                "family": found.family.value,
                "rules": found.rules,
                "nodes": found.nodes,
                "seconds": round(found.seconds, 3),
                "paths": [path_data(path) for path in found.paths],
                "broken_assertions": [
                    {
                        "where": str(each.assertion.origin.where),
                        "assertion": each.assertion.origin.text,
                        "path": each.kind.value,
                        "found": each.found,
                        "witness": example_text(each.example),
                    }
                    for each in found.broken
                ],
                "differences": [difference_data(each) for each in found.differences],
            }
            for found in proof.families
        ],
    }
    return json.dumps(data, indent=1) + "\n"
