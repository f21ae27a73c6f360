"""An example of a proof, sent through the kernel."""

from __future__ import annotations

from dataclasses import replace

from netfw.errors import InconclusiveError
from netfw.ir.match import ConnectionState
from netfw.ir.names import Backend
from netfw.ir.protocols import SCTP, TCP, UDP
from netfw.ir.ruleset import Ruleset
from netfw.prove.packet_of import Example
from netfw.prove.prediction import predict
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.situation import Path, Phase
from netfw.verify.layout import Layout
from netfw.verify.probe import Probe
from netfw.verify.probe_judge import state_of
from netfw.verify.progress import NoProgress
from netfw.verify.result import Run
from netfw.verify.sample import ECHO, ICMP_NUMBER, is_routable
from netfw.verify.session import Task, run_task


def replay(ruleset: Ruleset, example: Example, backend: Backend) -> Run:
    """Load the rules into a namespace, send the packet, and compare with the prediction.

    Raises InconclusiveError for a packet that cannot be staged, such as one of a connection that
    exists already.
    """
    problem = _not_stageable(example)
    if problem:
        raise InconclusiveError.at(
            str(example.packet), f"this packet cannot be replayed: {problem}"
        )
    packet, family = example.packet, example.packet.family
    names = dict.fromkeys(name for name in (packet.in_interface, example.out_interface) if name)
    layout = Layout.of_interfaces(names)
    if not example.out_interface:
        path = Path.LOCAL_IN
        staged = layout.adopt(family, packet.destination, layout.link(packet.in_interface))
    else:
        path = Path.FORWARDED if packet.in_interface else Path.LOCAL_OUT
        # where a rule gives it another destination, that is what lies behind the link
        final = predict(ruleset, example).final
        targets = {packet.destination, final.destination if final else packet.destination}
        if LOOPBACK_ADDRESS[family] in targets and path is Path.LOCAL_OUT:
            # redirected to this host itself
            path = Path.LOOPBACK
            targets.discard(LOOPBACK_ADDRESS[family])
        link = layout.link(example.out_interface)
        staged = all(layout.place(family, address, link) for address in targets)
    if not staged:
        raise InconclusiveError.at(
            str(packet), "this packet cannot be replayed: its destination is on the stage itself"
        )
    numbered = packet if packet.source_port else replace(packet, icmp_id=1)
    phase = Phase.INVALID if example.state is ConnectionState.INVALID else Phase.FIRST
    probe = Probe(1, "witness", str(packet), numbered, path, phase)
    return run_task(Task("witness", backend, family, ruleset, layout, [probe]), NoProgress())


def _not_stageable(example: Example) -> str:
    """Why the stage cannot hold a packet; empty where it can."""
    packet = example.packet
    is_tcp = packet.protocol == TCP
    if example.state is ConnectionState.INVALID and not is_tcp:
        return "a packet that is invalid by itself is a TCP segment"
    if example.state not in (ConnectionState.NEW, ConnectionState.INVALID):
        return f"it belongs to what happened before (state {example.state.value})"
    if is_tcp and state_of(packet) is not example.state:
        return f"its TCP flags are not those of state {example.state.value}"
    if example.oracles:
        return "it depends on a match that netfw does not know"
    if packet.protocol == ICMP_NUMBER[packet.family]:
        if packet.icmp_type != ECHO[packet.family]:
            return "of ICMP, only echo requests begin something"
    elif packet.protocol not in (TCP, UDP, SCTP):
        return f"protocol {packet.protocol} has no sender here"
    if packet.mark and packet.in_interface:
        return "a packet from outside brings no mark with it"
    for address in (packet.source, packet.destination):
        if not is_routable(packet.family, address):
            return "the kernel takes no packets with such addresses"
    return ""
