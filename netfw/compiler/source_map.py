"""The way back from a comment in the kernel to a line of the policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from netfw.errors import Where
from netfw.ir.names import OWN_COMMENT_PREFIX
from netfw.ir.origin import Origin


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Origins by identity. It is stored beside what was applied, because identities in the kernel
    hold no line numbers."""

    origins: tuple[Origin, ...]
    _by_identity: dict[str, Origin] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_identity = {origin.identity: origin for origin in self.origins}
        if len(by_identity) != len(self.origins):
            raise ValueError("a source map has the same identity twice")
        object.__setattr__(self, "_by_identity", by_identity)

    @classmethod
    def of_origins(cls, origins: Iterable[Origin]) -> SourceMap:
        """Collect origins, of which the first with an identity counts."""
        found: dict[str, Origin] = {}
        for origin in origins:
            found.setdefault(origin.identity, origin)
        return cls(tuple(found[identity] for identity in sorted(found)))

    def __iter__(self) -> Iterator[Origin]:
        return iter(self.origins)

    def __len__(self) -> int:
        return len(self.origins)

    def find(self, identity: str) -> Origin | None:
        """The origin with this identity, or None."""
        return self._by_identity.get(identity)

    def origin_of(self, comment: str) -> Origin | None:
        """The origin of a rule with this comment (``netfw:public/web``), or None."""
        if not comment.startswith(OWN_COMMENT_PREFIX):
            return None
        return self.find(comment.removeprefix(OWN_COMMENT_PREFIX))

    def to_json(self) -> dict[str, dict[str, object]]:
        """Plain data for a JSON file, keyed by identity."""
        return {
            origin.identity: {
                "file": origin.where.file,
                "line": origin.where.line,
                "column": origin.where.column,
                "text": origin.text,
                **({"notes": dict(origin.notes)} if origin.notes else {}),
            }
            for origin in self.origins
        }

    @classmethod
    def from_json(cls, data: object) -> SourceMap:
        """Read back what ``to_json`` gave; raises ValueError for anything else."""
        if not isinstance(data, dict):
            raise ValueError("a source map is an object keyed by identity")
        origins = []
        for identity, entry in data.items():
            match entry:
                case {
                    "file": str(file),
                    "line": int(line),
                    "column": int(column),
                    "text": str(text),
                } if isinstance(identity, str):
                    notes = _notes_of(identity, entry.get("notes", {}))
                    origins.append(Origin(Where(file, line, column), identity, text, notes))
                case _:
                    raise ValueError(f"source map entry {identity!r} is not understood")
        return cls(tuple(origins))


def _notes_of(identity: str, data: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(data, dict) or not all(
        isinstance(word, str) for pair in data.items() for word in pair
    ):
        raise ValueError(f"the notes of source map entry {identity!r} are not understood")
    return tuple(data.items())
