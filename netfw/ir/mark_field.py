"""The field of the packet mark that belongs to netfw. No other file knows the number of a bit."""

from __future__ import annotations

from dataclasses import dataclass, field

from netfw.ir.mark import Mark, MaskedWord, check_word

DEFAULT_FIELD_MASK = 0xF0000
"""The bits of the packet mark that are ours unless the policy says otherwise."""

_BIT_NAMES = ("accept", "checked", "from-host-endpoint", "scratch")


@dataclass(frozen=True, slots=True)
class MarkField:
    """Four bits of the packet mark, lowest first: accept, checked, from-host-endpoint, scratch.

    ``mask`` has exactly four bits set, anywhere in the word; a policy may move the field.
    Raises ValueError for any other mask.
    """

    mask: int = DEFAULT_FIELD_MASK
    accept: int = field(init=False)
    checked: int = field(init=False)
    from_host_endpoint: int = field(init=False)
    scratch: int = field(init=False)

    def __post_init__(self) -> None:
        check_word(self.mask)
        bits = [1 << n for n in range(32) if self.mask >> n & 1]
        if len(bits) != len(_BIT_NAMES):
            raise ValueError(
                f"mask {self.mask:#x} has {len(bits)} bits: netfw's field needs exactly four"
            )
        for name, bit in zip(_BIT_NAMES, bits, strict=True):
            object.__setattr__(self, name.replace("-", "_"), bit)

    @property
    def bits(self) -> tuple[tuple[str, int], ...]:
        """The names and positions of the four bits, lowest first."""
        return tuple((name, getattr(self, name.replace("-", "_"))) for name in _BIT_NAMES)

    def mark(self, value: int, mask: int) -> Mark:
        """A mark inside the field; raises ValueError if the mask reaches outside."""
        mark = Mark(value, mask)
        if not self.owns(mark):
            raise ValueError(f"mark {mark} reaches outside netfw's field {self.mask:#x}")
        return mark

    def owns(self, word: MaskedWord) -> bool:
        """Whether value and mask lie inside the field."""
        return word.written & ~self.mask == 0

    @property
    def verdict_mask(self) -> int:
        """The bits that carry a verdict: accept and checked."""
        return self.accept | self.checked

    @property
    def cleared(self) -> Mark:
        """All four bits off, as on entry."""
        return self.mark(0, self.mask)

    @property
    def undecided(self) -> Mark:
        """Neither accepted nor checked: the packet has met no policy rule yet."""
        return self.mark(0, self.verdict_mask)

    @property
    def accepted(self) -> Mark:
        """Checked and accepted."""
        return self.mark(self.verdict_mask, self.verdict_mask)

    @property
    def denied(self) -> Mark:
        """Checked and not accepted."""
        return self.mark(self.checked, self.verdict_mask)

    @property
    def was_checked(self) -> Mark:
        """Through the policy rules, whatever they said."""
        return self.mark(self.checked, self.checked)

    @property
    def accepted_on_arrival(self) -> Mark:
        """Accepted before a packet that came in by a host endpoint met the filter table."""
        mask = self.verdict_mask | self.from_host_endpoint
        return self.mark(mask, mask)

    @property
    def settled(self) -> Mark:
        """Neither bit set of those that end a tier: checked, and scratch for `on to the next`."""
        return self.mark(0, self.checked | self.scratch)

    @property
    def scratch_set(self) -> Mark:
        """The scratch bit on."""
        return self.mark(self.scratch, self.scratch)

    @property
    def scratch_clear(self) -> Mark:
        """The scratch bit off."""
        return self.mark(0, self.scratch)

    @property
    def came_from_host_endpoint(self) -> Mark:
        """The packet came in by a declared host endpoint."""
        return self.mark(self.from_host_endpoint, self.from_host_endpoint)

    def names_of(self, word: int) -> tuple[str, ...]:
        """The names of our bits that are set in a mark."""
        return tuple(name for name, bit in self.bits if word & bit)

    def meaning_of(self, word: int) -> str:
        """What a mark says about a packet, in a sentence."""
        check_word(word)
        checked, accept = word & self.checked, word & self.accept
        if checked:
            verdict = "accepted by the policy" if accept else "denied by the policy"
        elif accept:
            verdict = "accept bit without checked bit: not a state that netfw leaves behind"
        else:
            verdict = "not yet judged by the policy"
        origin = (
            "came in by a host endpoint"
            if word & self.from_host_endpoint
            else "did not come in by a host endpoint"
        )
        return f"{verdict}; {origin}"
