"""Hosts that are namespaces, each with its own sshd, and a controller that reaches them by SSH.

A host has a network, a mount, a UTS and a PID namespace of its own: /etc, /opt, /usr/local and
/var/lib are overlays whose changes are in memory, /run is empty. All of it is held by descriptors
and processes of ours, and gone when they are; the machine's own namespaces and files stay as they
are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from netfw.host.namespace import Namespace
from netfw.host.run import run
from tests.fleet.plain_rules import plain_rules

ROOT = Path(__file__).parents[2]
INDEX = "10.77.255.254:8000"
"""Where the pip of each host looks for packages: on the controller, if anything answers there."""
USER = "operator"
"""An account on each host that is not root, and may not become it."""
HOST_PYTHON = "/usr/bin/python3"
_PROGRAMS = ("ssh", "ssh-keygen", "nsenter", "unshare", "setpriv", "ip")
_SSHD = "/usr/sbin/sshd"
_DYING = ("setpriv", "--pdeathsig", "KILL")
"""What is run behind it ends when this process ends, however that is."""
_PATIENCE = 20.0
_OVERLAYS = ("/etc", "/opt", "/usr/local", "/var/lib")
_INIT = """\
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs {own}
for place in {overlays}; do
  mkdir -p {own}$place/upper {own}$place/work
  mount -t overlay -o lowerdir=$place,upperdir={own}$place/upper,workdir={own}$place/work overlay $place
done
mount -t tmpfs -o mode=755 tmpfs /run
mount -t sysfs sysfs /sys
rm -rf /var/lib/netfw /etc/netfw
mkdir -p /run/sshd /run/ansible-{user}
cp {folder}/id.pub /run/keys
hostname {name}
echo {name} > /etc/hostname
echo '{user}:x:4711:4711::/run/ansible-{user}:/bin/sh' >> /etc/passwd
echo '{user}:*:20000:0:99999:7:::' >> /etc/shadow
chown 4711:4711 /run/ansible-{user}
printf '#!/bin/sh\\nPYTHONPATH=%s exec %s -W ignore -m netfw "$@"\\n' {root} {python} > /usr/local/bin/netfw
chmod 755 /usr/local/bin/netfw
exec {sshd} -D -e -f {config}
"""  # noqa: E501 - lines of a shell script


_TRY = """\
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc
"""


class Answer(NamedTuple):
    """What a task gave on a host."""

    host: str
    task: str
    status: str
    """``ok``, ``failed``, ``unreachable`` or ``skipped``."""
    result: dict[str, Any]


class Played(NamedTuple):
    """What became of a run of a playbook."""

    status: int
    output: str
    answers: list[Answer]
    totals: dict[str, dict[str, int]]
    """By host: ``ok``, ``changed``, ``failures``, ``unreachable``, ``skipped``, …"""

    def of(self, host: str, task: str) -> dict[str, Any]:
        """The result of the last task on a host whose name holds these words."""
        found = [one for one in self.answers if one.host == host and task in one.task]
        assert found, f"no task '{task}' on {host}\n{self.output}"
        return found[-1].result

    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host."""
        return {host: total["changed"] for host, total in self.totals.items()}

    def said(self, host: str) -> list[str]:
        """Why tasks failed on a host, each in its first line."""
        return [
            str(one.result.get("msg", "")).partition("\n")[0]
            for one in self.answers
            if one.host == host and one.status in ("failed", "unreachable")
        ]


