"""Markdown as it is written in netfw/docs, as roff for man pages (man(7), tables by tbl(1))."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

FIRST_LINE = "'\\\" t\n"
"""What tells man(1) that there are tables to be set by tbl."""
_WIDEST_TERM = 16
_CHARACTERS = str.maketrans(
    {
        "\\": "\\e",
        "-": "\\-",
        "'": "\\(aq",
        "`": "\\(ga",
        "^": "\\(ha",
        "~": "\\(ti",
        '"': "\\(dq",
        "…": "...",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "≠": "!=",
        "✓": "ok",
        "✗": "!!",
        "±": "+/-",
    }
)
_BOXES = str.maketrans("┌├└│─┬┴┼┐┘┤", "++++-++++++")


def escaped(text: str) -> str:
    """``text`` so that roff prints it as it is; a line may follow a request."""
    plain = text.translate(_BOXES).translate(_CHARACTERS)
    return re.sub(r"^\.", r"\\&.", plain, flags=re.MULTILINE)


def heading(text: str) -> str:
    """A section."""
    return f".SH {_argument(text.upper())}\n"


def subheading(text: str) -> str:
    """A section within a section."""
    return f".SS {_argument(text)}\n"


def _argument(text: str) -> str:
    return f'"{escaped(text)}"'


def tagged(term: str, text: str) -> str:
    """A term, which is roff already, with what it means below it."""
    return f".TP\n{term}\n{text}\n"


def from_markdown(text: str, *, without_tables_of: Sequence[str] = ()) -> str:
    """Paragraphs, lists, code and tables; tables whose first heading is in ``without_tables_of``
    are left out. Headings of the second level become sections, deeper ones subsections."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    written: list[str] = []
    position = 0
    depth = 0
    while position < len(tokens):
        token = tokens[position]
        match token.type:
            case "heading_open":
                title = _plain(tokens[position + 1])
                written.append(heading(title) if token.tag <= "h2" else subheading(title))
                position += 2
            case "paragraph_open":
                if not _begins_item(tokens, position):
                    written.append(".PP\n" if depth == 0 else ".IP\n")
                written.append(f"{_inline(tokens[position + 1])}\n")
                position += 2
            case "fence" | "code_block":
                code = escaped(token.content.rstrip("\n"))
                written.append(f".PP\n.RS 4\n.nf\n{code}\n.fi\n.RE\n")
            case "bullet_list_open" | "ordered_list_open":
                depth += 1
                number = int(token.attrGet("start") or 1)
                is_ordered = token.type.startswith("ordered")
            case "bullet_list_close" | "ordered_list_close":
                depth -= 1
            case "list_item_open":
                sign = f"{number}." if is_ordered else "\\(bu"
                number += 1
                written.append(f".IP {sign} 4\n")
            case "table_open":
                end = _end_of(tokens, position, "table_close")
                head, *rows = _rows(tokens[position:end])
                if _without_roff(head[0]) not in without_tables_of:
                    written.append(_table(head, rows))
                position = end
            case _:
                pass
        position += 1
    return "".join(written)


def _begins_item(tokens: Sequence[Token], position: int) -> bool:
    return position > 0 and tokens[position - 1].type == "list_item_open"


def _end_of(tokens: Sequence[Token], start: int, kind: str) -> int:
    return next(n for n in range(start, len(tokens)) if tokens[n].type == kind)


def _rows(tokens: Sequence[Token]) -> list[list[str]]:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_inline(token))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if len(head) == 2:
        return "".join(tagged(term, meaning) for term, meaning in rows) + ".PP\n"
    # narrow columns for single words, the rest shared by those that hold sentences
    columns = list(zip(head, *rows, strict=True))
    widths = [max(len(_without_roff(cell)) for cell in column) for column in columns]
    form = " ".join("l" if width <= _WIDEST_TERM else "lx" for width in widths)
    lines = [".PP", ".TS", "allbox;", f"{form}."]
    for row in (head, *rows):
        # .ad l: narrow columns are ragged, where full lines would be torn apart
        lines.append("\t".join(f"T{{\n.ad l\n{cell}\nT}}" for cell in row))
    return "\n".join([*lines, ".TE", ".PP", ""])


def _without_roff(text: str) -> str:
    return re.sub(r"\\f.|\\\(..|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def _inline(token: Token) -> str:
    written: list[str] = []
    for child in token.children or ():
        match child.type:
            case "text":
                written.append(child.content.translate(_BOXES).translate(_CHARACTERS))
            case "code_inline" | "strong_open" | "em_open":
                content = child.content.translate(_BOXES).translate(_CHARACTERS)
                font = "\\fI" if child.type == "em_open" else "\\fB"
                written.append(f"{font}{content}\\fR" if content else font)
            case "strong_close" | "em_close":
                written.append("\\fR")
            case "softbreak" | "hardbreak":
                written.append("\n")
            case _:
                # links: their text stands beside them
                pass
    return re.sub(r"^\.", r"\\&.", "".join(written), flags=re.MULTILINE)
