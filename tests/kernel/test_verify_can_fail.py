"""Verification can fail: whatever is made wrong on purpose is noticed and named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath

import pytest

from netfw.errors import ExitCode
from netfw.host.backlog import Backlog
from netfw.host.iptables import restore
from netfw.ir.mark import Mark
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Backend, ChainPolicy, Family, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import Accept, Goto, SetMark
from netfw.policy.read import load
from netfw.render.restore import render_ruleset
from netfw.traverse.documented import DOCUMENTED
from netfw.traverse.situation import Path
from netfw.verify.progress import NoProgress
from netfw.verify.result import Result, Run, Verification
from netfw.verify.session import Task, run_task
from netfw.verify.stage import Stage
from netfw.verify.verify import order_tasks, policy_task

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.parametrize("backend", list(Backend), ids=str),
    pytest.mark.parametrize("family", list(Family), ids=str),
]
POLICY = """\
version: 1
failsafes: none
endpoints:
  wan: {host: eth0}
policies:
  - name: public
    at: wan
    ingress:
      - allow: ssh
        name: shell
"""


def play(task: Task) -> Run:
    return run_task(replace(task, quiet_seconds=0.25), NoProgress())


def the_order(backend: Backend, family: Family) -> Task:
    return next(order_tasks(backend, family))


def the_policy(backend: Backend, family: Family) -> Task:
    return policy_task(load(POLICY, "policy.yaml"), backend, family)


def problems(run: Run) -> str:
    lines = [difference.problem for difference in run.differences]
    lines += [d.problem for comparison in run.comparisons for d in comparison.differences]
    return "\n".join(lines)


def exit_code(run: Run) -> ExitCode:
    return Verification("x", {}, [run]).exit_code


def change(
    ruleset: Ruleset, table_name: TableName, chain_name: str, edit: Callable[[Chain], Chain]
) -> Ruleset:
    """The ruleset with one chain edited."""

    def chains(table: Table) -> tuple[Chain, ...]:
        return tuple(edit(chain) if chain.name == chain_name else chain for chain in table.chains)

    assert any(
        chain.name == chain_name
        for table in ruleset.tables
        if table.name is table_name
        for chain in table.chains
    )
    return replace(
        ruleset,
        tables=tuple(
            Table(table.name, chains(table)) if table.name is table_name else table
            for table in ruleset.tables
        ),
    )


def edit_rule(identity: str, edit: Callable[[Rule], Rule | None]) -> Callable[[Chain], Chain]:
    """Edit the rules that carry an identity; None drops them."""

    def edited(chain: Chain) -> Chain:
        rules = [
            edit(rule) if rule.comment == f"netfw:{identity}" else rule for rule in chain.rules
        ]
        assert tuple(rules) != chain.rules
        return replace(chain, rules=tuple(rule for rule in rules if rule is not None))

    return edited


def test_as_it_should_be_everything_agrees(backend: Backend, family: Family) -> None:
    for task in (*order_tasks(backend, family), the_policy(backend, family)):
        run = run_task(task, NoProgress())
        assert run.result is Result.AGREE, problems(run)
        assert run.count(Result.AGREE) == len(task.probes) > 0
        assert exit_code(run) is ExitCode.OK


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        (Path.FORWARDED, "mangle.FORWARD", "filter.FORWARD"),
        (Path.LOCAL_IN, "mangle.PREROUTING", "nat.PREROUTING"),
        (Path.LOCAL_OUT, "raw.OUTPUT", "mangle.OUTPUT"),
        (Path.LOOPBACK, "mangle.INPUT", "filter.INPUT"),
    ],
)
def test_two_tables_swapped_in_the_documented_order_are_noticed(
    backend: Backend, family: Family, path: Path, one: str, other: str
) -> None:
    swapped = {one: other, other: one}
    order = dict(DOCUMENTED)
    order[path] = " ".join(swapped.get(word, word) for word in order[path].split())
    run = play(replace(the_order(backend, family), order=order))
    wrong = [c for c in run.comparisons if c.result is Result.DIFFER]
    assert run.result is Result.DIFFER
    assert exit_code(run) is ExitCode.DIFFERENCES
    assert {comparison.probe.path for comparison in wrong} == {path}
    assert f"is documented as {other}, the kernel passed {one}" in problems(run)


def test_a_rule_that_is_not_loaded_is_named(backend: Backend, family: Family) -> None:
    task = the_policy(backend, family)
    drop = edit_rule("public/shell", lambda rule: None)
    loaded = change(task.ruleset, TableName.FILTER, "NETFW-IN-wan", drop)
    run = play(replace(task, loaded=loaded))
    assert run.result is Result.DIFFER
    assert "rules read back from the kernel: --A NETFW-IN-wan" in problems(run)
    assert 'netfw:public/shell"' in problems(run)
    assert any(
        d.problem == "the policy says accepted, but the packet was dropped by a rule"
        for comparison in run.comparisons
        if comparison.probe.group == "public/shell"
        for d in comparison.differences
    )


def test_a_rule_that_nobody_meant_to_load_is_named(backend: Backend, family: Family) -> None:
    task = the_order(backend, family)
    more = change(
        task.ruleset,
        TableName.MANGLE,
        "FORWARD",
        lambda chain: replace(chain, rules=(Rule((), Accept()), *chain.rules)),
    )
    run = play(replace(task, loaded=more))
    assert run.result is Result.DIFFER
    assert "rules read back from the kernel: +-A FORWARD -j ACCEPT" in problems(run)


def test_another_mark_is_noticed_at_its_step(backend: Backend, family: Family) -> None:
    task = the_order(backend, family)
    other = edit_rule(
        "order/mangle.FORWARD", lambda rule: replace(rule, target=SetMark(Mark(1 << 30, 1 << 30)))
    )
    run = play(replace(task, loaded=change(task.ruleset, TableName.MANGLE, "FORWARD", other)))
    wrong = [c for c in run.comparisons if c.result is Result.DIFFER]
    assert {comparison.probe.path for comparison in wrong} == {Path.FORWARDED}
    assert all("mark after the step: predicted" in c.differences[0].problem for c in wrong)
    for comparison in wrong:
        step = comparison.differences[0].step
        assert step is not None
        assert comparison.predicted.steps[step].chain == "FORWARD"
        assert comparison.predicted.steps[step].table is TableName.MANGLE


def test_another_chain_policy_is_noticed(backend: Backend, family: Family) -> None:
    task = the_order(backend, family)
    closed = change(
        task.ruleset,
        TableName.FILTER,
        "FORWARD",
        lambda chain: replace(chain, policy=ChainPolicy.DROP),
    )
    run = play(replace(task, loaded=closed))
    assert run.result is Result.DIFFER
    assert "+:FORWARD DROP [0:0]" in problems(run)
    assert "the packet's end: predicted sent (eth1), observed dropped by a rule" in problems(run)


def test_rules_that_say_other_than_the_policy_are_noticed_even_if_kernel_and_prediction_agree(
    backend: Backend, family: Family
) -> None:
    task = the_policy(backend, family)
    open_door = edit_rule("wan/default", lambda rule: replace(rule, target=Goto("NETFW-ACCEPT")))
    wrong = change(task.ruleset, TableName.FILTER, "NETFW-IN-wan", open_door)
    run = play(replace(task, ruleset=wrong))
    assert run.differences == []
    assert run.result is Result.DIFFER
    assert "the policy says denied, but the packet was delivered to this host" in problems(run)


def test_a_mark_that_the_policy_does_not_mean_is_noticed(backend: Backend, family: Family) -> None:
    task = replace(the_policy(backend, family), field=MarkField(0x0F000000))
    run = play(task)
    assert run.result is Result.DIFFER
    assert "the policy says accepted, which is mark 0x3000000/0x3000000" in problems(run)


def test_lost_packets_make_it_inconclusive(
    backend: Backend, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own count is not made to rise here; what follows from it is shown."""
    monkeypatch.setattr(Backlog, "lost", "the kernel dropped 3 packets")
    task = the_policy(backend, family)
    drop = edit_rule("public/shell", lambda rule: None)
    run = play(replace(task, loaded=change(task.ruleset, TableName.FILTER, "NETFW-IN-wan", drop)))
    assert run.count(Result.DIFFER) == 0
    reasons = {c.reason for c in run.comparisons if c.result is Result.INCONCLUSIVE}
    assert reasons == {"the kernel dropped 3 packets"}


