"""What a policy wishes for on this host."""

from __future__ import annotations

import hashlib
import json

from netfw.apply.intention import Wish
from netfw.apply.recorded import recorded_in
from netfw.compiler.compiled import Compiled
from netfw.host.sysctl import read_settings
from netfw.plan.entry import Entry
from netfw.plan.own import Own
from netfw.plan.own_json import own_data
from netfw.plan.own_of import own_of
from netfw.plan.settings import settings_of


def wish_of(compiled: Compiled, policy: str, history: list[Entry], why: str = "") -> Wish:
    """The wish of a compiled policy; ``policy`` is its name, ``history`` what was applied before,
    the oldest first. Sysctls that have a fitting value already are left alone."""
    names = [setting.name for setting in compiled.settings]
    written = recorded_in(history).settings
    settings = settings_of(compiled.settings, read_settings(names), written)
    own = own_of(compiled, settings)
    return Wish(own, policy, hash_of(own), compiled.source_map, why)


def wish_of_entry(entry: Entry, why: str) -> Wish:
    """To have again what an entry of the history says."""
    return Wish(entry.own, entry.policy, entry.policy_hash, entry.origins, why)


def hash_of(own: Own) -> str:
    """The SHA-256 of everything that a policy says for a host, in hexadecimal."""
    text = json.dumps(own_data(own), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
