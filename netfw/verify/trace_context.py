"""What a live host adds to the trace of a packet: routing, suspects, and why a packet is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from netfw.errors import FactError, HostError
from netfw.host.clock import since_boot
from netfw.host.drop_counters import MARTIANS, REASONS, read_counters, went_up
from netfw.host.live_facts import LiveFacts, read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import LiveRules
from netfw.host.live_sets import read_sets
from netfw.host.live_trace import has_legacy_tables, interface_names
from netfw.host.outside_writers import read_outside_writers
from netfw.host.route_lookup import RouteAnswer, look_up_route
from netfw.host.trace_table import DELIVERED, FORWARDED, OUT, ROUTED, SENT
from netfw.ir.names import Family, Hook
from netfw.ir.net import format_address
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.observed import ObservedEnd, ObservedStep, RoutingSeen
from netfw.traverse.packet import Packet
from netfw.traverse.routing_tables import (
    REFUSING,
    Asked,
    RouteKind,
    TableRoute,
    TableRule,
    is_multicast,
)
from netfw.traverse.traversal import End, Outcome, Stop
from netfw.verify.timeline import FIRST_HOOK, SOCKET, RoutingPoint, Timeline

_TABLE_NAMES = {255: "local", 254: "main", 253: "default"}
_TUNNELS = frozenset(
    {"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl", "erspan"}
)
"""Kinds of links whose packets keep the mark of what they carry (skb_tunnel_xmit and alike)."""
_FRESH = 1.0
"""Seconds for which an answer of the kernel's counts."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Gone:
    """Why a packet is gone, in words, and what shows it."""

    why: str
    evidence: tuple[str, ...]


