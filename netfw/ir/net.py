"""A block of addresses as iptables has them: an address under a mask."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.address import format_address, parse_address
from netfw.ir.names import Family

__all__ = ["Net", "format_address", "parse_address"]


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
        if not (0 <= self.address < top and 0 <= self.mask < top):
            raise ValueError(f"not an {self.family} network: {self.address:#x}/{self.mask:#x}")
        if self.address & ~self.mask:
            raise ValueError(f"network {self} has address bits outside its mask")

    @classmethod
    def parse(cls, text: str, *, strict: bool = False) -> Net:
        """Read ``192.0.2.1``, ``192.0.2.0/24``, ``10.0.0.1/255.0.0.255`` or the same in IPv6.

        Host bits outside the mask are cleared as iptables does, or refused where strict.
        Raises ValueError with a sentence that a user can read.
        """
        address_text, slash, mask_text = text.partition("/")
        family, address = parse_address(address_text)
        full = (1 << family.bits) - 1
        if not slash:
            mask = full
        elif mask_text.isascii() and mask_text.isdigit():
            length = int(mask_text)
            if length > family.bits:
                raise ValueError(f"'{text}' has a prefix longer than {family.bits}")
            mask = full ^ (full >> length)
        else:
            mask_family, mask = parse_address(mask_text)
            if mask_family is not family:
                raise ValueError(f"'{text}' mixes IPv4 and IPv6")
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
        length = self.mask.bit_count()
        full = (1 << self.family.bits) - 1
        return length if self.mask == full ^ (full >> length) else None

    @property
    def is_single(self) -> bool:
        """Whether this is one address."""
        return self.mask == (1 << self.family.bits) - 1

    def __str__(self) -> str:
        """The form of iptables-save: always with prefix length, or with a mask in full."""
        length = self.prefix_length
        mask = format_address(self.family, self.mask) if length is None else str(length)
        return f"{format_address(self.family, self.address)}/{mask}"
