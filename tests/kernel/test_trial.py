"""What is tried out: a fault is found with its rule and place, and the host is not touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.compiler.source_map import SourceMap
from netfw.errors import Where
from netfw.host.loader import take
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_own
from netfw.host.refused import RefusedError
from netfw.host.trial import try_out
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.origin import Origin
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from tests.golden.cases import policy_of

pytestmark = pytest.mark.kernel
each_backend = pytest.mark.parametrize("backend", Backend, ids=str)

MATCH = '-m comment --comment "netfw:public/web"'
ORIGINS = SourceMap((Origin(Where("policy.yaml", 12, 5), "public/web"),))


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("host") as made:
        yield made


def own_with(table: TableName, *rules: str, family: Family = Family.IPV4) -> Own:
    """A chain of ours with rules, called from INPUT."""
    call = '-m comment --comment "netfw:hook/input" -j NETFW-INPUT'
    each = OwnTable({"NETFW-INPUT": rules}, {"INPUT": (call,)})
    return Own({(family, table): each})


@each_backend
def test_a_rule_that_only_the_kernel_refuses_is_found_before_the_host_is_touched(
    backend: Backend,
) -> None:
    rules = [f"-s 192.0.2.{number}/32 {MATCH} -j ACCEPT" for number in range(100)]
    # no answer is possible in mangle, which iptables does not know
    refused = f"-p tcp {MATCH} -j REJECT --reject-with icmp-port-unreachable"
    own = own_with(TableName.MANGLE, *rules[:70], refused, *rules[70:])
    with pytest.raises(RefusedError) as caught:
        try_out(own, backend, ORIGINS)
    assert caught.value.line == f"-A NETFW-INPUT {refused}"
    assert str(caught.value).startswith(
        "policy.yaml:12:5: rule 'public/web' is refused (IPv4 table mangle): "
    )


@each_backend
def test_a_rule_that_iptables_refuses_is_found_too(backend: Backend) -> None:
    rule = f"-p tcp -m tcp --dport 70000 {MATCH} -j ACCEPT"
    with pytest.raises(RefusedError) as caught:
        try_out(own_with(TableName.FILTER, rule), backend, ORIGINS)
    assert "policy.yaml:12:5: rule 'public/web' is refused" in str(caught.value)
    with pytest.raises(RefusedError, match=r"^IPv4 table filter: "):
        try_out(own_with(TableName.FILTER, rule), backend)


@each_backend
def test_a_fault_of_either_family_is_found_where_the_other_one_is_well(backend: Backend) -> None:
    good, bad = f"{MATCH} -j ACCEPT", f"-p tcp -m tcp --dport 70000 {MATCH} -j ACCEPT"
    for faulty, sound in ((Family.IPV4, Family.IPV6), (Family.IPV6, Family.IPV4)):
        both = {
            **own_with(TableName.FILTER, bad, family=faulty).tables,
            **own_with(TableName.FILTER, good, family=sound).tables,
        }
        with pytest.raises(RefusedError, match=rf"^{faulty} table filter: "):
            try_out(Own(both), backend)


@each_backend
@pytest.mark.parametrize("case", ["20-router", "80-folded", "140-two-uplinks", "30-nothing"])
def test_what_was_tried_out_is_what_a_host_gives_back(
    case: str, backend: Backend, host: Namespace
) -> None:
    wanted = own_of(compile_policy(policy_of(case)), {})
    tried = try_out(wanted, backend)
    assert plan(tried, Own(wanted.tables, wanted.sets)).steps == ()
    for step in plan(Own(), tried).steps:
        take(step, backend, host)
    assert read_own(backend, host)[0].tables == tried.tables
