"""Reads a whole policy: texts in, typed data out, or every fault of all files at once.

The readers of sections that few policies have are imported where such a section is: a fifth of
the time that a small policy takes goes into imports that it would not need.
"""

from __future__ import annotations

from collections.abc import Sequence

from netfw.errors import Where
from netfw.policy.assertion import Assertion
from netfw.policy.check_criteria import check_criteria
from netfw.policy.defaults import Defaults
from netfw.policy.document import NOTHING_GIVEN, VERSION, Given, read_document
from netfw.policy.faults import Faults
from netfw.policy.fields import Fields
from netfw.policy.library import Library, Texts
from netfw.policy.model import Policy
from netfw.policy.names import RESERVED_NAMES, Names
from netfw.policy.read_defaults import read_defaults
from netfw.policy.read_endpoints import read_endpoints
from netfw.policy.read_failsafes import default_failsafes, read_failsafes
from netfw.policy.read_marks import read_marks
from netfw.policy.read_nets import read_net_definitions
from netfw.policy.read_policies import read_policies
from netfw.policy.read_services import read_services
from netfw.policy.read_tiers import read_tiers
from netfw.policy.steering import Steering
from netfw.policy.surroundings import NOTHING_KNOWN, Surroundings
from netfw.policy.translation import Translation
from netfw.policy.zones import Zones


def load(text: str, file: str, given: Given = NOTHING_GIVEN) -> Policy:
    """Read a policy that is one text. ``file`` is only what messages call it.

    Raises PolicyError with every fault of the file, in its order.
    """
    return load_files((file,), Texts({file: text}), given, file)


def load_files(
    names: Sequence[str],
    library: Library,
    given: Given = NOTHING_GIVEN,
    called: str = "",
    surroundings: Surroundings = NOTHING_KNOWN,
) -> Policy:
    """Read a policy from the texts with these names, at least one, and what they include.

    ``called`` is what messages call the whole; ``surroundings`` answer what the policy asks of its
    host and of names. Raises PolicyError with every fault, file by file.
    """
    called = called or names[0]
    faults = Faults()
    fields = read_document(names, library, given, faults)
    if fields is None:
        faults.raise_if_any()
        raise AssertionError("a file that cannot be read has a fault")
    policy = _read_policy(fields, called, library, surroundings, faults)
    faults.raise_if_any()
    return policy


def _read_policy(
    fields: Fields, file: str, library: Library, surroundings: Surroundings, faults: Faults
) -> Policy:
    fields.require("version", f"start the file with 'version: {VERSION}'")
    marks = fields.entry("marks")
    field, steer_field = read_marks(marks, faults)
    field_where = Where(file) if marks is None else marks.key.where
    nets = read_net_definitions(fields.find("nets"), library, surroundings, faults)
    before = len(faults)
    endpoints_node, zones_node = fields.find("endpoints"), fields.find("zones")
    endpoints = (
        read_endpoints(endpoints_node, nets, surroundings, faults) if endpoints_node else {}
    )
    zones = Zones(endpoints, faults, are_all_there=len(faults) == before)
    if zones_node is not None:
        zones.read(zones_node, RESERVED_NAMES, faults)
    services = read_services(fields.find("services"), faults)
    names = Names(zones, nets, services, surroundings)
    defaults_entry, failsafes_entry = fields.entry("defaults"), fields.entry("failsafes")
    defaults = read_defaults(defaults_entry, faults) if defaults_entry else Defaults()
    tiers = read_tiers(fields.find("tiers"), Where(file), faults)
    policies_node, nat_node = fields.find("policies"), fields.find("nat")
    at_endpoints, forward = (
        read_policies(policies_node, names, tiers, faults) if policies_node else ((), ())
    )
    translations: tuple[Translation, ...] = ()
    if nat_node:
        from netfw.policy.read_nat import read_nat

        translations = read_nat(nat_node, names, faults)
    steer_node, steering = fields.find("steer"), Steering(steer_field)
    if steer_node:
        from netfw.policy.read_steer import read_steer

        steering = read_steer(steer_node, steer_field, names, faults)
    assertions: tuple[Assertion, ...] = ()
    assert_node = fields.find("assert")
    if assert_node:
        from netfw.policy.read_assert import read_assertions

        assertions = read_assertions(assert_node, names, faults)
    policy = Policy(
        file,
        field,
        field_where,
        tuple(endpoint for endpoint in endpoints.values() if not endpoint.is_absent),
        at_endpoints,
        forward,
        translations,
        assertions,
        defaults,
        read_failsafes(failsafes_entry, names, faults)
        if failsafes_entry
        else default_failsafes(names, Where(file)),
        tuple(tiers.values()),
        steering,
    )
    check_criteria(policy, faults)
    return policy
