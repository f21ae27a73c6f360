"""What a live host adds to the trace of a packet: routing, suspects, and why a packet is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netfw.errors import FactError, HostError
from netfw.host.drop_counters import MARTIANS, REASONS, read_counters, went_up
from netfw.host.live_facts import LiveFacts, read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_trace import interface_names
from netfw.host.outside_writers import read_outside_writers
from netfw.host.route_lookup import RouteAnswer, look_up_route
from netfw.host.trace_table import OUT, ROUTED
from netfw.ir.names import Family, Hook
from netfw.ir.net import format_address
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.observed import ObservedStep, RoutingSeen
from netfw.traverse.packet import Packet
from netfw.traverse.routing_tables import (
    REFUSING,
    Asked,
    RouteKind,
    TableRoute,
    TableRule,
)
from netfw.traverse.traversal import End, Outcome, Stop
from netfw.verify.timeline import Timeline

_TABLE_NAMES = {255: "local", 254: "main", 253: "default"}
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Gone:
    """Why a packet is gone, in words, and what shows it."""

    why: str
    evidence: tuple[str, ...]


class TraceContext:
    """A namespace as it was when the trace began; the counters are looked at again."""

    def __init__(self, namespace: LiveNamespace, *, has_legacy: bool) -> None:
        self._namespace = namespace
        self.interfaces = interface_names(namespace)
        self.facts: dict[Family, LiveFacts] = {}
        self.problems: list[str] = []
        for family in Family:
            try:
                self.facts[family] = read_facts(namespace, family)
            except (HostError, FactError) as error:
                self.problems.append(f"{family} routing cannot be read: {error.faults[0].problem}")
        self._writers = read_outside_writers(namespace, has_legacy=has_legacy)
        self._counters = read_counters(namespace)
        self._answers: dict[Asked, RouteAnswer] = {}

    @property
    def loopback(self) -> int:
        """The number of lo."""
        numbers = {name: number for number, name in self.interfaces.items()}
        return numbers.get(LOOPBACK, 0)

    def name(self, number: int) -> str:
        """An interface's name; empty for 0."""
        if not number:
            return ""
        if number not in self.interfaces:
            self.interfaces = interface_names(self._namespace)
        return self.interfaces.get(number, f"interface {number}")

    def suspects(self, came_by: str, step: ObservedStep | None, where: str) -> tuple[str, ...]:
        """Who may have written the mark behind a step, the likeliest first."""
        found = []
        writers = self._writers
        if step is not None and step.outcome is Outcome.QUEUE:
            owners = [f"queue {number}: {who}" for number, who in writers.queues.items()]
            said = ", ".join(owners) or "no process reads a queue now"
            found.append(f"the process behind NFQUEUE, which may set it with its verdict ({said})")
        if where == "the socket":
            found.append("the socket: SO_MARK of the process that sent it")
            found.append("the mark of what it answers: fwmark_reflect, tcp_fwmark_accept")
            return tuple(found)
        if where == "the first hook":
            if came_by in writers.tc:
                found.append(
                    f"a tc filter or its eBPF at {came_by} (tc filter show dev {came_by})"
                )
            found.append("what handed it to IP: a chain of netdev or bridge, a tunnel or xfrm")
            if came_by not in writers.tc:
                found.append(f"eBPF at {came_by} (bpftool net)")
            return tuple(found)
        if writers.tc:
            names = ", ".join(sorted(writers.tc))
            found.append(f"tc filters or eBPF at {names}")
        found.append("a rule that wrote it and did not match further on, or eBPF at a hook")
        return tuple(found)

    def routing(self, packet: Packet, way: Timeline, seen: RoutingSeen, point: str) -> RoutingSeen:
        """What routing did with the packet behind a point, and which rules it asked."""
        family = packet.family
        came_by = "" if point == OUT else packet.in_interface
        asked = Asked(family, packet.source, packet.destination, came_by, seen.mark)
        decision = self._decision(way, point)
        rule_text = route_text = ""
        reads_mark = False
        passed: list[str] = []
        facts = self.facts.get(family)
        if facts is not None:
            try:
                for rule in facts.tables.rules:
                    applies = rule.applies(asked)
                    if applies is False:
                        if rule.mark is not None:
                            passed.append(rule_words(rule))
                        continue
                    if applies is None:
                        raise Stop(
                            End.UNDECIDED, f"{rule_words(rule)} asks what is not known here"
                        )
                    route = facts.tables.answer_of(rule, asked)
                    if route is None:
                        continue
                    rule_text, route_text = rule_words(rule), route_words(route)
                    reads_mark = rule.mark is not None
                    break
                else:
                    route_text = "no route"
            except Stop as stop:
                rule_text = f"not known: {stop.detail}"
        answer = self._ask(asked)
        return RoutingSeen(
            seen.mark, decision, rule_text, route_text, reads_mark, tuple(passed), answer.text
        )

    def _decision(self, way: Timeline, point: str) -> str:
        behind = way.points[way.points.index(point) + 1 :] if point in way.points else []
        if point == ROUTED and Hook.INPUT in _hooks_of(way):
            return "to this host"
        if Hook.FORWARD in _hooks_of(way) or "forwarded" in behind or way.is_local:
            return f"out by {self.name(way.left_by)}" if way.left_by else ""
        if "delivered" in behind:
            return "to this host"
        return ""

    def _ask(self, asked: Asked) -> RouteAnswer:
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.clear()
        if asked not in self._answers:
            self._answers[asked] = self._ask_now(asked)
        return self._answers[asked]

    def _ask_now(self, asked: Asked) -> RouteAnswer:
        answer = look_up_route(self._namespace, asked, self.interfaces)
        if answer.error and MARTIANS in self._counters:
            # the kernel counts the question as if it were a packet
            self._counters[MARTIANS] += 1
        return answer

    def why_gone(self, packet: Packet | None, way: Timeline) -> Gone:
        """Why nothing more was seen of a packet that no rule dropped."""
        counters = read_counters(self._namespace)
        up = went_up(self._counters, counters)
        self._counters = counters
        evidence = [f"{name} went up by {count}: {REASONS[name]}" for name, count in up.items()]
        if packet is None:
            return Gone("its headers could not be read", tuple(evidence))
        family = packet.family
        last = way.points[-1] if way.points else ""
        if last not in (ROUTED, OUT):
            where = way.hook.value if way.hook is not None else "a hook"
            return Gone(f"in {where}, by nothing that the trace shows", tuple(evidence))
        came_by = packet.in_interface if last == ROUTED else ""
        asked = Asked(family, packet.source, packet.destination, came_by, way.mark)
        answer = self._ask_now(asked)
        evidence.append(f"the kernel, asked again for its route: {answer.text}")
        why = self._reason(packet, way, last, answer, up)
        return Gone(why, tuple(evidence))

    def _reason(
        self,
        packet: Packet,
        way: Timeline,
        point: str,
        answer: RouteAnswer,
        up: Mapping[str, int],
    ) -> str:
        family = packet.family
        facts = self.facts.get(family)
        if point == OUT:
            return "behind OUTPUT: no route with the mark that it has now"
        if facts is not None:
            known = facts.for_packet(packet)
            try:
                refused = known.refused_source(family, way.mark)
                if refused and ("TcpExt.IPReversePathFilter" in up or answer.error):
                    return refused + self._mark_of_reverse(packet, way, facts)
                route = known.route(family, packet.destination, way.mark)
            except Stop:
                route = None
            else:
                if route is None:
                    return f"no route to {format_address(family, packet.destination)}"
                if not route.is_local and not known.forwarding:
                    return f"forwarding is off for {packet.in_interface}"
                if not route.is_local and packet.ttl <= 1:
                    name = "TTL" if family is Family.IPV4 else "hop limit"
                    return f"its {name} of {packet.ttl} ran out here"
        if not answer.interface:
            return f"at routing: {answer.text}"
        return "between PREROUTING and the next hook, for a reason that nothing shows"

    def _mark_of_reverse(self, packet: Packet, way: Timeline, facts: LiveFacts) -> str:
        """What the mark has to do with the way back."""
        known = facts.for_packet(packet)
        back = Asked(packet.family, 0, packet.source, packet.in_interface, way.mark)
        with_mark: TableRoute | None
        try:
            with_mark = facts.tables.find(back)
        except Stop:
            return ""
        fits = with_mark is not None and with_mark.interface == packet.in_interface
        if not known.asks_mark and way.mark and fits:
            return (
                f"; with its mark {way.mark:#x} it would be {packet.in_interface}, "
                "but src_valid_mark is 0"
            )
        if known.asks_mark and way.mark:
            return f"; its mark {way.mark:#x} was asked (src_valid_mark is 1)"
        return ""


