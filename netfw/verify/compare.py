"""Three witnesses, step by step and mark by mark."""

from __future__ import annotations

from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.traverse.connection import UNKNOWN_PORT
from netfw.traverse.documented import Documented
from netfw.traverse.traversal import Addressing, End, Outcome, Step, Traversal
from netfw.verify.probe import Expected, Probe
from netfw.verify.result import Comparison, Difference, Result

_ENDED_BY_RULE = frozenset({End.DROPPED, End.REJECTED})


def compare(
    probe: Probe,
    documented: Documented,
    predicted: Traversal,
    observed: Traversal | None,
    *,
    lost: str = "",
    field: MarkField | None = None,
) -> Comparison:
    """Say whether the witnesses agree on a probe.

    ``observed`` is None where the trace never showed the packet. ``lost`` says that trace events
    were lost: then what does not agree is inconclusive. ``field`` is that of the policy, if the
    probe comes from one; then the marks must say what the policy says.
    """
    if observed is None:
        reason = lost or "the trace never showed this packet"
        return Comparison(probe, documented, predicted, None, Result.INCONCLUSIVE, reason=reason)
    if predicted.end is End.UNDECIDED:
        return Comparison(
            probe,
            documented,
            predicted,
            observed,
            Result.INCONCLUSIVE,
            reason=f"not predictable: {predicted.detail}",
        )
    differences = [*_steps(predicted, observed), *_ends(predicted, observed)]
    differences += _addresses(probe.packet.family, predicted, observed)
    differences += _order(documented, observed)
    if field is not None:
        differences += _policy(probe, observed, field)
    if not differences:
        return Comparison(probe, documented, predicted, observed, Result.AGREE)
    if lost or _is_cut_short(observed):
        reason = lost or "the trace of this packet breaks off, though the packet went on"
        return Comparison(
            probe,
            documented,
            predicted,
            observed,
            Result.INCONCLUSIVE,
            tuple(differences),
            reason,
        )
    return Comparison(probe, documented, predicted, observed, Result.DIFFER, tuple(differences))


def _steps(predicted: Traversal, observed: Traversal) -> list[Difference]:
    wanted, seen = predicted.steps, observed.steps
    if wanted == seen:
        return []
    if predicted.optional:
        wanted = _without_absent(wanted, seen, predicted.optional)
        if wanted == seen:
            return []
    for index, (left, right) in enumerate(zip(wanted, seen, strict=False)):
        if left != right:
            return [Difference(_how(left, right), index)]
    shorter = min(len(wanted), len(seen))
    if len(wanted) > len(seen):
        return [Difference(f"the kernel stopped before: {wanted[shorter]}", shorter)]
    return [Difference(f"the kernel went on, which was not predicted: {seen[shorter]}", shorter)]


def _how(left: Step, right: Step) -> str:
    if left[:4] != right[:4]:
        return f"predicted {left}, but the kernel says {right}"
    if left.outcome is not right.outcome:
        return f"outcome: predicted {left.outcome.value}, observed {right.outcome.value}"
    if left.mark_before != right.mark_before:
        return (
            f"mark before the step: predicted {left.mark_before:#x}, "
            f"observed {right.mark_before:#x}"
        )
    return f"mark after the step: predicted {left.mark_after:#x}, observed {right.mark_after:#x}"


def _without_absent(
    wanted: tuple[Step, ...], seen: tuple[Step, ...], optional: frozenset[int]
) -> tuple[Step, ...]:
    """Leave out the optional steps that did not happen."""
    kept: list[Step] = []
    for index, step in enumerate(wanted):
        absent = len(kept) >= len(seen) or seen[len(kept)] != step
        if index in optional and absent:
            continue
        kept.append(step)
    return tuple(kept)


