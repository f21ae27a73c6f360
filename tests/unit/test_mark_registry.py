"""Known software that uses marks, and whom a mark is put down to."""

from __future__ import annotations

from netfw.doctor.registry import MarkKind, Style, load_registry, owners_of, touching


def keys(value: int, mask: int, kind: MarkKind = MarkKind.PACKET) -> list[str]:
    return [software.key for software in owners_of(value, mask, kind)]


def test_every_entry_has_a_source_and_values_that_fit_a_mark() -> None:
    registry = load_registry()
    assert len(registry) > 60
    assert len({software.key for software in registry}) == len(registry)
    for software in registry:
        assert software.sources, software.key
        if software.style in (Style.BITS, Style.FIELD, Style.WHOLE, Style.RANGE):
            assert software.values, software.key
        if software.style is Style.NONE:
            assert not software.values, software.key


def test_a_mark_of_one_program_is_put_down_to_it_first() -> None:
    assert keys(0xCA6C, 0xFFFFFFFF, MarkKind.SOCKET)[0] == "wg-quick"
    assert keys(0x4000, 0x4000)[0] == "kube-proxy"
    assert keys(0x80000, 0xFF0000)[0] == "tailscale"
    assert keys(0x6D6F6C65, 0xFFFFFFFF)[0] == "mullvad"


def test_bits_inside_a_pool_may_be_the_pool_s_owner_s() -> None:
    found = keys(0x20000, 0x20000)
    assert "kube-router-netpol" in found
    assert "calico-iptables" in found


def test_calico_is_told_apart_by_its_releases() -> None:
    meanings = {
        software.releases: [one.meaning for one in software.values if one.value == 0x40000]
        for software in owners_of(0x40000, 0x40000)
        if software.key.startswith("calico-iptables")
    }
    assert meanings["3.30 and later"] == ["drop"]
    assert "from a workload" in meanings["before 3.30"][0]


def test_an_unmarked_packet_has_no_owner() -> None:
    assert keys(0, 0xF0000) == []


def test_a_connection_s_mark_is_not_a_packet_s() -> None:
    assert "vyos-wlb" in keys(0xC9, 0xFFFFFFFF, MarkKind.CONNECTION)
    assert "vyos-wlb" not in keys(0xC9, 0xFFFFFFFF, MarkKind.PACKET)


def test_the_third_nibble_above_bit_15_is_touched_by_fewer_than_the_first() -> None:
    assert len(touching(0xF0000)) > len(touching(0xF0000000)) > 0


def test_a_whole_word_is_nobody_s_field() -> None:
    assert "azure-npm" not in keys(0x20000, 0xFFFFFFFF)
