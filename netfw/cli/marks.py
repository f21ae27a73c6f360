"""``netfw marks [WORD]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from netfw.errors import ExitCode, UsageError
from netfw.ir.mark import MAX_MARK, Mark, MaskedWord, parse_word
from netfw.ir.mark_field import DEFAULT_FIELD_MASK, MarkField
from netfw.ir.steer_field import SteerField


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "mark",
        nargs="?",
        metavar="MARK[/MASK]",
        help="a mark as iptables takes it: 0x60000, 393216 or 0x20000/0x30000; "
        "without one: who writes and reads each bit on this host",
    )
    parser.add_argument(
        "--field",
        metavar="MASK",
        help=f"where the policy has netfw's four bits; default: {DEFAULT_FIELD_MASK:#x}; "
        "without MARK their layout is printed",
    )
    parser.add_argument(
        "--steer",
        metavar="MASK",
        help="where the policy steers: 0xff00000 unless it says otherwise",
    )
    parser.add_argument(
        "--netns",
        metavar="NAME|PID|PATH",
        help="without MARK: another network namespace of this host",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Say what a mark means, or what this host does with all of them."""
    if arguments.mark is None and arguments.field is None:
        if arguments.steer is not None:
            raise UsageError.at("--steer", "it is for a mark", "give one: netfw marks 0x60000")
        return _show_ledger(arguments.netns or "", as_json=arguments.json)
    if arguments.netns is not None:
        raise UsageError.at("--netns", "it names a host to look at", "leave MARK and --field out")
    try:
        field = MarkField(parse_word(arguments.field or f"{DEFAULT_FIELD_MASK:#x}"))
    except ValueError as error:
        raise UsageError.at("--field", str(error)) from None
    steer = _read_steer(arguments.steer, field)
    if arguments.mark is None:
        lines = list(_layout(field))
        data: dict[str, object] = {"field": f"{field.mask:#x}", "bits": _bits(field)}
    else:
        word = _parse(arguments.mark)
        lines = list(_explain(word, field, steer))
        data = {
            "mark": str(word),
            "field": f"{field.mask:#x}",
            "set": list(field.names_of(word.value)),
            "meaning": field.meaning_of(word.value),
            "outside_field": f"{word.value & ~field.mask & MAX_MARK:#x}",
        }
        if steer is not None:
            data["steering"] = steer.meaning_of(word.value)
    if arguments.json:
        json.dump(data, sys.stdout, indent=1)
        print()
    else:
        print("\n".join(lines))
    return int(ExitCode.OK)


def _show_ledger(netns: str, *, as_json: bool) -> int:
    import gc

    # see netfw/cli/prove.py: many objects, hardly a cycle
    gc.disable()
    from netfw.doctor.ledger import make_ledger
    from netfw.host.live_namespace import LiveNamespace
    from netfw.host.observe import read_state
    from netfw.report.glyphs import glyphs_for
    from netfw.report.ledger import ledger_data, ledger_lines

    with LiveNamespace(netns) as namespace:
        ledger = make_ledger(read_state(namespace))
    if as_json:
        sys.stdout.write(json.dumps(ledger_data(ledger), indent=1) + "\n")
    else:
        for line in ledger_lines(ledger, glyphs_for(sys.stdout)):
            print(line)
    return int(ExitCode.OK)


def _read_steer(text: str | None, field: MarkField) -> SteerField | None:
    if text is None:
        return None
    try:
        steer = SteerField(parse_word(text))
    except ValueError as error:
        raise UsageError.at("--steer", str(error)) from None
    if steer.mask & field.mask:
        shared = f"{steer.mask & field.mask:#x}"
        raise UsageError.at("--steer", f"the bits {shared} are in the field too")
    return steer


def _parse(text: str) -> MaskedWord:
    value, slash, mask = text.partition("/")
    try:
        if not slash:
            return MaskedWord(parse_word(value), MAX_MARK)
        return Mark(parse_word(value), parse_word(mask))
    except ValueError as error:
        raise UsageError.at(
            text, str(error), "a mark looks like 0x60000 or 0x20000/0x30000"
        ) from None


def _bits(field: MarkField) -> dict[str, str]:
    return {name: f"{bit:#x}" for name, bit in field.bits}


_MEANINGS = {
    "accept": "the verdict: 1 = let through, 0 = deny",
    "checked": "the packet has been through the policy rules",
    "from-host-endpoint": "the packet came in by a host endpoint",
    "scratch": "used inside one chain; no meaning outside",
}


def _layout(field: MarkField) -> Iterator[str]:
    yield f"netfw's field is {field.mask:#x} of the packet mark:"
    for name, bit in field.bits:
        yield f"  {bit:#010x}  {name:<18}  {_MEANINGS[name]}"


def _explain(word: MaskedWord, field: MarkField, steer: SteerField | None = None) -> Iterator[str]:
    value, mask = word.value, word.mask
    yield f"{value:#x} = {value}" + ("" if mask == MAX_MARK else f", of the bits {mask:#x}")
    for name, bit in field.bits:
        state = "set" if value & bit else "not set" if mask & bit else "not looked at"
        yield f"  {bit:#010x}  {name:<18}  {state}"
    foreign = value & ~field.mask & MAX_MARK
    if steer is not None:
        yield f"  {value & steer.mask:#010x}  steering            {steer.meaning_of(value)}"
        foreign &= ~steer.mask
    if foreign:
        yield f"  {foreign:#010x}  outside netfw's field {field.mask:#x}: somebody else's bits"
    if mask & field.verdict_mask == field.verdict_mask:
        yield f"a packet with this mark: {field.meaning_of(value)}"
