"""Random rules of every type come back from the kernel character for character."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netfw.facts.iptables_save import parse_ruleset
from netfw.host.iptables import restore, save
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.ruleset import Ruleset
from netfw.render.restore import render_ruleset
from tests.properties.random_rules import SET_NAME, rulesets
from tests.protocol_names import with_numbers

pytestmark = pytest.mark.kernel

EXAMPLES = 25


def chains_and_rules(text: str, table: TableName) -> tuple[set[str], list[str]]:
    """The ``:CHAIN`` lines of a table, whose order differs, and its rules."""
    lines = with_numbers(text).split(f"*{table}\n", 1)[1].split("COMMIT\n", 1)[0].split("\n")
    return {line for line in lines if line[:1] == ":"}, [line for line in lines if line[:1] == "-"]


@pytest.mark.parametrize("family", list(Family), ids=str)
@pytest.mark.parametrize("backend", list(Backend), ids=str)
def test_what_was_rendered_is_saved_and_read_as_the_same(backend: Backend, family: Family) -> None:
    inet = "inet" if family is Family.IPV4 else "inet6"
    with Namespace("random") as namespace:
        run(["ipset", "create", SET_NAME, "hash:ip,port", "family", inet], namespace=namespace)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # to shrink a failure takes minutes of loading
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.sampled_from(TableName).flatmap(lambda table: rulesets(family, table, most=20)))
        def comes_back(ruleset: Ruleset) -> None:
            text = render_ruleset(ruleset)
            restore(namespace, backend, family, text)
            saved = save(namespace, backend, family)
            table = ruleset.tables[0].name
            assert chains_and_rules(saved, table) == chains_and_rules(text, table)
            read = parse_ruleset(saved, family).table(table)
            assert read is not None
            assert set(read.chains) == set(ruleset.tables[0].chains)

        comes_back()
