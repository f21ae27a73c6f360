"""Interfaces that a policy names and this host does not have."""

from __future__ import annotations

from netfw.errors import Fault, HostError
from netfw.host.interface_names import interface_names
from netfw.policy.model import Policy


def refuse_missing_interfaces(policy: Policy) -> None:
    """Raise HostError with a fault for each: a rule for an interface that is misspelt would leave
    the one that was meant open. Patterns (``veth+``) and optional endpoints may have none."""
    here = interface_names()
    faults = [
        Fault(
            str(endpoint.where),
            f"this host has no interface '{name}' (endpoint '{endpoint.name}')",
            "is its name right? 'optional: true' beside it allows it to be missing",
        )
        for endpoint in policy.endpoints
        if not endpoint.optional
        for name in endpoint.interfaces
        if not name.endswith("+") and name not in here
    ]
    if faults:
        raise HostError.of(faults)
