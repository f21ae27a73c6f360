"""Which sysctls a host has to change."""

from __future__ import annotations

from netfw.ir.routing import Setting
from netfw.plan.settings import settings_of

LOOSE = Setting("net/ipv4/conf/up/rp_filter", (2, 0), "answers come by another interface")


def test_a_value_that_is_not_fine_is_changed_to_the_first_that_is():
    assert settings_of([LOOSE], {LOOSE.name: "1"}) == {LOOSE.name: "2"}


def test_a_value_that_is_fine_stays():
    assert settings_of([LOOSE], {LOOSE.name: "0"}) == {}


def test_a_value_that_netfw_wrote_stays_its_own():
    assert settings_of([LOOSE], {LOOSE.name: "2"}, [LOOSE.name]) == {LOOSE.name: "2"}
    assert settings_of([LOOSE], {LOOSE.name: "1"}, [LOOSE.name]) == {LOOSE.name: "2"}


def test_what_a_host_does_not_have_is_left_out():
    assert settings_of([LOOSE], {}) == {}
