"""What ``nat`` makes of probes on the stage: where they go, and as whom they arrive."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.policy.endpoint import Endpoint
from netfw.policy.flow import Flow
from netfw.policy.model import Policy
from netfw.policy.new_end import Given, Own
from netfw.policy.redirection import find_turn, new_address, new_port, redirected
from netfw.policy.translation import Point, turns_at
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.nat_address import choose_address
from netfw.traverse.situation import Path
from netfw.verify.layout import Layout, Link
from netfw.verify.way import Way

_TARGETS_PLACED = 16
"""So many addresses of a range are there, from its first on."""


@dataclass(frozen=True, slots=True)
class NewDestination:
    """Address and port that a packet gets, and the way that it takes with them."""

    address: int
    port: int
    way: Way


class ProbeNat:
    """The translations of a policy on a stage."""

    def __init__(self, policy: Policy, family: Family, layout: Layout) -> None:
        self.policy = policy
        self.family = family
        self.layout = layout

    def place_targets(self) -> list[str]:
        """Put the targets of redirections behind links; what finds no place."""
        missing = []
        for point in (Point.ARRIVING, Point.SENDING):
            for translation, turn in turns_at(self.policy.translations, point):
                new = turn.new
                if not isinstance(new, Given) or self.family not in turn.families:
                    continue
                back = [each for each in translation.turns if each.of_redirected]
                wanted = back[0].outs if back else None
                for address in range(new.first, min(new.last, new.first + _TARGETS_PLACED) + 1):
                    links = self._links(turn.inputs or (), wanted)
                    if not any(self.layout.place(self.family, address, link) for link in links):
                        missing.append(
                            f"{translation.origin}: no place on the stage for its target"
                        )
                        break
        return missing

    def _links(
        self, inputs: tuple[Endpoint, ...], wanted: tuple[Endpoint, ...] | None
    ) -> list[Link]:
        """Links by which a target may be reached: those of a hairpin, else none by which the
        packets come in."""

        def covered(link: Link, endpoints: tuple[Endpoint, ...]) -> bool:
            return self.policy.endpoint_of(link.interface) in endpoints

        if wanted is not None:
            return [link for link in self.layout.links if covered(link, wanted)]
        return [link for link in self.layout.links if not covered(link, inputs)]

    def redirect(self, flow: Flow, way: Way) -> NewDestination | None:
        """Where the first packet of a connection goes if an entry changes its destination; None
        where none does. Raises LookupError where the stage cannot show it."""
        came_by = way.came_by
        if flow.state is not ConnectionState.NEW:
            return None
        point = Point.SENDING if came_by is None else Point.ARRIVING
        turn = find_turn(self.policy, flow, point)
        if turn is None or turn.new is None:
            return None
        own = LOOPBACK_ADDRESS[self.family] if came_by is None else came_by.near(self.family)
        found = redirected(self.policy, flow, own, self._choose)
        if found is None:
            raise LookupError("the kernel chooses the port")
        address, port = found.destination, found.destination_port
        if isinstance(turn.new, Own):
            return NewDestination(address, port, Way(came_by, None))
        if way.path is Path.LOOPBACK:
            raise LookupError("with a source of the loopback it may not leave")
        return NewDestination(address, port, Way(came_by, self._link_to(address, came_by)))

    def _link_to(self, address: int, came_by: Link | None) -> Link:
        """The link behind which an address lies; a free one if it lies nowhere yet."""
        link = self.layout.link_behind(self.family, address)
        if link is not None:
            return link
        for candidate in self.layout.links:
            if candidate is not came_by and self.layout.place(self.family, address, candidate):
                return candidate
        raise LookupError("no place on the stage")

    def leaving(self, flow: Flow, leaves_by: Link) -> tuple[int, int] | None:
        """The source address and port that a packet gets when it leaves; None where the kernel
        chooses the port."""
        turn = find_turn(self.policy, flow, Point.LEAVING)
        if turn is None or turn.new is None:
            return flow.source, flow.source_port
        port = new_port(turn.new, flow.source_port)
        if port is None or (isinstance(turn.new, Own | Given) and turn.new.is_random):
            return None
        own = leaves_by.near(self.family)
        return new_address(turn.new, flow.source, flow, own, self._choose), port

    def _choose(self, flow: Flow, new: Given) -> int:
        return choose_address(
            self.family,
            (new.first, new.last),
            flow.source,
            flow.destination,
            persistent=new.is_lasting,
        )