class LabHost:
    """One host of a lab."""

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.77.{number // 250}.{number % 250 + 2}"
        self.lab = lab
        self.box = Namespace(name)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = lab.folder / f"{name}.log"
        cable = f"v{number}"
        ip(lab.box, f"link add {cable} type veth peer name eth0 netns {self.box.path}")
        ip(lab.box, f"link set {cable} master br0 up")
        ip(self.box, "link set lo up", f"address add {self.address}/16 dev eth0")
        ip(self.box, "link set eth0 up")

    def start(self) -> None:
        """Start its sshd, with the namespaces that it is in."""
        own = self.lab.folder / self.name
        own.mkdir(exist_ok=True)
        script = _INIT.format(
            own=own,
            overlays=" ".join(_OVERLAYS),
            name=self.name,
            user=USER,
            root=ROOT,
            python=sys.executable,
            sshd=_SSHD,
            folder=self.lab.folder,
            config=self.lab.folder / "sshd_config",
        )
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_DYING, "nsenter", f"--net={self.box.path}", "unshare", "--mount", "--uts",
                 "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=_plain_environment(), pass_fds=[self.box.descriptor],
            )  # fmt: skip

    def wait_for_sshd(self) -> None:
        """Wait until it greets."""

        def greets() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            try:
                with self.lab.box.call(
                    lambda: socket.create_connection((self.address, 22), 1)
                ) as link:
                    link.settimeout(1)
                    return link.recv(4) == b"SSH-"
            except OSError:
                return False

        wait_for(greets)

    @property
    def is_up(self) -> bool:
        """Whether it is switched on."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Switch it off: everything in it ends at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)
            self._process = None

    def close(self) -> None:
        """Switch it off for good."""
        self.stop()
        self.box.close()

    def sh(self, script: str, status: int | None = 0) -> str:
        """What a script prints on the host; without SSH, so that rules do not matter."""
        assert self._process is not None
        done = subprocess.run(
            ["nsenter", "--target", str(self._inside()), "--all", "sh", "-c", script],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            env=_plain_environment(),
        )  # fmt: skip
        said = f"{self.name}: {script}\n{done.stdout}\n{done.stderr}"
        assert status is None or done.returncode == status, said
        return done.stdout

    def netfw(self, *words: str, status: int | None = 0) -> str:
        """What netfw prints on the host."""
        return self.sh(shlex.join(["netfw", *words]), status)

    def use_legacy(self) -> None:
        """Make its iptables the one of the other backend, as update-alternatives does; where the
        kernel has no legacy tables, or the distribution no alternatives, it stays as it is."""
        self.sh("""
            ip6tables-legacy -t raw -S && iptables-legacy -t raw -S || exit 0
            for family in iptables ip6tables; do
              for verb in '' -save -restore; do
                test -e /etc/alternatives/$family$verb || exit 0
                ln -sfn /usr/sbin/$family-legacy$verb /etc/alternatives/$family$verb
              done
            done
        """)

    def status(self) -> dict[str, Any]:
        """``netfw status --json``."""
        found: dict[str, Any] = json.loads(self.netfw("status", "--json", status=None))
        return found

    def history(self) -> list[dict[str, Any]]:
        """The entries of ``netfw history --json``."""
        found: list[dict[str, Any]] = json.loads(self.netfw("history", "--json"))["entries"]
        return found

    def saved(self) -> str:
        """All rules, without counters and comments of the programs, and all sets."""
        return plain_rules(
            self.sh("iptables-save; ip6tables-save; ipset list -name | sort; ip rule")
        )

    def _inside(self) -> int:
        """The first process in its PID namespace."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])


