"""What lies behind endpoints: which source addresses packets may come in with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.policy.endpoint import Endpoint

ALWAYS = {
    Family.IPV4: (Net.parse("0.0.0.0"),),
    Family.IPV6: (Net.parse("::"), Net.parse("fe80::/10")),
}
"""Sources of hosts that have no address yet (RFC 2131, RFC 4862), and of those on the link."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Sources that packets of a family may have: one of ``only`` (empty: any) or of ``always``,
    and none of ``never``, which is empty where ``only`` is not."""

    only: tuple[Net, ...]
    never: tuple[Net, ...]
    always: tuple[Net, ...]

    def holds(self, source: int) -> bool:
        """Whether a packet may come from an address."""
        if self.only:
            return any(source in net for net in (*self.only, *self.always))
        return not any(source in net for net in self.never)


def behind(endpoint: Endpoint, endpoints: Iterable[Endpoint], family: Family) -> Behind | None:
    """What may come in by an endpoint, None where anything may.

    Where it is said what lies behind it, only that; else nothing of what lies behind others.
    """
    only = _of(endpoint, family)
    if only:
        return Behind(only, (), ALWAYS[family])
    never = tuple(dict.fromkeys(net for other in endpoints for net in _of(other, family)))
    return Behind((), never, ()) if never else None


def _of(endpoint: Endpoint, family: Family) -> tuple[Net, ...]:
    return tuple(net for net in endpoint.nets if net.family is family)