class TraceContext:
    """A namespace as it was when the trace began; the counters are looked at again."""

    def __init__(
        self, namespace: LiveNamespace, rules: Mapping[Family, LiveRules], *, has_legacy: bool
    ) -> None:
        self._namespace = namespace
        self.interfaces = interface_names(namespace)
        self.facts: dict[Family, LiveFacts] = {}
        self.problems: list[str] = []
        for family in Family:
            try:
                facts = read_facts(namespace, family)
                if family in rules:
                    facts = replace(facts, sets=read_sets(namespace, rules[family]))
                self.facts[family] = facts
            except (HostError, FactError) as error:
                self.problems.append(f"{family} routing cannot be read: {error.faults[0].problem}")
        self._writers = read_outside_writers(namespace, has_legacy=has_legacy)
        self._counters = read_counters(namespace)
        self._answers: dict[Asked, tuple[float, RouteAnswer]] = {}

    @property
    def loopback(self) -> int:
        """The number of lo."""
        numbers = {name: number for number, name in self.interfaces.items()}
        return numbers.get(LOOPBACK, 0)

    @property
    def bridges(self) -> tuple[str, ...]:
        """The bridges of the host."""
        links = [one for facts in self.facts.values() for one in facts.interfaces.values()]
        return tuple(sorted({one.name for one in links if one.kind == "bridge"}))

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
        if where == SOCKET:
            found.append("the socket: SO_MARK of the process that sent it")
            found.append("the mark of what it answers: fwmark_reflect, tcp_fwmark_accept")
            return tuple(found)
        if where == FIRST_HOOK:
            if came_by in writers.tc:
                found.append(
                    f"a tc filter or its eBPF at {came_by} (tc filter show dev {came_by})"
                )
            found.append("what handed it to IP: a chain of netdev or bridge, a tunnel or xfrm")
            if came_by not in writers.tc:
                found.append(f"eBPF at {came_by} (bpftool net)")
            return tuple(found)
        if not writers.has_legacy and has_legacy_tables(self._namespace):
            found.append("legacy rules that were loaded since the trace began")
        if writers.tc:
            names = ", ".join(sorted(writers.tc))
            found.append(f"tc filters or eBPF at {names}")
        found.append("a rule that wrote it and did not match further on, or eBPF at a hook")
        return tuple(found)

    def routing(self, packet: Packet, way: Timeline, at: RoutingPoint) -> RoutingSeen | None:
        """What routing did with the packet at a point, and which rules it asked; None behind
        OUTPUT where nothing that it asks for has changed."""
        family = packet.family
        came_by = packet.in_interface if at.point == ROUTED else ""
        source, destination = _addresses(family, at.network)
        asked = Asked(family, source, destination, came_by, at.mark)
        before = next(one for one in way.entries if isinstance(one, RoutingPoint))
        left_by = at.left_by
        if at.point == OUT:
            # its own event still says the interface from before; POSTROUTING says the last one
            left_by = way.left_by if SENT in way.points else 0
            if (at.mark, at.network, left_by) == (before.mark, before.network, before.left_by):
                return None
        found = self._by_rules(asked)
        answer = self._ask(asked)
        decision = self._decision(way, at, left_by)
        note = ""
        route = found.interface
        if at.point == OUT and route and left_by and route != self.name(left_by):
            note = (
                f"with mark {at.mark:#x} it would be {route}, but nothing routed it again: only "
                "a chain of type route (mangle OUTPUT) does, where it changes the mark"
            )
        return RoutingSeen(
            at.mark,
            decision,
            found.rule,
            found.route,
            found.reads_mark,
            tuple(found.passed_over),
            answer.text,
            tuple(found.behind),
            note,
        )

    def _by_rules(self, asked: Asked) -> _ByRules:
        """Go through the routing rules as the kernel does."""
        found = _ByRules()
        facts = self.facts.get(asked.family)
        if facts is None:
            return found
        try:
            for rule in facts.tables.rules:
                applies = rule.applies(asked)
                if found.route:
                    # it is decided; those behind it are told where they would have matched
                    if applies and rule.mark is not None and facts.tables.answer_of(rule, asked):
                        found.behind.append(rule_words(rule))
                    continue
                if applies is False:
                    if rule.mark is not None:
                        found.passed_over.append(rule_words(rule))
                    continue
                if applies is None:
                    raise Stop(End.UNDECIDED, f"{rule_words(rule)} asks for more")
                route = facts.tables.answer_of(rule, asked)
                if route is None:
                    continue
                found.rule, found.route = rule_words(rule), route_words(route)
                found.interface = route.interface if route.kind is RouteKind.UNICAST else ""
                found.reads_mark = rule.mark is not None
        except Stop as stop:
            if not found.route:
                found.rule = f"not known: {stop.detail}"
        else:
            found.route = found.route or "no route"
        return found

    def _decision(self, way: Timeline, at: RoutingPoint, left_by: int) -> str:
        if at.point != ROUTED:
            return f"out by {self.name(left_by)}" if left_by else ""
        behind = way.points[way.points.index(ROUTED) + 1 :]
        hooks = {entry.hook for entry in way.entries if isinstance(entry, ObservedStep)}
        if DELIVERED in behind or Hook.INPUT in hooks:
            return "to this host"
        if FORWARDED in behind:
            return f"out by {self.name(way.forwarded_by)}"
        return ""

    def strange(self, packet: Packet, way: Timeline) -> tuple[str, ...]:
        """What is strange about a packet of this host's own that was routed again: its source was
        chosen for the first way."""
        facts = self.facts.get(packet.family)
        name = self.name(way.left_by)
        if facts is None or way.end is not ObservedEnd.SENT or not way.is_local or not name:
            return ()
        first = next(one for one in way.entries if isinstance(one, RoutingPoint))
        source, _ = _addresses(packet.family, way.network)
        owners = [
            interface
            for interface, mine in facts.addresses.items()
            if any(one.address == source for one in mine)
        ]
        if first.left_by == way.left_by or not owners or {name, LOOPBACK} & {*owners}:
            return ()
        text = format_address(packet.family, source)
        return (
            f"its source {text} is of {owners[0]}, and it leaves by {name}: "
            "nothing translated it (masquerade)",
        )

    def carried(self, packet: Packet, way: Timeline) -> tuple[str, ...]:
        """What becomes of the mark of a packet that left by a tunnel."""
        facts = self.facts.get(packet.family)
        name = self.name(way.left_by)
        link = None if facts is None else facts.interfaces.get(name)
        if way.end is not ObservedEnd.SENT or link is None or link.kind not in _TUNNELS:
            return ()
        if not way.mark:
            return ()
        return (
            f"{name} is a tunnel ({link.kind}): the packet that carries it begins with the same "
            f"mark {way.mark:#x}, and is filtered and routed by it again",
        )

    def _ask(self, asked: Asked) -> RouteAnswer:
        """What the kernel says, or has said in the last second: many packets ask the same."""
        now = since_boot()
        said_at, answer = self._answers.get(asked, (-_FRESH, None))
        if answer is not None and now - said_at < _FRESH:
            return answer
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.clear()
        answer = look_up_route(self._namespace, asked, self.interfaces)
        if answer.error and MARTIANS in self._counters:
            # the kernel counts the question as if it were a packet
            self._counters[MARTIANS] += 1
        self._answers[asked] = now, answer
        return answer

    def why_gone(self, packet: Packet | None, way: Timeline) -> Gone:
        """Why nothing more was seen of a packet that no rule dropped."""
        counters = read_counters(self._namespace)
        up = went_up(self._counters, counters)
        self._counters = counters
        if "TcpExt.IPReversePathFilter" in up:
            # the same packet, counted once more and for the whole machine
            up.pop(MARTIANS, None)
        evidence = [f"{name} went up by {count}: {REASONS[name]}" for name, count in up.items()]
        if packet is None:
            return Gone("its headers could not be read", tuple(evidence))
        family = packet.family
        last = way.points[-1] if way.points else ""
        if last not in (ROUTED, OUT):
            where = way.hook.value if way.hook is not None else "a hook"
            return Gone(f"in {where}, by nothing that the trace shows", tuple(evidence))
        came_by = packet.in_interface if last == ROUTED else ""
        source, destination = _addresses(family, way.network)
        packet = replace(packet, source=source, destination=destination)
        answer = self._ask(Asked(family, source, destination, came_by, way.mark))
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
        if is_multicast(family, packet.destination):
            text = format_address(family, packet.destination)
            return f"it is for the group {text}, to which nobody here listens"
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
        if known.asks_mark:
            mark = f"its mark {way.mark:#x}" if way.mark else "no mark, for it has none,"
            return f"; {mark} was asked (src_valid_mark is 1)"
        return ""


@dataclass(slots=True)
class _ByRules:
    """What the routing rules say of a packet."""

    rule: str = ""
    route: str = ""
    interface: str = ""
    reads_mark: bool = False
    passed_over: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)


def _addresses(family: Family, network: bytes) -> tuple[int, int]:
    """Source and destination in a network header."""
    at, size = (12, 4) if family is Family.IPV4 else (8, 16)
    source, destination = network[at : at + size], network[at + size : at + 2 * size]
    return int.from_bytes(source, "big"), int.from_bytes(destination, "big")


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
