"""Files of the state folder as text: JSON with its form, its kind and a hash over its content.

The hash finds what a disk, an editor or a hand has changed. Whoever may write the folder can make
another one: that nobody else may is for ``netfw.host.state_folder`` to see to.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256

from netfw.errors import HostError

SCHEMA = 1
"""The version of the form, which counts up when a key changes its meaning or goes away."""
_SEALED = re.compile(
    r'\{"schema":(?P<schema>[0-9]{1,9}),"kind":"(?P<kind>[a-z]+)",'
    r'"sha256":"(?P<hash>[0-9a-f]{64})","content":(?P<content>.*)\}\n',
    re.DOTALL,
)


def seal(kind: str, content: object) -> str:
    """The text of a file, in ASCII; ``kind`` is a word in lower case."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return (
        f'{{"schema":{SCHEMA},"kind":"{kind}","sha256":"{_hash(kind, text)}","content":{text}}}\n'
    )


def unseal(kind: str, text: str, file: str) -> object:
    """The content of what ``seal`` gave; raises HostError for anything else."""
    found = _SEALED.fullmatch(text)
    if found is None:
        raise HostError.at(file, "this is not as netfw wrote it", _HINT)
    if int(found["schema"]) != SCHEMA:
        raise HostError.at(
            file,
            f"this has the form {found['schema']}, and this netfw knows {SCHEMA}",
            "use the version of netfw that wrote it",
        )
    if found["kind"] != kind:
        raise HostError.at(file, f"this is of kind '{found['kind']}', not '{kind}'", _HINT)
    if found["hash"] != _hash(kind, found["content"]):
        raise HostError.at(file, "this was changed since netfw wrote it: its hash differs", _HINT)
    try:
        content: object = json.loads(found["content"])
    except ValueError as error:
        raise HostError.at(file, f"this is not JSON: {error}", _HINT) from None
    return content


def _hash(kind: str, content: str) -> str:
    # what was no UTF-8 in a file that others wrote is a surrogate
    return sha256(f"{SCHEMA} {kind} {content}".encode("utf-8", "surrogateescape")).hexdigest()


_HINT = (
    "find out who did that; netfw uses nothing of it. With the state folder moved away, 'netfw "
    "apply' begins anew: it knows its rules and sets by their names, routing and sysctls it does "
    "not"
)
