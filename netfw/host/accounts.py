"""Users and groups, as the name service of this host knows them (files, LDAP, systemd, …)."""

from __future__ import annotations

import grp
import pwd

from netfw.policy.owner import OwnerKind
from netfw.policy.surroundings import SurroundingsFault, nobody_is_called


def number_of(kind: OwnerKind, name: str) -> int:
    """The number of one user or group; raises SurroundingsFault."""
    try:
        if kind is OwnerKind.USER:
            return pwd.getpwnam(name).pw_uid
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        # ValueError: what cannot be encoded, or has a NUL in it, is nobody's name
        raise nobody_is_called(kind, name, numbers(kind)) from None
    except OSError as error:
        raise SurroundingsFault(
            f"the {kind.value}s of this host cannot be read: {error.strerror}"
        ) from None


def numbers(kind: OwnerKind) -> dict[str, int]:
    """The numbers of all users or groups by name, as far as the name service lists them: many a
    directory answers only questions for one."""
    found: dict[str, int] = {}
    if kind is OwnerKind.USER:
        for user in pwd.getpwall():
            found.setdefault(user.pw_name, user.pw_uid)
    else:
        for group in grp.getgrall():
            found.setdefault(group.gr_name, group.gr_gid)
    return found