def _ends(predicted: Traversal, observed: Traversal) -> list[Difference]:
    differences = []
    if predicted.end is not observed.end:
        differences.append(
            Difference(f"the packet's end: predicted {_end(predicted)}, observed {_end(observed)}")
        )
    elif predicted.end is End.SENT and predicted.detail != observed.detail:
        differences.append(
            Difference(f"predicted to leave by {predicted.detail}, observed at {observed.detail}")
        )
    if predicted.end is observed.end and predicted.mark != observed.mark:
        differences.append(
            Difference(
                f"the mark at the end: predicted {predicted.mark:#x}, observed {observed.mark:#x}"
            )
        )
    return differences


def _addresses(family: Family, predicted: Traversal, observed: Traversal) -> list[Difference]:
    """Addresses and ports where the packet was seen; one that chance picks may be any."""
    wanted, seen = predicted.final, observed.final
    if predicted.end is not observed.end or wanted is None or seen is None:
        return []
    if wanted.source_port == UNKNOWN_PORT:
        wanted = wanted._replace(source_port=seen.source_port)
    if wanted == seen:
        return []
    texts = (describe_ends(family, wanted), describe_ends(family, seen))
    return [Difference("the addresses at the end: predicted {}, observed {}".format(*texts))]


def describe_ends(family: Family, final: Addressing) -> str:
    """Addresses and ports in one line."""
    source, destination = (
        format_address(family, address) for address in (final.source, final.destination)
    )
    return f"{source} port {final.source_port} -> {destination} port {final.destination_port}"


def _end(traversal: Traversal) -> str:
    if traversal.detail:
        return f"{traversal.end.value} ({traversal.detail})"
    return traversal.end.value


def _order(documented: Documented, observed: Traversal) -> list[Difference]:
    """The documented stations must be those passed; a packet that ended early passed a part."""
    stations = observed.stations
    wanted = documented.stations
    if observed.end in _ENDED_BY_RULE or observed.end is End.STOPPED:
        wanted = wanted[: len(stations)]
    if stations == wanted:
        return []
    for index, (left, right) in enumerate(zip(wanted, stations, strict=False)):
        if left != right:
            return [
                Difference(
                    f"order: station {index + 1} is documented as {left}, "
                    f"the kernel passed {right}"
                )
            ]
    shorter = min(len(wanted), len(stations))
    if len(wanted) > shorter:
        return [Difference(f"order: the kernel never passed the documented {wanted[shorter]}")]
    return [Difference(f"order: the kernel passed {stations[shorter]}, which is not documented")]


def _policy(probe: Probe, observed: Traversal, field: MarkField) -> list[Difference]:
    """What became of the packet, and its bits, against what the policy says of it."""
    expected = probe.expected
    if expected is None:
        return []
    differences = []
    went_on = observed.end in (End.DELIVERED, End.SENT)
    if went_on is (expected is Expected.DENIED):
        differences.append(
            Difference(
                f"the policy says {expected.value}, but the packet was {observed.end.value}"
            )
        )
    wanted = {
        Expected.ACCEPTED: field.accepted,
        Expected.DENIED: field.denied,
        Expected.NOT_COVERED: field.undecided,
    }[expected]
    if went_on:
        differences += _steering(probe, observed)
    if not wanted.matches(observed.mark):
        differences.append(
            Difference(
                f"the policy says {expected.value}, which is mark {wanted}, "
                f"but the packet ended with {observed.mark:#x}"
            )
        )
    return differences


def _steering(probe: Probe, observed: Traversal) -> list[Difference]:
    """Where a packet went, and the marks that steer, against what the policy says."""
    differences = []
    if observed.end is End.SENT and probe.leaves_by not in ("", observed.detail):
        differences.append(
            Difference(
                f"the policy has it leave by {probe.leaves_by}, but it left by {observed.detail}"
            )
        )
    steered = probe.steered
    if steered is not None and not steered.matches(observed.mark):
        differences.append(
            Difference(
                f"the policy steers it by mark {steered}, but the packet ended with "
                f"{observed.mark:#x}"
            )
        )
    return differences


def _is_cut_short(observed: Traversal) -> bool:
    """Whether evidence outside the trace shows that its end is missing."""
    if observed.end not in (End.DELIVERED, End.SENT):
        return False
    last = observed.steps[-1] if observed.steps else None
    return last is None or last.outcome is not Outcome.ACCEPT
