"""What stands around the rules: systemd-networkd, IPVS, and other network namespaces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.doctor.host_state import HostState, Neighbour
from netfw.doctor.observed import Networkd
from netfw.doctor.place import System
from netfw.errors import FactError
from netfw.facts.kernel_config import missing_options
from netfw.facts.networkd_conf import manages_foreign_rules
from netfw.facts.virtual_servers import parse_marked_services
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Backend, Family
from netfw.traverse.routing_tables import TableRule
from tests.unit.nft_host import chain, or_mark, table
from tests.unit.test_findings import by_mark, found, held, host
from tests.unit.test_routing_findings import six

MANAGES = Networkd(is_running=True, manages_foreign_rules=True)
LEAVES = replace(MANAGES, manages_foreign_rules=False)


@pytest.mark.parametrize(
    ("texts", "manages"),
    [
        ((), True),
        (("[Network]\n#ManageForeignRoutingPolicyRules=no\n",), True),
        (("[Network]\nManageForeignRoutingPolicyRules=no\n",), False),
        (("[Network]\nManageForeignRoutingPolicyRules = False\n",), False),
        (("[DHCPv4]\nManageForeignRoutingPolicyRules=no\n",), True),
        (("[Network]\nManageForeignRoutes=no\n",), True),
        (
            (
                "[Network]\nManageForeignRoutingPolicyRules=no\n",
                "[Network]\nManageForeignRoutingPolicyRules=yes\n",
            ),
            True,
        ),
        (
            (
                "[Network]\nManageForeignRoutingPolicyRules=no\n",
                "[Network]\nManageForeignRoutingPolicyRules=\n",
            ),
            True,
        ),
    ],
)
def test_the_configuration_of_networkd(texts: tuple[str, ...], *, manages: bool) -> None:
    assert manages_foreign_rules(texts) is manages


def test_rules_that_networkd_takes_away() -> None:
    state = replace(host("", by_mark(7)), networkd=MANAGES)
    state = replace(
        state, routing_rules=tuple(replace(one, protocol=3) for one in state.routing_rules)
    )
    (one,) = found(state, "networkd-removes-rules")
    assert "runs" in one.problem
    assert len(one.evidence) == 1
    waiting = replace(MANAGES, is_running=False, files=("/etc/systemd/networkd.conf",))
    (one,) = found(replace(state, networkd=waiting), "networkd-removes-rules")
    assert "starts with this host" in one.problem
    assert "/etc/systemd/networkd.conf" in one.problem
    mine = TableRule(5, Family.IPV6, 100, mark=MaskedWord(0, 1), invert=True)
    assert found(replace(six("", mine, routes=()), networkd=MANAGES), "networkd-removes-rules")


def test_rules_that_networkd_leaves() -> None:
    foreign = replace(by_mark(7), protocol=3)
    code = "networkd-removes-rules"
    assert not found(host("", foreign), code)
    assert not found(replace(host("", foreign), networkd=LEAVES), code)
    # what it made itself, and what the kernel made
    for protocol in (4, 2):
        own = replace(by_mark(7), protocol=protocol)
        assert not found(replace(host("", own), networkd=MANAGES), code)
    # no mark: not doctor's
    assert not found(replace(host(""), networkd=MANAGES), code)


IPVS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C0000201:0050 rr
  -> 0A000002:0050      Masq    1      0          0
FWM  00000100 rr
  -> 0A000002:0000      Masq    1      0          0
FWM  000003E8 wlc persistent 50
"""


def test_services_of_ipvs_by_mark() -> None:
    assert parse_marked_services(IPVS) == (0x100, 1000)
    assert parse_marked_services("") == ()
    with pytest.raises(FactError):
        parse_marked_services("FWM  xyz rr\n")


