"""One packet's way through a ruleset: the hooks, the tables at them, and the rules in these."""

from __future__ import annotations

from netfw.ir.match import ConnectionState, SetMatch
from netfw.ir.names import ChainPolicy, Family, Hook, TableName
from netfw.ir.target import (
    Accept,
    ChangeSet,
    Ct,
    Dnat,
    Drop,
    Goto,
    HopLimit,
    Jump,
    Log,
    Masquerade,
    Netmap,
    Nflog,
    Nfqueue,
    NoTarget,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
    Trace,
    Ttl,
)
from netfw.traverse import nat, tcp_states
from netfw.traverse.effects import hops_after, is_inert, name_of
from netfw.traverse.hooks import KernelPoint
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.martian import (
    is_multicast,
    refused_on_arrival,
    refused_on_departure,
    refused_on_receipt,
)
from netfw.traverse.packet import RST, Packet
from netfw.traverse.ready import Ready, ReadyRule, WalkedChain
from netfw.traverse.skb import Skb
from netfw.traverse.traversal import End, MemberMet, Outcome, RulePlace, Step, Stop


class Trip:
    """One packet under way; ``steps`` and ``optional`` grow as it goes."""

    __slots__ = ("members", "optional", "ready", "skb", "steps")

    def __init__(self, ready: Ready, packet: Packet) -> None:
        self.ready = ready
        self.skb = Skb(packet)
        self.steps: list[Step] = []
        self.optional: set[int] = set()
        self.members: dict[int, tuple[MemberMet, ...]] = {}

    def arrive(self) -> tuple[End, str]:
        """From an interface: PREROUTING, routing, then INPUT or FORWARD and POSTROUTING."""
        skb, facts = self.skb, self.ready.facts
        family = skb.packet.family
        refused = refused_on_receipt(family, skb.in_interface, skb.source, skb.destination)
        if refused:
            raise Stop(End.STOPPED, refused)
        self._hook(Hook.PREROUTING)
        refused = refused_on_arrival(family, skb.in_interface, skb.source, skb.destination, facts)
        if refused:
            raise Stop(End.STOPPED, refused)
        if is_multicast(family, skb.destination):
            raise Stop(End.UNDECIDED, "who listens to a group is not known")
        to_all = family is Family.IPV4 and skb.destination in self.ready.broadcasts
        if family is Family.IPV4 and skb.source in self.ready.broadcasts:
            raise Stop(End.UNDECIDED, "whether a broadcast address may send is up to rp_filter")
        decision = facts.route(family, skb.destination, skb.mark)
        if decision is None and not to_all:
            raise Stop(End.STOPPED, "no route to the destination")
        refused = facts.refused_source(family, skb.mark)
        if refused:
            raise Stop(End.STOPPED, refused)
        if decision is None or decision.is_local or to_all:
            self._hook(Hook.INPUT)
            return End.DELIVERED, ""
        if not facts.forwarding:
            raise Stop(End.STOPPED, "forwarding is off")
        if skb.hops <= 1:
            raise Stop(End.STOPPED, "TTL or hop limit ran out")
        skb.hops -= 1
        skb.out_interface = decision.interface
        self._hook(Hook.FORWARD)
        self._hook(Hook.POSTROUTING)
        return End.SENT, skb.out_interface

    def local_out(self) -> tuple[End, str]:
        """From a process: routing, OUTPUT, POSTROUTING; over lo also PREROUTING and INPUT."""
        skb, facts = self.skb, self.ready.facts
        family = skb.packet.family
        to_all = family is Family.IPV4 and skb.destination in self.ready.broadcasts
        if to_all or is_multicast(family, skb.destination):
            raise Stop(End.UNDECIDED, "the way of this host's own packets to many is not known")
        decision = facts.route(family, skb.destination, skb.mark)
        if decision is None:
            raise Stop(End.STOPPED, "no route to the destination")
        # nf_hook_state.out is fixed when OUTPUT begins: a later re-route does not change what
        # -o sees here, only in POSTROUTING (__ip_local_out in net/ipv4/ip_output.c)
        skb.out_interface = decision.interface
        leaves_by = [decision.interface]
        self._hook(Hook.OUTPUT, leaves_by)
        skb.out_interface = leaves_by[0]
        self._hook(Hook.POSTROUTING)
        if skb.out_interface != LOOPBACK:
            return End.SENT, skb.out_interface
        skb.in_interface, skb.out_interface = LOOPBACK, ""
        return self.arrive()

    def _hook(self, hook: Hook, leaves_by: list[str] | None = None) -> None:
        for what in self.ready.points[hook]:
            if isinstance(what, KernelPoint):
                self._kernel_point(what)
            elif what is TableName.NAT:
                self._nat(hook, leaves_by)
            elif what is TableName.MANGLE and hook is Hook.OUTPUT:
                before = (self.skb.mark, self.skb.source, self.skb.destination)
                self._table(hook, what)
                if before != (self.skb.mark, self.skb.source, self.skb.destination):
                    self._reroute(leaves_by)
            else:
                self._table(hook, what)

    def _kernel_point(self, point: KernelPoint) -> None:
        skb, ready = self.skb, self.ready
        if not ready.conntrack_is_on:
            return
        if point is KernelPoint.CONNTRACK and not skb.tracked:
            tracked = ready.conntrack.track(skb.packet)
            # over lo an INVALID packet is looked at once more: it carries no connection
            skb.tracked = tracked.state is not ConnectionState.INVALID
            if tracked.doubt:
                raise Stop(End.UNDECIDED, tracked.doubt)
            skb.connection, skb.state, skb.is_reply = (
                tracked.connection,
                tracked.state,
                tracked.is_reply,
            )
        elif (
            point is KernelPoint.CONFIRM
            and skb.connection is not None
            and not skb.is_reply
            and not ready.conntrack.confirm(skb.connection)
        ):
            raise Stop(End.UNDECIDED, "the connection clashes with another one")

    def _reroute(self, leaves_by: list[str] | None) -> None:
        # ip_route_me_harder: from mangle OUTPUT for mark and addresses, from nat OUTPUT
        skb = self.skb
        decision = self.ready.facts.route(skb.packet.family, skb.destination, skb.mark)
        if decision is None:
            raise Stop(End.STOPPED, "no route after re-routing")
        refused = refused_on_departure(skb.packet.family, skb.source, decision.interface)
        if refused:
            raise Stop(End.STOPPED, refused)
        if leaves_by is not None:
            leaves_by[0] = decision.interface

    def _nat(self, hook: Hook, leaves_by: list[str] | None) -> None:
        skb = self.skb
        if skb.connection is None:
            return
        if skb.state is not ConnectionState.RELATED and not nat.is_bound(skb, hook):
            self._table(hook, TableName.NAT)
            if not nat.is_bound(skb, hook):
                unknowable = nat.bind_nothing(skb, hook, self.ready.conntrack)
                if unknowable is not None:
                    raise Stop(End.UNDECIDED, unknowable.reason)
        before = skb.destination
        nat.translate(skb, hook)
        if hook is Hook.OUTPUT and before != skb.destination:
            self._reroute(leaves_by)

    def _table(self, hook: Hook, table: TableName) -> None:
        """Run a table's built-in chain; returns where the packet is accepted, else stops."""
        chains = self.ready.chains
        chain = chains[table, hook.value]
        position = 0
        callers: list[tuple[WalkedChain, int]] = []
        while True:
            entered = self._next(hook, table, chain, position)
            if entered is None:
                # the end of the chain, or RETURN
                if callers:
                    chain, position = callers.pop()
                    continue
                self._policy(hook, table, chain)
                return
            rule, outcome = entered
            if outcome is Outcome.ACCEPT:
                return
            target = rule.target
            if isinstance(target, Jump):
                callers.append((chain, rule.number))
                chain, position = self._chain(table, target.chain), 0
            elif isinstance(target, Goto):
                chain, position = self._chain(table, target.chain), 0
            elif isinstance(target, Return):
                if callers:
                    chain, position = callers.pop()
                else:
                    self._policy(hook, table, chain)
                    return

    def _chain(self, table: TableName, name: str) -> WalkedChain:
        found = self.ready.chains.get((table, name))
        if found is None:
            raise Stop(End.UNDECIDED, f"there is no chain {name} in table {table}")
        return found

    def _next(
        self, hook: Hook, table: TableName, chain: WalkedChain, position: int
    ) -> tuple[ReadyRule, Outcome] | None:
        """Go on in a chain until a rule leads out of it; None at the end of the chain."""
        skb, steps = self.skb, self.steps
        for rule in chain.candidates(skb, position):
            verdict: bool | None = True
            for predicate in rule.predicates:
                holds = predicate(skb)
                if not holds:
                    verdict = holds
                    if holds is False:
                        break
            if verdict is False:
                continue
            if verdict is None:
                place = RulePlace(table, chain.name, rule.number)
                assumed = self.ready.assumed.get(place)
                if assumed is False:
                    continue
                if assumed is None:
                    if not is_inert(rule.target):
                        why = f"{_named(place)} has a match whose result is not known"
                        raise Stop(End.UNDECIDED, why, place)
                    self.optional.add(len(steps))
            if rule.asked and verdict:
                self._note_members(rule.asked)
            before = skb.mark
            outcome = self._run(rule.target, hook)
            steps.append(Step(hook, table, chain.name, rule.number, outcome, before, skb.mark))
            if outcome is Outcome.CONTINUE:
                continue
            if outcome is Outcome.DROP:
                raise Stop(End.DROPPED)
            if outcome is Outcome.REJECT:
                self._answered(rule.target)
                raise Stop(End.REJECTED)
            if outcome is Outcome.QUEUE:
                raise Stop(End.UNDECIDED, f"rule {rule.number} of {table}.{chain.name}")
            return rule, outcome
        if chain.policy is None:
            steps.append(Step(hook, table, chain.name, 0, Outcome.RETURN, skb.mark, skb.mark))
        return None

    def _note_members(self, asked: tuple[SetMatch, ...]) -> None:
        """Keep what the packet was found as, for whoever asks which rule of a policy that is."""
        found = []
        for match in asked:
            lookup = self.ready.facts.sets.get(match.name)
            member = None if lookup is None else lookup.find_member(self.skb, match.directions)
            if member is not None:
                found.append(MemberMet(match.name, member))
        if found:
            self.members[len(self.steps)] = tuple(found)

    def _answered(self, target: Target) -> None:
        """What the answer of REJECT does to the packet's connection: it carries it too.

        Source: nf_send_reset and nf_ct_attach in net/ipv4/netfilter/nf_reject_ipv4.c.
        """
        skb, ready = self.skb, self.ready
        connection = skb.connection
        resets = isinstance(target, Reject) and target.kind == "tcp-reset"
        if connection is None or not connection.confirmed:
            return
        if resets and not skb.packet.tcp_flags & RST:
            connection.tcp = tcp_states.closed(connection.tcp)
        if ready.writes_connmarks:
            why = "the answer of REJECT may have changed the connection's mark"
            ready.conntrack.doubt(connection, why)

    def _policy(self, hook: Hook, table: TableName, chain: WalkedChain) -> None:
        # the policy is that of the hook's own chain, also behind a goto out of it
        builtin = self.ready.chains[table, hook.value]
        mark = self.skb.mark
        dropped = builtin.policy is ChainPolicy.DROP
        outcome = Outcome.DROP if dropped else Outcome.ACCEPT
        self.steps.append(Step(hook, table, builtin.name, 0, outcome, mark, mark))
        if dropped:
            raise Stop(End.DROPPED)

    def _run(self, target: Target, hook: Hook) -> Outcome:
        skb = self.skb
        run = _SIMPLE.get(type(target))
        if run is not None:
            return run
        match target:
            case SetMark(mark):
                skb.mark = mark.set_on(skb.mark)
            case SetConnmark(mark):
                if skb.connection is not None:
                    skb.connection.mark = mark.set_on(skb.connection.mark)
            case SaveMark(nfmask, ctmask):
                if skb.connection is not None:
                    kept = skb.connection.mark & ~ctmask
                    skb.connection.mark = kept ^ (skb.mark & nfmask)
            case RestoreMark(nfmask, ctmask):
                if skb.connection is not None:
                    skb.mark = (skb.mark & ~nfmask) ^ (skb.connection.mark & ctmask)
            case Ct(notrack, words):
                if words:
                    raise Stop(End.UNDECIDED, f"-j CT {' '.join(words)}")
                if notrack and not skb.tracked:
                    skb.tracked = True
                    skb.state = ConnectionState.UNTRACKED
            case Snat() | Dnat() | Masquerade() | Redirect() | Netmap():
                unknowable = nat.bind(target, skb, hook, self.ready.facts, self.ready.conntrack)
                if unknowable is not None:
                    raise Stop(End.UNDECIDED, unknowable.reason)
                return Outcome.ACCEPT
            case Ttl() | HopLimit():
                skb.hops = hops_after(target, skb.hops)
            case ChangeSet(map=None):
                self.ready.changed_sets.update(target.changed)
            case Nfqueue():
                raise Stop(End.UNDECIDED, "a program decides that listens to a queue")
            case _:
                if not is_inert(target):
                    raise Stop(End.UNDECIDED, f"what {name_of(target)} does is not known")
        return Outcome.CONTINUE


def _named(place: RulePlace) -> str:
    return f"rule {place.rule} of {place.table}.{place.chain}"


_SIMPLE: dict[type, Outcome] = {
    Accept: Outcome.ACCEPT,
    Drop: Outcome.DROP,
    Reject: Outcome.REJECT,
    Return: Outcome.RETURN,
    Jump: Outcome.JUMP,
    Goto: Outcome.GOTO,
    NoTarget: Outcome.CONTINUE,
    Log: Outcome.CONTINUE,
    Nflog: Outcome.CONTINUE,
    Trace: Outcome.CONTINUE,
}