class Lab:
    """Hosts with one controller; a context manager."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.box = Namespace("controller")
        self.hosts: dict[str, LabHost] = {}
        self.environment: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            ip(self.box, "link set lo up", "link add br0 type bridge", "link set br0 up")
            ip(self.box, "address add 10.77.255.254/16 dev br0")
            self._write_keys()
            self._write_settings()
            for number, name in enumerate(names):
                self.hosts[name] = LabHost(self, name, number)
                self.hosts[name].start()
            for host in self.hosts.values():
                host.wait_for_sshd()
            stack.pop_all()

    def _write_keys(self) -> None:
        for name in ("id", "host_key"):
            if not (self.folder / name).exists():
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)])
        lines = (
            "Port 22",
            f"HostKey {self.folder}/host_key",
            "AuthorizedKeysFile /run/keys",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "UseDNS no",
            "MaxStartups 50",
            "Subsystem sftp internal-sftp",
            f"SetEnv PIP_INDEX_URL=http://{INDEX}/ PIP_TRUSTED_HOST={INDEX} PIP_NO_CACHE_DIR=1",
        )
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")

    def _write_settings(self) -> None:
        settings = self.folder / "ansible.cfg"
        settings.write_text(
            "[defaults]\n"
            f"collections_path = {ROOT}/tests/fleet/collections\n"
            f"home = {self.folder}/ansible\n"
            f"callback_plugins = {ROOT}/tests/fleet/callbacks\n"
            "callbacks_enabled = record\n"
            "host_key_checking = false\n"
            "timeout = 5\n"
            "forks = 10\n"
            "retry_files_enabled = false\n"
            "interpreter_python = " + HOST_PYTHON + "\n"
            "[ssh_connection]\n"
            "pipelining = true\n"
            f"control_path_dir = {self.folder}/cp\n"
            "ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o LogLevel=ERROR"
            " -o UserKnownHostsFile=/dev/null -o GSSAPIAuthentication=no\n"
        )
        self.environment = {
            **_plain_environment(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "ANSIBLE_CONFIG": str(settings),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "ANSIBLE_NOCOLOR": "1",
        }

    def write_inventory(
        self, settings: Mapping[str, object], **of_hosts: Mapping[str, object]
    ) -> str:
        """Write an inventory of all hosts in the group ``gateways``: variables of all, and of some
        hosts; its path."""
        hosts = {
            name: {"ansible_host": host.address, **of_hosts.get(name, {})}
            for name, host in self.hosts.items()
        }
        data = {
            "all": {
                "vars": {
                    "ansible_user": "root",
                    "ansible_ssh_private_key_file": str(self.folder / "id"),
                    "ansible_remote_tmp": "/run/ansible-{{ ansible_user }}",
                    **settings,
                },
                "children": {"gateways": {"hosts": hosts}},
            }
        }
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump(data))
        return str(path)

    def argv(self, *words: str) -> list[str]:
        """A command line of the controller; what it leaves running ends with it."""
        return [*_DYING, "nsenter", f"--net={self.box.path}", "unshare", "--mount", "--pid",
                "--fork", "--kill-child", "--mount-proc", *words]  # fmt: skip

    def play(
        self,
        playbook: str,
        *words: str,
        inventory: str | None = None,
        **extra: object,
    ) -> Played:
        """Run a playbook of the collection, or a file."""
        record = self.folder / "record.jsonl"
        record.unlink(missing_ok=True)
        name = playbook if "/" in playbook else f"netfw.netfw.{playbook}"
        more = ["--extra-vars", json.dumps(extra)] if extra else []
        done = subprocess.run(
            self.argv("ansible-playbook", "--inventory",
                      inventory or str(self.folder / "inventory.yml"), *more, *words, name),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
            cwd=self.folder, env={**self.environment, "NETFW_TEST_RECORD": str(record)},
        )  # fmt: skip
        lines = record.read_text().splitlines() if record.exists() else []
        read = [json.loads(line) for line in lines]
        return Played(
            done.returncode,
            done.stdout + done.stderr,
            [Answer(**one) for one in read if "task" in one],
            next((one["totals"] for one in read if "totals" in one), {}),
        )

    def close(self) -> None:
        """Everything is gone afterwards."""
        for host in self.hosts.values():
            host.close()
        self.box.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ip(box: Namespace, *lines: str) -> None:
    """Run ``ip`` with each line in a namespace; raises HostError."""
    for line in lines:
        run(["ip", *line.split()], namespace=box)


def wait_for(holds: Callable[[], bool], seconds: float = _PATIENCE) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it has not come about in time"
        time.sleep(0.05)


def _plain_environment() -> dict[str, str]:
    left_out = ("SSH_", "ANSIBLE_", "NETFW_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "LC_ALL": "C.UTF-8", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def why_no_lab() -> str:
    """Why there can be no lab here; empty where there can be one."""
    for program in (*_PROGRAMS, _SSHD, HOST_PYTHON):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.geteuid() != 0:
        return "not root"
    argv = ["unshare", "--mount", "--uts", "--pid", "--net", "--fork", "--mount-proc"]
    done = subprocess.run(
        [*argv, "sh", "-e", "-c", _TRY], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else f"no namespaces with overlays: {done.stderr.strip()}"


_why = why_no_lab()
needs_lab = pytest.mark.skipif(bool(_why), reason=f"no hosts of one's own here: {_why}")