def test_no_connection_is_forgotten_during_a_run(backend: Backend, family: Family) -> None:
    """A machine may be so busy that an answer comes only when the kernel would have forgotten."""
    task = the_policy(backend, family)
    path = FilePath("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")
    with Stage(task.layout, family) as stage:
        restore(stage.firewall, backend, family, render_ruleset(task.ruleset))
        assert int(stage.firewall.call(path.read_text)) < 60
        stage.keep_connections()
        assert int(stage.firewall.call(path.read_text)) > 60 * 60


def test_lost_trace_events_make_it_inconclusive(backend: Backend, family: Family) -> None:
    run = play(replace(the_order(backend, family), trace_buffer=4096))
    assert run.result is Result.INCONCLUSIVE
    assert exit_code(run) is ExitCode.HOST
    assert run.count(Result.DIFFER) == 0
    assert run.inconclusive


def test_the_examples_agree(backend: Backend, family: Family) -> None:
    examples = FilePath(__file__).parents[2] / "netfw" / "examples"
    files = sorted(examples.glob("*.yaml"))
    assert files
    for file in files:
        policy = load(file.read_text(), file.name)
        run = run_task(policy_task(policy, backend, family), NoProgress())
        assert run.result is Result.AGREE, problems(run)


def test_a_moved_field_agrees(backend: Backend, family: Family) -> None:
    text = POLICY.replace("version: 1\n", "version: 1\nmarks: {mask: 0x0f000000}\n")
    run = run_task(policy_task(load(text, "policy.yaml"), backend, family), NoProgress())
    assert run.result is Result.AGREE, problems(run)
    accepted = [c for c in run.comparisons if c.probe.group == "public/shell"]
    assert any(comparison.predicted.mark == 0x07000000 for comparison in accepted)


def test_a_table_that_the_kernel_lacks_is_left_out_and_named(
    backend: Backend, family: Family
) -> None:
    lacking = frozenset({TableName.SECURITY})
    for task in order_tasks(backend, family, lacking):
        run = run_task(task, NoProgress())
        assert run.result is Result.AGREE, problems(run)
        assert run.not_verified == ["this kernel has no table security"]
        assert all(
            station.table is not TableName.SECURITY
            for comparison in run.comparisons
            for station in comparison.predicted.stations
        )


def test_a_member_missing_in_the_kernel_is_noticed_twice(backend: Backend, family: Family) -> None:
    """When the sets are read back, and by a packet that goes another way."""
    file = FilePath(__file__).parents[1] / "golden" / "80-folded" / "policy.yaml"
    policy = load(file.read_text(), file.name)
    task = policy_task(policy, backend, family)
    first = task.ruleset.sets[0]
    fewer = replace(first, members=first.members[1:])
    run = play(replace(task, loaded=replace(task.ruleset, sets=(fewer, *task.ruleset.sets[1:]))))
    assert run.result is Result.DIFFER
    assert f"sets read back from the kernel: -{first.name} " in problems(run)
    assert any(comparison.result is Result.DIFFER for comparison in run.comparisons)