def test_a_service_of_ipvs_is_a_reader_of_the_whole_mark() -> None:
    state = replace(host(""), virtual_servers=(0x100,))
    (use,) = [one for one in state.uses if one.spot.system is System.IPVS]
    assert use.tests[0].value == 0x100
    (one,) = found(state, "mark-never-set")
    assert "IPVS" in one.problem
    mark = "mangle PREROUTING -p tcp -j MARK --set-xmark 0x100/0xffffffff\n"
    assert not found(replace(host(mark), virtual_servers=(0x100,)), "mark-never-set")
    other = mark + "mangle INPUT -p tcp -j MARK --set-xmark 0x4000/0x4000"
    (one,) = found(replace(host(other), virtual_servers=(0x100,)), "equality-sees-other-bits")
    assert "give IPVS the whole word" in one.fix[0]
    # behind IPVS it does not matter
    late = mark + "mangle POSTROUTING -p tcp -j MARK --set-xmark 0x4000/0x4000"
    state = replace(host(late), virtual_servers=(0x100,))
    assert not found(state, "equality-sees-other-bits")


def near(text: str, *, link: str = "cont0", **more: object) -> Neighbour:
    rules = (held(text, Backend.LEGACY),) if text else ()
    return Neighbour((link,), HostState("web", rules, **more))  # type: ignore[arg-type]


ASKS = "filter FORWARD -m mark --mark 0x40/0xf0 -j ACCEPT"


@pytest.mark.parametrize("backend", Backend)
def test_a_mark_that_is_set_in_another_namespace(backend: Backend) -> None:
    for sets in (
        "mangle OUTPUT -j MARK --set-xmark 0x40/0xf0",
        "mangle POSTROUTING -p tcp -j MARK --set-xmark 0xffff/0xffffffff",
    ):
        state = replace(host(ASKS, backend=backend), neighbours=(near(""), near(sets)))
        (one,) = found(state, "mark-set-elsewhere")
        assert "namespace web" in one.problem
        assert "in namespace web" in one.evidence[1].text
        assert "-i cont0" in one.fix[0]
    native = near("", tables=(table(chain("o", [or_mark(0x40)], hook="output")),))
    state = replace(host("", by_mark(0x40, 0xF0)), neighbours=(native,))
    assert found(state, "mark-set-elsewhere")


def test_a_mark_that_is_set_here_or_not_there() -> None:
    code = "mark-set-elsewhere"
    there = "mangle OUTPUT -j MARK --set-xmark 0x40/0xf0"
    here = f"{ASKS}\nmangle PREROUTING -i lan -j MARK --set-xmark 0x40/0xf0"
    assert not found(replace(host(here), neighbours=(near(there),)), code)
    for other in ("mangle OUTPUT -j MARK --set-xmark 0x20/0xf0", ASKS, there.replace("OUT", "IN")):
        assert not found(replace(host(ASKS), neighbours=(near(other),)), code), other
    assert not found(host(ASKS), code)
    # a connection mark does not cross at all, and nobody thinks so
    connection = ASKS.replace("-m mark", "-m connmark")
    assert not found(replace(host(connection), neighbours=(near(there),)), code)


CONFIG = "CONFIG_NET=y\nCONFIG_NETFILTER_XT_MARK=m\n# CONFIG_NETFILTER_XT_CONNMARK is not set\n"


def test_what_a_kernel_was_built_without() -> None:
    assert missing_options(CONFIG) == {"NETFILTER_XT_CONNMARK", "NF_CONNTRACK_MARK"}
    assert missing_options(CONFIG + "CONFIG_NF_CONNTRACK_MARK=y\n") == {"NETFILTER_XT_CONNMARK"}
    assert not missing_options("")


def test_a_kernel_that_cannot_set_a_mark_that_is_asked_for() -> None:
    code, lacks = "mark-extension-missing", frozenset({"NETFILTER_XT_MARK"})
    state = replace(host("", by_mark(7)), kernel_lacks=lacks)
    (one,) = found(state, code)
    assert "CONFIG_NETFILTER_XT_MARK" in one.problem
    asks = "filter FORWARD -m connmark --mark 0x40/0xf0 -j ACCEPT"
    assert not found(replace(host(asks), kernel_lacks=lacks), code)
    for option in ("NETFILTER_XT_CONNMARK", "NF_CONNTRACK_MARK"):
        assert found(replace(host(asks), kernel_lacks=frozenset({option})), code)
    assert not found(host("", by_mark(7)), code)
    # native rules set it without the extension
    native = (table(chain("p", [or_mark(7)], hook="prerouting")),)
    state = replace(host("", by_mark(7), tables=native), kernel_lacks=lacks)
    assert not found(state, code)
