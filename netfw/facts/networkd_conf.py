"""Whether systemd-networkd takes away routing rules that it did not make: its configuration.

networkd.conf(5): ``[Network] ManageForeignRoutingPolicyRules=``, yes by default since version 249;
before that it always did so. The last assignment counts.
"""

from __future__ import annotations

from collections.abc import Iterable

_SECTION = "[Network]"
_KEY = "ManageForeignRoutingPolicyRules"
_NO = frozenset({"0", "no", "n", "false", "f", "off"})


def manages_foreign_rules(texts: Iterable[str]) -> bool:
    """What files say, the first that is read first; an empty value is the default again."""
    manages = True
    for text in texts:
        section = ""
        for line in map(str.strip, text.splitlines()):
            if line.startswith("["):
                section = line
            elif section == _SECTION and not line.startswith(("#", ";")):
                key, equals, value = line.partition("=")
                if equals and key.strip() == _KEY:
                    manages = value.strip().lower() not in _NO
    return manages
