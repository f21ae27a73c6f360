"""What a policy asks of this host: interfaces and accounts, and addresses of names, kept in a lock
file."""

from __future__ import annotations

from pathlib import Path

from netfw.errors import FactError
from netfw.host.accounts import number_of
from netfw.host.lock_file import read_lock, write_lock
from netfw.ir.net import Net
from netfw.policy.host_names import HostNames, parse_host_names
from netfw.policy.lock import Locked
from netfw.policy.owner import OwnerKind
from netfw.policy.surroundings import Known, SurroundingsFault


class HostSurroundings:
    """Surroundings (see ``netfw.policy.surroundings``) of a policy that is read on this host.

    ``facts`` is a file to believe instead of this host, ``lock`` the lock file (None: there can
    be none). What is not locked is resolved where that is allowed; ``anew`` resolves all of it.
    """

    def __init__(
        self, facts: str | None, lock: str | None, *, may_resolve: bool = True, anew: bool = False
    ) -> None:
        self.lock = lock
        self.used: dict[str, tuple[Net, ...]] = {}
        """The names that were asked for, with the answers."""
        self._facts = facts
        self._may_resolve = may_resolve
        self._anew = anew
        self._names: HostNames | None = None
        self._locked: dict[str, tuple[Net, ...]] | None = None
        self._failed: dict[str, SurroundingsFault] = {}

    @property
    def locked(self) -> Locked:
        """What the lock file says; raises PolicyError."""
        if self._locked is None:
            self._locked = {} if self.lock is None else read_lock(self.lock)
        return self._locked

    @property
    def added(self) -> Locked:
        """What was resolved because it was not locked."""
        return {name: nets for name, nets in self.used.items() if name not in self.locked}

    def host_names(self) -> HostNames:
        """The interfaces, looked at once; raises HostError, and FactError for a file."""
        if self._names is None:
            self._names = self._read_names()
        return self._names

    def _read_names(self) -> HostNames:
        if self._facts is None:
            from netfw.host.host_interfaces import read_host_names
            from netfw.host.live_namespace import LiveNamespace

            with LiveNamespace() as namespace:
                return read_host_names(namespace)
        try:
            text = Path(self._facts).read_text(encoding="utf-8")
        except OSError as error:
            raise FactError.at(self._facts, f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise FactError.at(self._facts, "these are not facts of a host") from None
        return parse_host_names(text, self._facts)

    def number_of(self, kind: OwnerKind, name: str) -> int:
        """The number of a user or group; raises SurroundingsFault, and FactError for a file."""
        if self._facts is None:
            return number_of(kind, name)
        return Known(self.host_names()).number_of(kind, name)

    def addresses_of(self, name: str) -> tuple[Net, ...]:
        """The addresses that are locked, else those of now; raises SurroundingsFault."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self.used:
            try:
                self.used[name] = self._find(name)
            except SurroundingsFault as fault:
                self._failed[name] = fault
                raise
        return self.used[name]

    def _find(self, name: str) -> tuple[Net, ...]:
        found = None if self._anew else self.locked.get(name)
        if found is not None:
            return found
        if self.lock is None:
            raise SurroundingsFault(
                f"the addresses of '{name}' have no place: standard input has no lock file",
                "give one with --lock FILE",
            )
        if not self._may_resolve:
            raise SurroundingsFault(
                f"'{name}' is not in the lock file {self.lock}", "add it with 'netfw lock POLICY'"
            )
        # few policies have host names, and sockets take a while to import
        from netfw.host.resolve import resolve

        return resolve(name)

    def save(self) -> None:
        """Keep what was added, beside what is locked; raises HostError."""
        if self.added and self.lock is not None:
            write_lock(self.lock, {**self.locked, **self.added})
