"""A packet that is sent once, to be followed: as this host would send it, or from its far side."""

from __future__ import annotations

import os
from dataclasses import replace

from netfw.errors import CapabilityError, HostError, UsageError
from netfw.host.far_side import open_far_side
from netfw.host.inject import FarEnd, LocalSender
from netfw.host.live_facts import read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.packets import PacketBuilder
from netfw.ir.match import ConnectionState
from netfw.traverse.completion import complete_on_host
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.sketch import CompletionError, Sketch


class Injection:
    """A packet that is ready to be sent; a context manager.

    ``completed`` says what its description left out, ``number`` is what it carries (1 to 65535).
    Raises UsageError for what cannot be sent like this, CapabilityError where it cannot be made
    to come in by its interface.
    """

    def __init__(self, namespace: LiveNamespace, sketch: Sketch) -> None:
        if sketch.state not in (None, ConnectionState.NEW):
            raise UsageError.at(
                "--inject", "its state is what connection tracking says of it", "leave it out"
            )
        facts = read_facts(namespace, sketch.packet.family)
        for name in (sketch.packet.in_interface, sketch.leaves_by):
            if name and name not in facts.interfaces:
                raise UsageError.at("--inject", f"this host has no interface {name}")
        try:
            whole = complete_on_host(sketch, facts.addresses, facts.tables)
        except CompletionError as error:
            raise UsageError.at("--inject", str(error), error.hint) from None
        self.packet = whole.packet
        self.completed = whole.completed
        self.number = int.from_bytes(os.urandom(2), "big") or 1
        self._data = PacketBuilder().build(self.packet, self.number)
        self._sender: LocalSender | None = None
        self._far: FarEnd | None = None
        came_by = self.packet.in_interface
        if came_by == LOOPBACK:
            raise UsageError.at(
                "--inject", "what comes in by lo was sent by this host", "leave 'in lo' out"
            )
        if came_by:
            if self.packet.mark:
                raise UsageError.at("--inject", "a packet has no mark before it comes in")
            self._far = open_far_side(namespace, came_by)
            master = facts.interfaces[came_by].master
            if facts.interfaces[came_by].master_kind == "bridge":
                self.packet = replace(self.packet, in_interface=master)
        else:
            try:
                family = self.packet.family
                self._sender = LocalSender(namespace, family, whole.leaves_by)
            except PermissionError:
                raise CapabilityError.at(
                    "--inject", "packets may not be sent", "run as root (CAP_NET_RAW)"
                ) from None

    def send(self) -> str:
        """Send it; what the kernel says where it refuses at once, else nothing."""
        packet = self.packet
        try:
            if self._far is not None:
                self._far.send(packet.family, self._data)
            elif self._sender is not None and not self._sender.send(
                self._data, packet.destination, packet.mark
            ):
                return "the kernel told the sender that it may not be sent (EPERM)"
        except OSError as error:
            raise HostError.at(
                "--inject", f"the kernel refused to send it: {error.strerror}"
            ) from None
        return ""

    def close(self) -> None:
        """Give the socket back."""
        for one in (self._sender, self._far):
            if one is not None:
                one.close()

    def __enter__(self) -> Injection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
