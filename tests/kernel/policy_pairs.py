"""Pairs of policies between which a host changes, and the traffic of which both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netfw.ir.names import Family
from tests.kernel.traffic import Conversation, Flow, NewConnections, TcpAttempts, TcpConversation
from tests.kernel.traffic_host import HOST, INSIDE, TESTER, TrafficHost

OPENING = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
policies:
  - name: public
    at: wan
    ingress: [{allow: [tcp/5000-5199, udp/5000-5199]}]
  - name: inwards
    from: wan
    to: lan
    forward: [{allow: [tcp/5000-5199, udp/5000-5199]}]
"""
"""Under which connections are begun that no policy of a pair allows to begin."""

_FRAME = """\
version: 1
{head}endpoints:
  wan: {{host: eth0}}
  lan: {{host: eth1}}
policies:
{early}  - name: public
    at: wan
    ingress:
      - allow: [tcp/5000, udp/5000]
{ingress}  - name: inwards
    from: wan
    to: lan
    forward:
      - allow: [tcp/5000, udp/5000]
{forward}{rest}"""


@dataclass(frozen=True, slots=True)
class PolicyPair:
    """Two policies.

    Both allow what ``allowed`` says (to the ``host`` or ``forward``, and a UDP port;
    ``redirected`` goes to the host and on from there), and deny ``denied``. ``arrives_at`` are the
    ports at which redirected packets come out.
    """

    name: str
    first: str
    second: str
    allowed: tuple[tuple[str, int], ...] = ()
    denied: tuple[tuple[str, int], ...] = ()
    arrives_at: tuple[int, ...] = ()

    def flows(self, host: TrafficHost) -> Iterator[Flow]:
        """The traffic. Connections that exist already are begun now, so that something has to let
        them: ``OPENING`` does."""
        for family in Family:
            places = {
                "host": (host.tester, host.box, HOST[family]),
                "forward": (host.tester, host.inside, INSIDE[family]),
                "redirected": (host.tester, host.inside, HOST[family]),
            }
            for name in ("host", "forward"):
                place = places[name]
                yield TcpConversation(name, family, *place, 5001)
                yield Conversation(name, family, *place, 5001)
                yield TcpAttempts(name, family, *place, 5000)
                yield NewConnections(name, family, *place, 5000)
                yield NewConnections(name, family, *place, 5900, is_allowed=False)
                yield TcpAttempts(name, family, *place, 5900, is_allowed=False)
            for name, port in self.allowed:
                yield NewConnections(name, family, *places[name], port, arrives_at=self.arrives_at)
            for name, port in self.denied:
                yield NewConnections(name, family, *places[name], port, is_allowed=False)
            out = (host.box, host.tester, TESTER[family])
            # a failsafe, which strict exit judges and nothing else does
            yield NewConnections("from host", family, *out, 53)


def _policy(
    *, head: str = "", early: str = "", ingress: str = "", forward: str = "", rest: str = ""
) -> str:
    return _FRAME.format(head=head, early=early, ingress=ingress, forward=forward, rest=rest)


def _members(*more: str) -> str:
    """Rules that fold into one set."""
    nets = [f"198.51.100.{number}" for number in range(40)] + ["192.0.2.1"]
    nets += [f"2001:db8:9::{number:x}" for number in range(40)] + ["2001:db8::1"]
    listed = ", ".join(f'"{net}"' for net in (*nets, *more))
    return f"      - allow: udp/5002\n        from: [{listed}]\n"


def _early(*rules: str, acts: str = "pre-dnat") -> str:
    lines = "".join(f"      - {rule}\n" for rule in rules)
    return f"  - name: early\n    at: wan\n    acts: {acts}\n    ingress:\n{lines}"


def _forwarding(port: int) -> str:
    return (
        "nat:\n"
        f'  - dnat: {{in: wan, service: udp/5010, to: "10.0.0.2:{port}"}}\n'
        f'  - dnat: {{in: wan, service: udp/5010, to: "[fd00::2]:{port}"}}\n'
    )


_ALLOW, _DENY = "      - allow: udp/5002\n", "      - deny: udp/5003\n"
_MANY = "      - allow: udp/5003-5004\n"
"""What would get through if the rule for one of these ports were missing."""
_BOTH = (("host", 5002), ("forward", 5002))
_NEITHER = (("host", 5003), ("forward", 5003))

PAIRS = (
    PolicyPair("a rule more", _policy(), _policy(ingress=_ALLOW, forward=_ALLOW), denied=_NEITHER),
    PolicyPair(
        "a member of a set more",
        _policy(ingress=_members()),
        _policy(ingress=_members("203.0.113.9", "2001:db8:a::9")),
        (("host", 5002),),
    ),
    PolicyPair(
        "a set and rules",
        _policy(ingress=_members()),
        _policy(ingress=_members("203.0.113.9", "2001:db8:a::9") + "      - allow: udp/5005\n"),
        (("host", 5002),),
    ),
    PolicyPair(
        "rules to before port forwards",
        _policy(ingress=_DENY + _ALLOW + _MANY, forward=_DENY + _ALLOW + _MANY),
        _policy(early=_early("deny: udp/5003", "allow: udp/5002"), ingress=_MANY, forward=_MANY),
        _BOTH,
        _NEITHER,
    ),
    PolicyPair(
        "a rule more before port forwards",
        _policy(early=_early("deny: udp/5003", "allow: udp/5002"), ingress=_MANY, forward=_MANY),
        _policy(
            early=_early("deny: udp/5003", "allow: udp/5002", "deny: udp/5006"),
            ingress=_MANY + "      - deny: udp/5006\n",
            forward=_MANY,
        ),
        _BOTH,
        _NEITHER,
    ),
    PolicyPair(
        "strict exit",
        _policy(),
        _policy(head="defaults: {strict-exit: yes}\n"),
    ),
    PolicyPair("another field", _policy(), _policy(head="marks: {mask: 0x0f000000}\n")),
    PolicyPair(
        "a port forward more",
        _policy(rest="nat:\n  - masquerade: {from: lan, out: wan}\n"),
        _policy(
            rest="nat:\n  - masquerade: {from: lan, out: wan}\n"
            '  - dnat: {in: wan, service: udp/5010, to: "10.0.0.2:5011"}\n'
        ),
    ),
    PolicyPair(
        "a port forward to elsewhere",
        _policy(rest=_forwarding(5011)),
        _policy(rest=_forwarding(5012)),
        (("redirected", 5010),),
        arrives_at=(5011, 5012),
    ),
    PolicyPair(
        "rules more before and behind",
        _policy(),
        _policy(
            head="defaults: {strict-exit: yes}\n",
            early=_early("deny: udp/5003", "allow: udp/5000"),
            rest=_forwarding(5011),
        ),
        denied=_NEITHER,
    ),
)
"""Those of which nothing may be lost."""
MOVED = PolicyPair(
    "another field, with early rules",
    _policy(early=_early("deny: udp/5003", "allow: udp/5002"), ingress=_MANY, forward=_MANY),
    _policy(
        head="marks: {mask: 0x0f000000}\n",
        early=_early("deny: udp/5003", "allow: udp/5002"),
        ingress=_MANY,
        forward=_MANY,
    ),
    _BOTH,
    _NEITHER,
)
"""Until all tables have changed, filter does not understand what the early rules have allowed."""
