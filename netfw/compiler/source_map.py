"""The way back from a comment in the kernel to a line of the policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netfw.errors import HostError, Where
from netfw.ir.names import OWN_COMMENT_PREFIX
from netfw.ir.origin import Origin


class SourceMap:
    """Origins by identity. It is stored beside what was applied, because identities in the kernel
    hold no line numbers. Raises ValueError where two have the same identity."""

    def __init__(self, origins: Iterable[Origin] = ()) -> None:
        self._found = _by_identity(origins)

    def _all(self) -> dict[str, Origin]:
        return self._found

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All of them."""
        return (*self,)

    @classmethod
    def of_origins(cls, origins: Iterable[Origin]) -> SourceMap:
        """Collect origins, of which the first with an identity counts."""
        found: dict[str, Origin] = {}
        for origin in origins:
            found.setdefault(origin.identity, origin)
        return cls(found[identity] for identity in sorted(found))

    def __iter__(self) -> Iterator[Origin]:
        return iter(self._all().values())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceMap) and self.origins == other.origins

    def __hash__(self) -> int:
        return hash(self.origins)

    def __repr__(self) -> str:
        return f"SourceMap({self.origins!r})"

    def find(self, identity: str) -> Origin | None:
        """The origin with this identity, or None."""
        return self._all().get(identity)

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
        return cls(_read(data))

    @staticmethod
    def recorded(data: object) -> SourceMap:
        """The same, read when somebody asks: most of those who have it do not. Raises HostError
        then for anything else."""
        return _Recorded(data)


class _Recorded(SourceMap):
    """Data that is not read yet."""

    def __init__(self, data: object) -> None:
        self._data = data
        self._read: dict[str, Origin] | None = None

    def _all(self) -> dict[str, Origin]:
        if self._read is None:
            try:
                self._read = _by_identity(_read(self._data))
            except ValueError as error:
                raise HostError.at("origins", str(error)) from None
        return self._read


def _by_identity(origins: Iterable[Origin]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for origin in origins:
        if origin.identity in found:
            raise ValueError("a source map has the same identity twice")
        found[origin.identity] = origin
    return found


def _read(data: object) -> Iterator[Origin]:
    if not isinstance(data, dict):
        raise ValueError("a source map is an object keyed by identity")
    for identity, entry in data.items():
        match entry:
            case {
                "file": str(file),
                "line": int(line),
                "column": int(column),
                "text": str(text),
            } if isinstance(identity, str):
                notes = _notes_of(identity, entry.get("notes", {}))
                yield Origin(Where(file, line, column), identity, text, notes)
            case _:
                raise ValueError(f"source map entry {identity!r} is not understood")


def _notes_of(identity: str, data: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(data, dict) or not all(
        isinstance(word, str) for pair in data.items() for word in pair
    ):
        raise ValueError(f"the notes of source map entry {identity!r} are not understood")
    return tuple(data.items())
