"""A block of addresses as iptables has them: an address under a mask."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.address import format_address, parse_address
from netfw.ir.names import Family

__all__ = ["Net", "format_address", "parse_address"]

_MASKS = {
    family: {str(n): (1 << family.bits) - (1 << family.bits - n) for n in range(family.bits + 1)}
    for family in Family
}
"""Masks of prefixes, by the length as it is written."""
_LENGTHS = {
    family: {mask: int(length) for length, mask in masks.items()}
    for family, masks in _MASKS.items()
}


@dataclass(frozen=True, slots=True)
class Net:
    """All addresses ``a`` with ``a & mask == address``; the mask need not be a prefix.

    Address and mask are unsigned numbers of ``family.bits`` bits.
    Raises ValueError for numbers out of range or address bits outside the mask.
    """

    family: Family
    address: int
    mask: int

    def __post_init__(self) -> None:
        top = 1 << self.family.bits
        if 0 <= self.mask < top and self.address & self.mask == self.address:
            return
        if not (0 <= self.address < top and 0 <= self.mask < top):
            raise ValueError(f"not an {self.family} network: {self.address:#x}/{self.mask:#x}")
        raise ValueError(f"network {self} has address bits outside its mask")

    @classmethod
    def parse(cls, text: str, *, strict: bool = False) -> Net:
        """Read ``192.0.2.1``, ``192.0.2.0/24``, ``10.0.0.1/255.0.0.255`` or the same in IPv6.

        Host bits outside the mask are cleared as iptables does, or refused where strict.
        Raises ValueError with a sentence that a user can read.
        """
        address_text, slash, mask_text = text.partition("/")
        family, address = parse_address(address_text)
        mask = _MASKS[family].get(mask_text if slash else str(family.bits))
        if mask is None:
            mask = _parse_mask(mask_text, family, text)
        if strict and address & ~mask:
            raise ValueError(f"'{text}' has host bits set")
        return cls(family, address & mask, mask)

    @classmethod
    def everything(cls, family: Family) -> Net:
        """All addresses of a family."""
        return cls(family, 0, 0)

    def __contains__(self, address: int) -> bool:
        return address & self.mask == self.address

    @property
    def prefix_length(self) -> int | None:
        """The prefix length, or None for a mask that is not a prefix."""
        return _LENGTHS[self.family].get(self.mask)

    @property
    def is_single(self) -> bool:
        """Whether this is one address."""
        return self.mask == (1 << self.family.bits) - 1

    def __str__(self) -> str:
        """The form of iptables-save: always with prefix length, or with a mask in full."""
        length = self.prefix_length
        mask = format_address(self.family, self.mask) if length is None else str(length)
        return f"{format_address(self.family, self.address)}/{mask}"


def _parse_mask(mask_text: str, family: Family, text: str) -> int:
    """What is no plain length of a prefix: ``024``, or a mask in full."""
    if mask_text.isascii() and mask_text.isdigit():
        length = int(mask_text)
        if length > family.bits:
            raise ValueError(f"'{text}' has a prefix longer than {family.bits}")
        return _MASKS[family][str(length)]
    mask_family, mask = parse_address(mask_text)
    if mask_family is not family:
        raise ValueError(f"'{text}' mixes IPv4 and IPv6")
    return mask
