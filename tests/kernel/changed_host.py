"""A host in a namespace on which netfw runs as an administrator runs it: as a program."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from netfw.ir.names import Backend
from tests.kernel.hosts import Host

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "netfw")
_CHOSEN = re.compile(r" (?:initval 0x[0-9a-f]+|hashsize \d+)")
"""What the kernel chooses itself when a set is made."""
_COUNTERS = re.compile(r"\[\d+:\d+\]")
_NUMBERS = re.compile(r"(?<=\[)\d+(?=:\d+\])|(?<=:)\d+(?=\])")

POLICY = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
policies:
  - name: public
    at: wan
    ingress:
      - allow: [http, https]
      - allow: ssh
        from: [192.0.2.0/24, "2001:db8::/64"]
  - name: lan-to-internet
    from: lan
    to: wan
    forward: [{allow: any}]
nat:
  - masquerade: {from: lan, out: wan}
"""


def only_counted_on(before: str, after: str) -> bool:
    """Whether two outputs with counters are the same, but for those of IPv6, which may have grown:
    of IPv6 the kernel itself sends packets now and then."""
    if before.partition("\nip6tables:\n")[0] != after.partition("\nip6tables:\n")[0]:
        return False
    one, other = ([*map(int, _NUMBERS.findall(text))] for text in (before, after))
    return _COUNTERS.sub("", before) == _COUNTERS.sub("", after) and all(
        now >= then for then, now in zip(one, other, strict=True)
    )


class ChangedHost(Host):
    """A host with a state folder, and programs of one backend where it looks for ``iptables``."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        super().__init__()
        self.backend = backend
        self.folder = folder
        self.state = folder / "state"
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        self.choose(backend)

    def choose(self, backend: Backend) -> None:
        """Make the programs without a suffix those of a backend, as update-alternatives does."""
        self.backend = backend
        for name in ("iptables", "ip6tables"):
            for end in ("", "-save", "-restore"):
                link = self._bin / f"{name}{end}"
                link.unlink(missing_ok=True)
                link.symlink_to(Path("/usr/sbin", f"{name}-{backend}{end}"))

    @property
    def environment(self) -> dict[str, str]:
        """What a program is run with: this source tree, this state folder, no connection."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("SSH_")}
        return {
            **kept,
            "PATH": f"{self._bin}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "PYTHONPATH": str(ROOT),
            "NETFW_STATE": str(self.state),
            "XTABLES_LOCKFILE": str(self.folder / "xtables.lock"),
            "LC_ALL": "C",
        }

    def argv(self, *words: str) -> list[str]:
        """The command line that runs netfw here."""
        return ["nsenter", f"--net={self.box.path}", *PROGRAM, *words]

    def netfw(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run netfw to its end; ``status`` is what it has to end with (None: whatever)."""
        done = subprocess.run(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if status is not None:
            assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def write_policy(self, text: str, name: str = "policy.yaml") -> str:
        """Write a policy file; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def apply(
        self, text: str, *words: str, status: int | None = 0, rehearsed: bool = False
    ) -> str:
        """Apply a policy without a question, mostly without the seconds that a rehearsal takes;
        what netfw printed."""
        how = () if rehearsed else ("--no-rehearse",)
        done = self.netfw("apply", self.write_policy(text), *how, *words, status=status)
        return done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """``netfw status --json``."""
        found = json.loads(self.netfw("status", "--json", status=None).stdout)
        assert isinstance(found, dict)
        return found

    def saved(self, *, counters: bool = False) -> str:
        """Everything that a change could touch: rules, sets, routing rules and routes."""
        rules = "".join(
            f"{name}:\n" + self.sh(f"{name}-{self.backend}-save{' -c' if counters else ''}")
            for name in ("iptables", "ip6tables")
        )
        kept = "\n".join(line for line in rules.splitlines() if not line.startswith("#"))
        if not counters:
            kept = _COUNTERS.sub("[0:0]", kept)
        sets = "\n".join(sorted(_CHOSEN.sub("", self.sh("ipset save")).splitlines()))
        routing = self.sh(
            "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"
        )
        return f"{kept}\n{sets}\n{routing}"

    def others(self) -> str:
        """Chains and rules that are nobody's but others', table by table and in their order."""
        found, table = [], ""
        for line in self.saved().splitlines():
            if line.startswith("*"):
                table = line
            elif line.startswith((":", "-A")) and "NETFW" not in line:
                found.append(f"{table} {line}")
        # a table that netfw needs has its built-in chains also where nobody else uses it
        return "\n".join(line for line in found if not line.endswith(" ACCEPT [0:0]"))