def _hooks_of(way: Timeline) -> set[Hook | None]:
    return {entry.hook for entry in way.entries if isinstance(entry, ObservedStep)}


def rule_words(rule: TableRule) -> str:
    """A routing rule in the words of ``ip rule``."""
    words = ["ip rule", str(rule.preference)]
    if rule.invert:
        words.append("not")
    if rule.source is not None:
        words.append(f"from {rule.source}")
    if rule.destination is not None:
        words.append(f"to {rule.destination}")
    if rule.in_interface:
        words.append(f"iif {rule.in_interface}")
    if rule.mark is not None:
        words.append(f"fwmark {rule.mark}")
    if rule.unknown:
        words.append(rule.unknown)
    if rule.kind in REFUSING:
        words.append(rule.kind.name.lower())
    else:
        words.append(f"lookup {_TABLE_NAMES.get(rule.table, rule.table)}")
    return " ".join(words)


def route_words(route: TableRoute) -> str:
    """A route in the words of ``ip route``."""
    words = []
    if route.kind is not RouteKind.UNICAST:
        words.append(route.kind.name.lower())
    words.append("default" if not route.destination.mask else str(route.destination))
    if route.next_hop is not None:
        words.append(f"via {format_address(route.destination.family, route.next_hop)}")
    if route.interface:
        words.append(f"dev {route.interface}")
    return " ".join(words)
