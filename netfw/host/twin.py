"""A twin of a host: a namespace with the same interfaces, routing, sysctls, rules and sets.

Nothing of the host is written, and nothing leads from the twin to it or to anywhere else. What
cannot be copied is said by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Self

from netfw.host.live_facts import read_facts
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.rtnetlink import RoutingCopy
from netfw.host.run import run
from netfw.host.twin_devices import is_made, make_devices
from netfw.host.twin_links import HostLink, bring_up, make_links, read_links
from netfw.host.twin_rules import copy_rules
from netfw.host.twin_settings import copy_settings, keep_quiet, write_settings
from netfw.host.uncopied import Uncopied
from netfw.ir.names import Family

_MOVING = re.compile(r" (?:linkdown|dead|offload|trap|expires \d+sec|nhid \d+|proto \S+)(?= |$)")
"""What ``ip`` says of the state of a route or of who made it."""
_ADDRESS = re.compile(r"^\d+: (\S+)\s+inet6? (\S+(?: peer \S+)?)")
_UNUSABLE = re.compile(r" (?:tentative|dadfailed)(?= |$)")
_INTERFACE = re.compile(r" (?:dev|iif|oif) (\S+)")


class Twin:
    """The copy of a host as it was at one moment; a context manager.

    ``settings`` are paths of sysctls, below /proc/sys, that are copied besides those that say
    which way packets go. Links of ``kinds`` (bridges, tunnels) are made as what they are, all
    others as cables. ``lacking`` is what could not be copied. Raises HostError where the host
    cannot be read, and CapabilityError where no namespace can be made.
    """

    def __init__(
        self,
        host: LiveNamespace,
        settings: Iterable[str] = (),
        kinds: frozenset[str] = frozenset(),
    ) -> None:
        self._stack = ExitStack()
        self._kinds = kinds
        try:
            self.namespace = self._stack.enter_context(Namespace("twin"))
            self.outside = self._stack.enter_context(Namespace("outside"))
            self.view = self._stack.enter_context(LiveNamespace(self.namespace.path))
            """The twin as a host that can be looked at."""
            self.view.name = "the twin"
            self._copy(host, tuple(settings))
        except BaseException:
            self._stack.close()
            raise

    def _copy(self, host: LiveNamespace, settings: tuple[str, ...]) -> None:
        scopes = ("all", "default")
        write_settings(
            self.outside, {f"net/ipv6/conf/{each}/disable_ipv6": "1" for each in scopes}
        )
        links, seen_before = read_links(host)
        self.links = {link.name: link for link in links}
        self.cables, lacking = make_links(links, self.namespace, self.outside)
        lacking += seen_before
        self.devices, undone = make_devices(host, links, self.cables, self.namespace, self._kinds)
        """Links that are no cables, by name: their numbers."""
        lacking = [one for one in lacking if not is_made(one, links, self.devices)] + undone
        names = [link.name for link in links]
        lacking += copy_settings(host, self.namespace, names, settings)
        keep_quiet(self.namespace, (*self.cables, *self.devices))
        bring_up(links, self.cables, self.namespace, self.outside)
        lacking += self._copy_routing(host, links)
        lacking += copy_rules(host, self.namespace, self.view)
        lacking += map(Uncopied, read_facts(host, Family.IPV4).doubts)
        ipsec = ["ip", "xfrm", "policy"]
        if run(ipsec, namespace=None if host.is_own else host, check=False).stdout.strip():
            lacking.append(Uncopied("IPsec (ip xfrm policy)"))
        self.lacking: tuple[Uncopied, ...] = tuple(dict.fromkeys(lacking))

    def _copy_routing(self, host: LiveNamespace, links: list[HostLink]) -> list[Uncopied]:
        indexes = {
            link.index: self.cables[link.name].index for link in links if link.name in self.cables
        }
        indexes |= {link.index: 1 for link in links if link.is_loopback}
        indexes |= {
            link.index: self.devices[link.name] for link in links if link.name in self.devices
        }
        with RoutingCopy(host, self.namespace, indexes) as copy:
            copy.copy()
        lacking = []
        for family in Family:
            for what, words in (("route", ("route", "show", "table", "all")), ("rule", ("rule",))):
                here, there = (_lines(each, family, *words) for each in (host, self.view))
                for line in here - there:
                    found = _INTERFACE.search(line)
                    at = found[1] if found and what == "route" else ""
                    lacking.append(Uncopied(f"{family} {what}: {line}", at, family))
                for line in there - here:
                    text = f"{family} {what} that the host does not have: {line}"
                    lacking.append(Uncopied(text, family=family))
            missing = _addresses(host, family) - _addresses(self.view, family)
            lacking += [
                Uncopied(f"address {address} of {name}", name, family)
                for name, address in sorted(missing)
            ]
        return lacking

    @property
    def bridges(self) -> frozenset[str]:
        """Its bridges, where it has some."""
        return frozenset(name for name in self.devices if self.links[name].kind == "bridge")

    @property
    def bridged(self) -> frozenset[str]:
        """The ports of its bridges."""
        return frozenset(name for name, link in self.links.items() if link.master in self.devices)

    def doubts(self, family: Family, *interfaces: str) -> tuple[str, ...]:
        """What is lacking on the way of a packet that passes these interfaces."""
        return tuple(each.what for each in self.lacking if each.concerns(family, *interfaces))

    def close(self) -> None:
        """Let it go; nothing remains of it."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lines(namespace: LiveNamespace, family: Family, *words: str) -> set[str]:
    """What ``ip`` prints, in lines, without what changes by itself; a route with several next
    hops is one line."""
    printed = _ip(namespace, family, *words).replace("\n\t", " ")
    return {" ".join(_MOVING.sub("", line).split()) for line in printed.splitlines()}


def _addresses(namespace: LiveNamespace, family: Family) -> set[tuple[str, str]]:
    """Those that can be used: IPv6 may not know yet of some, or know better."""
    lines = _ip(namespace, family, "-o", "address", "show").splitlines()
    usable = (line for line in lines if not _UNUSABLE.search(line))
    found = (_ADDRESS.match(line) for line in usable)
    return {(each[1], each[2]) for each in found if each is not None}


def _ip(namespace: LiveNamespace, family: Family, *words: str) -> str:
    argv = ["ip", f"-{family.value}", *words]
    return run(argv, namespace=None if namespace.is_own else namespace).stdout
