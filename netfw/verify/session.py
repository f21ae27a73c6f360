"""One run: a ruleset on the stage, probes sent in waves, and what was seen compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from difflib import unified_diff

from netfw.errors import HostError
from netfw.facts.iptables_save import parse_ruleset
from netfw.host.backlog import Backlog
from netfw.host.clock import read_clock
from netfw.host.ipsets import restore_sets, save_sets
from netfw.host.iptables import restore, save
from netfw.host.legacy_tables import read_legacy
from netfw.host.nft_trace import base_chain_priorities, rule_handles
from netfw.host.sighting import Sighting
from netfw.host.trace import DEFAULT_BUFFER, TraceReader
from netfw.host.wait import wait_until
from netfw.ir.clock import Clock
from netfw.ir.mark_field import MarkField
from netfw.ir.match import HashlimitMatch, TimeMatch
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.ruleset import Ruleset
from netfw.render.restore import render_ruleset
from netfw.render.rule import render_rule
from netfw.traverse.documented import DOCUMENTED, Documented, documented_way
from netfw.traverse.evaluate_counted import FORESEEN
from netfw.traverse.evaluate_hidden import time_holds
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.set_lookup import known_sets
from netfw.traverse.situation import Path, Phase, Situation
from netfw.traverse.traversal import End, Outcome, Traversal
from netfw.traverse.walk import Walker, loaded_stations
from netfw.verify.compare import compare
from netfw.verify.instrument import with_all_stations, with_trace
from netfw.verify.layout import Layout
from netfw.verify.observe import Observer, has_shown
from netfw.verify.probe import Probe
from netfw.verify.progress import Progress
from netfw.verify.result import Difference, RulePlace, Run
from netfw.verify.sets_read_back import unlike_sets
from netfw.verify.stage import Stage

WAVE_SIZE = 2000
"""Packets under way at once: their trace events must fit the reader's buffer
(13 to 20 events each of up to 1,280 bytes; 64 MiB hold 100,000)."""
QUIET_SECONDS = 1.0
"""How long nothing must come before a wave counts as over although probes have not shown all
that was predicted. Where all have, nobody waits."""
_UNDER_WAY = 256
"""So many packets at most wait for the kernel at once; more might find no room."""
_PATIENCE = 30
"""Seconds in which even a busy machine takes up a packet."""
_ARRIVING = (End.SENT, End.DELIVERED)


@dataclass(frozen=True, slots=True)
class Task:
    """What one run is to show.

    ``ruleset`` is what is meant to be loaded; ``field`` is the policy's, where there is one.
    ``loaded`` overrides what is really loaded, and ``order`` the documented order: so tests can
    show that a difference is seen. ``lacking`` are tables that this kernel does not have.
    ``reachable`` are the rules that some packet can meet, where that is known.
    """

    subject: str
    backend: Backend
    family: Family
    ruleset: Ruleset
    layout: Layout
    probes: Sequence[Probe]
    field: MarkField | None = None
    notes: Sequence[str] = ()
    loaded: Ruleset | None = None
    order: Mapping[Path, str] = dataclass_field(default_factory=lambda: DOCUMENTED)
    lacking: frozenset[TableName] = frozenset()
    reachable: frozenset[RulePlace] = frozenset()
    trace_buffer: int = DEFAULT_BUFFER
    quiet_seconds: float = QUIET_SECONDS
    clock: Clock | None = None
    """When the probes were written: what is expected of them is for this time."""


def run_task(task: Task, progress: Progress) -> Run:
    """Do one run; what this host cannot do becomes part of the result and not an error."""
    run = Run(task.subject, task.backend.value, task.family, task.field)
    run.not_verified.extend(task.notes)
    run.reachable = task.reachable
    progress.started(f"{task.subject}, {task.backend.value} {task.family}", len(task.probes))
    try:
        _Session(task, run, progress).play()
    except HostError as error:
        run.missing = "; ".join(f"{fault.place}: {fault.problem}" for fault in error.faults)
    finally:
        progress.finished()
    return run


class _Session:
    """The parts of a run that hang together."""

    def __init__(self, task: Task, run: Run, progress: Progress) -> None:
        self.task, self.run, self.progress = task, run, progress
        self.wanted = with_all_stations(task.ruleset, task.lacking)
        self.loaded = loaded_stations(self.wanted)
        self.backlog = Backlog()
        self._documented: dict[Situation, Documented] = {}

    def play(self) -> None:
        """Set the stage, send everything, compare everything, and leave nothing behind."""
        task, times = self.task, self.run.times
        began = time.perf_counter()
        with ExitStack() as stack:
            stage = stack.enter_context(Stage(task.layout, task.family))
            really = with_all_stations(task.loaded or task.ruleset, task.lacking)
            text = render_ruleset(with_trace(really))
            restore_sets(stage.firewall, really.sets)
            restore(stage.firewall, task.backend, task.family, text)
            stage.keep_connections()
            read_back = self._read_back(stage)
            reader = stack.enter_context(
                TraceReader.open(stage.firewall, task.backend, task.trace_buffer)
            )
            handles = (
                rule_handles(stage.firewall, task.family) if task.backend is Backend.NFT else {}
            )
            observer = Observer(task.backend, task.family, read_back, handles)
            facts = replace(
                task.layout.facts(),
                security_priority=self._security_priority(stage),
                sets=known_sets(self.wanted.sets),
                clock=task.clock or read_clock(),
                counts_nothing_yet=True,
            )
            walker = Walker(self.wanted, facts)
            times.setup += time.perf_counter() - began
            for wave in _waves(task.probes):
                self._play_wave(stage, reader, observer, walker, wave)
            self._check_clock(facts.clock)
            self._check_pace(time.perf_counter() - began - times.setup)
            if reader.lost:
                self.run.inconclusive.append(reader.lost)
            if stage.lost:
                self.run.inconclusive.append(f"{stage.lost} packets arrived and were not seen")
            self.run.events = observer.events
            self.run.kernel_refinements = dict(reader.refinements)

    def _check_clock(self, began: Clock | None) -> None:
        """Whatever a rule asks of the time had one answer for the whole run."""
        if began is None:
            return
        ended = read_clock()
        for rule in self.wanted.rules():
            for match in rule.matches:
                if isinstance(match, TimeMatch) and (
                    time_holds(match, began) != time_holds(match, ended)
                ):
                    text = f"the time that a rule asks for began or ended: {rule.origin}"
                    self.run.inconclusive.append(text)

    def _check_pace(self, seconds: float) -> None:
        """Limits that were used up have not come back."""
        has_limits = any(
            isinstance(match, HashlimitMatch)
            for rule in self.wanted.rules()
            for match in rule.matches
        )
        if has_limits and seconds > FORESEEN:
            text = f"the run took {seconds:.0f} seconds, in which limits of rates come back"
            self.run.inconclusive.append(text)

    def _security_priority(self, stage: Stage) -> int:
        if self.task.backend is Backend.LEGACY:
            return SECURITY_PRIORITY
        priorities = base_chain_priorities(stage.firewall, self.task.family)
        return next(
            (
                priority
                for (table, _), priority in priorities.items()
                if table == TableName.SECURITY.value
            ),
            SECURITY_PRIORITY,
        )

    def _read_back(self, stage: Stage) -> Ruleset:
        """What the kernel now holds; where it is not what was meant, the run differs."""
        task = self.task
        if task.backend is Backend.LEGACY:
            text = read_legacy(stage.firewall, task.family)
        else:
            text = save(stage.firewall, task.backend, task.family)
        read_back = parse_ruleset(text, task.family, f"{task.backend} {task.family}")
        wanted, found = render_ruleset(with_trace(self.wanted)), render_ruleset(read_back)
        for line in _unlike(wanted, found):
            self.run.differences.append(Difference(f"rules read back from the kernel: {line}"))
        if self.wanted.sets:
            for line in unlike_sets(self.wanted.sets, save_sets(stage.firewall)):
                self.run.differences.append(Difference(f"sets read back from the kernel: {line}"))
        for table in self.wanted.tables:
            for chain in table.chains:
                for number, rule in enumerate(chain.rules, start=1):
                    place = (table.name.value, chain.name, number)
                    self.run.texts[place] = render_rule(rule, task.family)
                    if rule.origin is not None:
                        self.run.origins[place] = rule.origin
        return read_back

    def _play_wave(
        self,
        stage: Stage,
        reader: TraceReader,
        observer: Observer,
        walker: Walker,
        wave: Sequence[Probe],
    ) -> None:
        times, clock = self.run.times, time.perf_counter
        began = clock()
        frames = [stage.build(probe) for probe in wave]
        built = clock()
        for number, (probe, frame) in enumerate(zip(wave, frames, strict=True)):
            if number % _UNDER_WAY == 0:
                wait_until(lambda: self.backlog.waiting < _UNDER_WAY, _PATIENCE)
            try:
                stage.send(probe, frame)
            except OSError as error:
                self.run.inconclusive.append(f"{probe.what}: could not be sent: {error}")
        injected = clock()
        predictions = [walker.walk(probe.packet) for probe in wave]
        walked = clock()
        sightings = self._collect(stage, reader, observer, wave, predictions)
        traced = clock()
        lost = reader.lost or (f"{stage.lost} packets were not seen" if stage.lost else "")
        lost = lost or self.backlog.lost
        for probe, predicted in zip(wave, predictions, strict=True):
            observed = _observed(observer, probe, sightings.get(probe.number))
            if observed is not None:
                self.run.seen.update(
                    (step.table.value, step.chain, step.rule)
                    for step in observed.steps
                    if step.rule
                )
            self.run.comparisons.append(
                compare(
                    probe,
                    self._documented_for(probe, walker),
                    predicted,
                    observed,
                    lost=lost,
                    field=self.task.field,
                )
            )
        times.build += built - began
        times.inject += injected - built
        times.walk += walked - injected
        times.trace += traced - walked
        times.compare += clock() - traced
        self.progress.advanced(len(wave))

    def _collect(
        self,
        stage: Stage,
        reader: TraceReader,
        observer: Observer,
        wave: Sequence[Probe],
        predictions: Sequence[Traversal],
    ) -> dict[int, Sighting]:
        """Read until every probe has shown as much as was predicted, or until nothing more comes.

        A probe that shows more or less than that is given the time to do so, and as long as
        packets wait for the kernel something may come.
        """
        sightings: dict[int, Sighting] = {}
        open_probes = {
            probe.number: predicted for probe, predicted in zip(wave, predictions, strict=True)
        }
        while open_probes:
            events = reader.read(self.task.quiet_seconds)
            observer.add(events)
            sightings |= stage.sightings()
            if not events:
                if not self.backlog.waiting:
                    break
                if wait_until(lambda: not self.backlog.waiting, _PATIENCE):
                    continue
                text = f"packets wait for the kernel, and it has not come to them in {_PATIENCE} s"
                self.run.inconclusive.append(text)
                break
            for number, predicted in list(open_probes.items()):
                must_arrive = predicted.end in _ARRIVING
                if has_shown(observer.shown(number), predicted) and (
                    number in sightings or not must_arrive
                ):
                    del open_probes[number]
        observer.add(reader.read())
        sightings |= stage.sightings()
        return sightings

    def _documented_for(self, probe: Probe, walker: Walker) -> Documented:
        conntrack = walker.conntrack_is_on
        phase = probe.phase if conntrack else Phase.NO_CONNTRACK
        situation = Situation(
            self.task.family,
            probe.path,
            phase,
            conntrack,
            self.loaded,
            walker.facts.security_priority,
        )
        known = self._documented.get(situation)
        if known is None:
            known = documented_way(situation, self.task.order)
            self._documented[situation] = known
        return known


def _observed(observer: Observer, probe: Probe, sighting: Sighting | None) -> Traversal | None:
    """Trace and sighting together: the third witness."""
    steps = observer.steps(probe.number)
    if steps is None:
        return None
    mark = steps[-1].mark_after if steps else 0
    if sighting is not None:
        end = End.SENT if sighting.interface else End.DELIVERED
        mark = mark if sighting.mark is None else sighting.mark
        return Traversal(steps, end, sighting.interface, mark, sighting.addressing)
    last = steps[-1].outcome if steps else Outcome.CONTINUE
    if last is Outcome.DROP:
        return Traversal(steps, End.DROPPED, "", mark)
    if last is Outcome.REJECT:
        return Traversal(steps, End.REJECTED, "", mark)
    return Traversal(steps, End.STOPPED, "seen nowhere behind the last step", mark)


def _waves(probes: Sequence[Probe]) -> Iterator[list[Probe]]:
    """The probes by wave, in pieces that the reader's buffer holds."""
    for number in sorted({probe.wave for probe in probes}):
        wave = [probe for probe in probes if probe.wave == number]
        for start in range(0, len(wave), WAVE_SIZE):
            yield wave[start : start + WAVE_SIZE]


def _unlike(wanted: str, found: str) -> list[str]:
    """The lines that only one of two rulesets has, whatever the order of tables and chains."""
    left, right = _by_table(wanted), _by_table(found)
    lines = []
    for table in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(table, []), right.get(table, [])
        if _chains_apart(ours) != _chains_apart(theirs):
            lines += [
                line
                for line in unified_diff(ours, theirs, lineterm="", n=0)
                if not line.startswith(("---", "+++", "@@"))
            ] or [f"table {table[1:]}: the order of rules differs"]
    return lines


def _by_table(text: str) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("*"):
            lines = tables.setdefault(line, [])
        elif line and not line.startswith("#") and line != "COMMIT":
            lines.append(line)
    return tables


def _chains_apart(lines: list[str]) -> dict[str, list[str]]:
    """Rules by chain: their order counts inside a chain, and the chains' order does not."""
    chains: dict[str, list[str]] = {}
    for line in lines:
        name = line.split(" ", 2)[0 if line.startswith(":") else 1].lstrip(":")
        chains.setdefault(name, []).append(line)
    return chains
