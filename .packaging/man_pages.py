"""The man pages netfw(1) and netfw-policy(5), from the parsers and from netfw/docs.

python .packaging/man_pages.py DIRECTORY: writes netfw.1 and netfw-policy.5 there.
Their date is that of the last change to the sources.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from command_line import verb_parsers, whole_parser
from roff import FIRST_LINE, escaped, from_markdown, heading, subheading, tagged
from wheel import date_of_sources

import netfw
from netfw.cli.main import VERBS

DOCS = Path(netfw.__file__).parent / "docs"
BUG_REPORT_HINT = "A failure with exit code 70 is a bug of netfw; \\-\\-debug shows where."


def main(folder: Path, date: int) -> None:
    """Write the pages; they bear this ``date``, in seconds since 1970."""
    day = datetime.fromtimestamp(date, UTC).date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "netfw.1").write_text(page_of_the_program(day), encoding="utf-8")
    (folder / "netfw-policy.5").write_text(page_of_the_language(day), encoding="utf-8")


def page_of_the_program(day: str) -> str:
    """netfw(1): every verb with all its options, and what cli.md says of it."""
    parser = whole_parser()
    parsers = verb_parsers(parser)
    sections = _sections_of(_document("cli.md"))
    return "".join(
        [
            _title("NETFW", 1, day),
            heading("Name"),
            "netfw \\- firewall policies: rules that are proven, and seen to work on the kernel\n",
            heading("Synopsis"),
            ".B netfw\n[\\fB\\-\\-help\\fR] [\\fB\\-\\-version\\fR] [\\fB\\-\\-debug\\fR]\n"
            "[\\fB\\-\\-color\\fR \\fIauto\\fR|\\fIalways\\fR|\\fInever\\fR]\n"
            "\\fIVERB\\fR [\\fIargument\\fR ...]\n",
            heading("Description"),
            "netfw turns a declarative policy\n(\\fBnetfw\\-policy\\fR(5))\n"
            "into iptables rules for IPv4 and IPv6, proves that the rules say what the policy\n"
            "says, and shows on the running kernel that packets really go that way.\n",
            from_markdown(sections.pop(""), without_tables_of=("option of these verbs",)),
            heading("Verbs"),
            *(tagged(f".B {escaped(verb)}", escaped(what)) for verb, what in VERBS.items()),
            heading("Options of all verbs"),
            *_options(parser),
            *(_verb(verb, parsers[verb], sections.pop(f"netfw {verb}", "")) for verb in VERBS),
            heading("Exit status"),
            from_markdown(sections.pop("Errors")),
            heading("Environment"),
            tagged(
                ".B NETFW_STATE",
                "The folder in which netfw keeps what it did to this host, instead of\n"
                "\\fI/var/lib/netfw\\fR.",
            ),
            tagged(".B NO_COLOR", "If it is set to anything, nothing is printed in colour."),
            heading("Files"),
            tagged(
                ".I /var/lib/netfw",
                "What was applied to this host, when and by whom, and what was there before.",
            ),
            heading("Bugs"),
            f"{BUG_REPORT_HINT}\n",
            heading("See also"),
            "\\fBnetfw\\-policy\\fR(5),\n\\fBiptables\\fR(8),\n\\fBiptables\\-save\\fR(8),\n"
            "\\fBipset\\fR(8),\n\\fBnft\\fR(8),\n\\fBip\\-rule\\fR(8)\n",
        ]
    )


def page_of_the_language(day: str) -> str:
    """netfw-policy(5): policy.md."""
    text = _document("policy.md")
    _, introduction, rest = re.split(r"^# .*\n|(?=^## )", text, maxsplit=2, flags=re.MULTILINE)
    return "".join(
        [
            _title("NETFW-POLICY", 5, day),
            heading("Name"),
            "netfw\\-policy \\- the language in which firewall policies of netfw are written\n",
            heading("Description"),
            from_markdown(introduction),
            from_markdown(rest),
            heading("See also"),
            "\\fBnetfw\\fR(1)\n",
        ]
    )


def _document(name: str) -> str:
    """A document, in which links to the language's description name its man page."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.sub(r"\[policy\.md\]\([^)]*\)", "**netfw-policy**(5)", text)


def _title(name: str, section: int, day: str) -> str:
    version = f"netfw {netfw.__version__}"
    return f'{FIRST_LINE}.TH {escaped(name)} {section} {day} "{version}" netfw\n'


def _sections_of(text: str) -> dict[str, str]:
    """What cli.md says, by the verb or the heading; what stands before them by ``""``."""
    first, *parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    sections = {"": re.sub(r"^# .*\n", "", first)}
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        named = re.match(r"netfw [a-z-]+", title)
        sections[named[0] if named else title] = body
    return sections


def _verb(verb: str, parser: argparse.ArgumentParser, said: str) -> str:
    values = [_word(action) for action in parser._actions if not action.option_strings]
    synopsis = " ".join([f"\\fBnetfw {escaped(verb)}\\fR", "[\\fIoption\\fR ...]", *values])
    prose = re.sub(r"^###+ ", "#### ", said, flags=re.MULTILINE)
    return "".join(
        [
            heading(f"netfw {verb}"),
            f"{synopsis}\n",
            from_markdown(prose, without_tables_of=("option",)) if prose.strip() else "",
            subheading(f"Arguments of netfw {verb}"),
            *_options(parser, without=("--help", "--debug", "--color")),
        ]
    )


def _options(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or {*action.option_strings} & {*without}:
            continue
        meaning = formatter._expand_help(action) if action.help else ""
        yield tagged(_term(action), escaped(meaning))


def _term(action: argparse.Action) -> str:
    word = _word(action)
    if not action.option_strings:
        return word
    names = [f"\\fB{escaped(name)}\\fR" for name in action.option_strings]
    return ", ".join(f"{name} {word}" if word else name for name in names)


def _word(action: argparse.Action) -> str:
    """What stands for the action's value: a word, or its choices."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        word = f"\\fI{escaped(action.metavar)}\\fR"
    elif action.choices is not None:
        word = "|".join(f"\\fI{escaped(str(choice))}\\fR" for choice in action.choices)
    else:
        word = f"\\fI{escaped(action.dest.upper())}\\fR"
    match action.nargs:
        case "?":
            return f"[{word}]"
        case "*":
            return f"[{word} ...]"
        case _:
            return word


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(date_of_sources()))
