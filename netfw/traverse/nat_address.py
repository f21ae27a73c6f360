"""Which address of a range the kernel gives to a connection: a hash decides, without chance.

Source: find_best_ips_proto in net/netfilter/nf_nat_core.c, jhash2 in include/linux/jhash.h,
reciprocal_scale in include/linux/kernel.h (Linux 6.12). The hash is over 32-bit words as they lie
in memory, which are read here as a little-endian processor does.
"""

from __future__ import annotations

from netfw.ir.names import Family

_WORD = 0xFFFFFFFF
_INITVAL = 0xDEADBEEF
_ADDRESS_WORDS = 4
"""An address takes so many words in a tuple, those of IPv4 behind the first being 0."""


def choose_address(
    family: Family, span: tuple[int, int], source: int, destination: int, *, persistent: bool
) -> int:
    """The address of ``span`` (first, last) for a connection from ``source`` to ``destination``.

    ``persistent`` leaves the destination out, so that a client keeps its address (--persistent).
    """
    first, last = (_words(family, address) for address in span)
    if first == last:
        return span[0]
    from_words, to_words = (_words(family, address) for address in (source, destination))
    padded = [*map(_swapped, from_words), *[0] * (_ADDRESS_WORDS - len(from_words))]
    choice = _jhash2(padded, 0 if persistent else _swapped(to_words[-1]))
    found: list[int] = []
    is_full = False
    for low, high, to in zip(first, last, to_words, strict=True):
        if is_full:
            low, span_size = 0, _WORD
        else:
            span_size = (high - low + 1) & _WORD
        word = (low + (choice * span_size >> 32)) & _WORD
        found.append(word)
        # once below the last address, the words behind are free
        is_full = is_full or word != high
        if not persistent:
            choice ^= _swapped(to)
    address = 0
    for word in found:
        address = address << 32 | word
    return address


def _words(family: Family, address: int) -> list[int]:
    """An address as 32-bit numbers, the first bits first."""
    return [address >> place & _WORD for place in range(family.bits - 32, -1, -32)]


def _swapped(word: int) -> int:
    """A word of network byte order as a little-endian processor reads it."""
    return int.from_bytes(word.to_bytes(4, "big"), "little")


def _rotated(word: int, places: int) -> int:
    return (word << places | word >> (32 - places)) & _WORD


def _jhash2(words: list[int], initial: int) -> int:
    """Bob Jenkins' lookup3 over exactly four words: three are mixed, then the last."""
    one, two, three, four = words
    a = b = c = (_INITVAL + (len(words) << 2) + initial) & _WORD
    a, b, c = (a + one) & _WORD, (b + two) & _WORD, (c + three) & _WORD
    a = (a - c & _WORD) ^ _rotated(c, 4)
    c = c + b & _WORD
    b = (b - a & _WORD) ^ _rotated(a, 6)
    a = a + c & _WORD
    c = (c - b & _WORD) ^ _rotated(b, 8)
    b = b + a & _WORD
    a = (a - c & _WORD) ^ _rotated(c, 16)
    c = c + b & _WORD
    b = (b - a & _WORD) ^ _rotated(a, 19)
    a = a + c & _WORD
    c = (c - b & _WORD) ^ _rotated(b, 4)
    b = b + a & _WORD
    a = a + four & _WORD
    c = (c ^ b) - _rotated(b, 14) & _WORD
    a = (a ^ c) - _rotated(c, 11) & _WORD
    b = (b ^ a) - _rotated(a, 25) & _WORD
    c = (c ^ b) - _rotated(b, 16) & _WORD
    a = (a ^ c) - _rotated(c, 4) & _WORD
    b = (b ^ a) - _rotated(a, 14) & _WORD
    return (c ^ b) - _rotated(b, 24) & _WORD
