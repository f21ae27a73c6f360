"""What a host holds of netfw's goes into a file and comes back as it was."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfw.compiler.pipeline import compile_policy
from netfw.errors import HostError
from netfw.ir.ipset import IpSet
from netfw.ir.names import Family, TableName
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_json import own_data, own_from
from netfw.plan.own_of import own_of
from tests.fuzz.sets import empty_sets, sets_named
from tests.golden.cases import CASES, policy_of

# iptables prints what it was given byte for byte: bytes that are no UTF-8 are lone surrogates here
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))
LINES = st.lists(ANY_TEXT, max_size=3).map(tuple)
CHAINS = st.dictionaries(ANY_TEXT, LINES, max_size=3)


def sets() -> st.SearchStrategy[dict[str, IpSet]]:
    """In any order: also lists before what they name."""
    return st.sampled_from([*Family]).flatmap(
        lambda family: (
            sets_named([*empty_sets(family)], family)
            .flatmap(lambda found: st.permutations(list(found)))
            .map(lambda found: {ipset.name: ipset for ipset in found})
        )
    )


OWNS = st.builds(
    Own,
    st.dictionaries(
        st.tuples(st.sampled_from([*Family]), st.sampled_from([*TableName])),
        st.builds(OwnTable, CHAINS, CHAINS),
        max_size=3,
    ),
    st.just({}) | sets(),
    st.dictionaries(st.sampled_from([*Family]), LINES),
    st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
)


def through_a_file(own: Own) -> Own:
    text = json.dumps(own_data(own))
    assert text.isascii()
    return own_from(json.loads(text))


@given(OWNS)
def test_anything_comes_back_as_it_was(own: Own) -> None:
    back = through_a_file(own)
    assert back == own
    # the order of chains is that of their text in the kernel's transaction
    assert [[*table.chains] for table in back.tables.values()] == [
        [*table.chains] for table in own.tables.values()
    ]


@pytest.mark.parametrize("case", CASES)
def test_what_a_policy_asks_for_comes_back_as_it_was(case: str) -> None:
    compiled = compile_policy(policy_of(case))
    own = own_of(compiled, {setting.name: str(setting.values[0]) for setting in compiled.settings})
    assert through_a_file(own) == own


def test_nothing_comes_back_as_nothing() -> None:
    assert through_a_file(Own()).is_empty


SOME = own_data(
    Own(
        {
            (Family.IPV4, TableName.FILTER): OwnTable(
                {"NETFW-a": ("-j DROP",)}, {"INPUT": ("-j NETFW-a",)}
            )
        },
        {"NETFW-s": IpSet("NETFW-s", "hash:net", Family.IPV4, (("family", "inet"),))},
        {Family.IPV6: ("rule add fwmark 1",)},
        {"net/ipv4/ip_forward": "1"},
    )
)


def changed(change: Callable[[Any], object]) -> object:
    data: object = copy.deepcopy(SOME)
    change(data)
    return data


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        changed(lambda data: data.pop("routing")),
        changed(lambda data: data.update(more=1)),
        changed(lambda data: data["tables"][0].update(family=5)),
        changed(lambda data: data["tables"][0].update(table="filters")),
        changed(lambda data: data["tables"][0].update(chains=[])),
        changed(lambda data: data["tables"][0]["chains"].update({"NETFW-a": "-j DROP"})),
        changed(lambda data: data["tables"][0]["chains"].update({"NETFW-a": [1]})),
        changed(lambda data: data["routing"].update({"x": []})),
        changed(lambda data: data["settings"].update({"net/ipv4/ip_forward": 1})),
    ],
)
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        own_from(data)


@pytest.mark.parametrize(
    "text", ["create NETFW-s hash:nothing\n", "create NETFW-s hash:net family inet"]
)
def test_sets_that_are_none_are_refused_as_soon_as_somebody_asks_for_them(text: str) -> None:
    own = own_from(changed(lambda data: data.update(sets=text)))
    with pytest.raises(HostError, match=r"^sets:1: "):
        len(own.sets)
