"""Lines of iptables-restore input as words."""

from __future__ import annotations

from netfw.ir.word import QuotedWord


def split_words(line: str) -> list[str]:
    """Split a line as iptables-restore does (add_param_to_argv in iptables/xshared.c).

    Blanks and tabs separate; double quotes hold words together, and a backslash inside them
    keeps the next character as it is. Raises ValueError for a quote that is never closed.
    """
    if '"' not in line:
        return line.split()
    words: list[str] = []
    word: list[str] = []
    begun = quoted = escaped = was_quoted = False
    for character in line:
        if escaped:
            word.append(character)
            escaped = False
        elif quoted:
            if character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
            else:
                word.append(character)
        elif character == '"':
            quoted = begun = was_quoted = True
        elif character in " \t\n":
            if begun:
                words.append(_word(word, quoted=was_quoted))
                word.clear()
                begun = was_quoted = False
        else:
            word.append(character)
            begun = True
    if quoted:
        raise ValueError("a quote is never closed")
    if begun:
        words.append(_word(word, quoted=was_quoted))
    return words


def _word(characters: list[str], *, quoted: bool) -> str:
    text = "".join(characters)
    return QuotedWord(text) if quoted else text
