"""Programs, locks, disks and other people that fail or interfere in the middle of a change."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.names import Backend
from tests.faults.fault import Fault
from tests.faults.faulty_host import JUMPING_CLOCK, FaultyHost
from tests.processes import command_lines

TABLES, SETS, ROUTING = 11, 4, 2
"""Calls that write in a change from one policy to the other, by kind; on the way back one table
less may change twice."""
_APART = ">/dev/null 2>&1 </dev/null"
_WRITER_AND_GUARD = '$(cat "$state/guard.lock") $(cat "$state/lock")'
_COMMITS = {Backend.NFT: (("sendmsg", 1),), Backend.LEGACY: (("setsockopt", 1), ("setsockopt", 2))}
"""The system calls by which the programs give rules to the kernel."""


def at(kind: str, numbers: str, script: str) -> str:
    """A trap that springs at some calls of a kind: ``3``, or ``3|4``."""
    return f"case $kind:$n in {'|'.join(f'{kind}:{n}' for n in numbers.split('|'))})\n" + (
        f': >"$here/sprung"\n{script}\n;; esac\n'
    )


def traps(backend: Backend) -> Iterator[Fault]:
    """All of them, of one backend."""
    yield from _failing_programs(backend)
    yield from _killed_programs(backend)
    yield from _locks(backend)
    yield from _disks()
    yield from _others(backend)
    yield from _guards()
    yield from _clocks()


def _failing_programs(backend: Backend) -> Iterator[Fault]:
    fails = 'echo "iptables-restore: line 1 failed" >&2; exit 1'
    for n in range(1, TABLES + 1):
        yield Fault("iptables-restore fails", f"table {n}", at("tables", f"{n}", fails))
    for n in (1, 4, 8):
        numbers = "|".join(str(n + more) for more in range(4))
        yield Fault(
            "iptables-restore fails four times", f"from table {n}", at("tables", numbers, fails)
        )
    for n in range(1, TABLES + 1):
        yield Fault(
            "iptables-restore says it failed, and did not",
            f"table {n}",
            at("tables", f"{n}", '"$real" "$@"; exit 1'),
        )
    for n in range(1, TABLES + 1):
        for call, when in _COMMITS[backend]:
            yield Fault(
                "the kernel has no memory for a table",
                f"table {n}, {call} {when}",
                at("tables", f"{n}", _refused(call, when)),
            )
    for n in range(1, SETS + 1):
        for name, script in (
            ("at once", 'echo "ipset v7: Error in line 1: it fails" >&2; exit 1'),
            ("behind half of its lines", _half("ipset v7: Error in line 2: it fails")),
            ("behind all of its lines", '"$real" "$@"; exit 1'),
        ):
            yield Fault("ipset fails", f"call {n}, {name}", at("sets", f"{n}", script))
    for n in range(1, ROUTING + 1):
        for name, script in (
            ("at once", "exit 1"),
            ("behind half of its lines", _half("Command failed -:2")),
            ("behind all of its lines", '"$real" "$@"; exit 1'),
        ):
            yield Fault("ip fails", f"call {n}, {name}", at("routing", f"{n}", script))


def _killed_programs(backend: Backend) -> Iterator[Fault]:
    for n in range(1, TABLES + 1):
        for call, when in _COMMITS[backend]:
            yield Fault(
                "iptables-restore is killed",
                f"table {n}, {call} {when}",
                _killed("tables", n, call, when),
            )
    for kind, calls in (("sets", SETS), ("routing", ROUTING)):
        for n in range(1, calls + 1):
            for when in (1, 3, 5):
                call = "sendto" if kind == "sets" else "sendmsg"
                yield Fault(
                    f"{'ipset' if kind == 'sets' else 'ip'} is killed",
                    f"call {n}, {call} {when}",
                    _killed(kind, n, call, when),
                )


def _locks(backend: Backend) -> Iterator[Fault]:
    # nft programs take no lock: there it must not matter
    for n in (1, 4, 8):
        for seconds in (3, 14):
            hold = (
                f'env -u NETFW_CHANGE flock -x "$XTABLES_LOCKFILE" sleep {seconds} {_APART} &\n'
                "sleep 0.2"
            )
            yield Fault(
                f"the xtables lock is held {'for a moment' if seconds < 10 else 'too long'}",
                f"{seconds} s from table {n}",
                at("tables", f"{n}", hold),
                ends=frozenset({"new"} if seconds < 10 or backend is Backend.NFT else {"old"}),
            )


def _disks() -> Iterator[Fault]:
    fill = '(cat /dev/zero || :) 2>/dev/null >"$state/full"'
    # laid over what is there: the kernel refuses to remount what somebody writes to, and a disk
    # with errors does not ask
    read_only = (
        '(mount --bind "$state" "$state" && mount -o remount,bind,ro "$state") >/dev/null 2>&1\n'
        'if touch "$state/probe" 2>/dev/null; then rm -f "$here/sprung"; fi'
    )

    free = 'rm -f "$state/full"; rm -f "$state"/.new-*'
    writable = 'umount -l "$state"'
    for name, spoil, mend in (("full", fill, free), ("read-only", read_only, writable)):
        kind = f"the disk of the state folder is {name}"
        yield Fault(
            kind,
            "from the beginning",
            before=lambda host, script=spoil: host.on_disk(script),
            after=lambda host, script=mend: host.on_disk(script),
            needs_disk=True,
            ends=frozenset({"old"}),
        )
        for place in ("tables 1", "tables 5", "tables 8", "sets 1", "sets 4", "routing 2"):
            for words in ((), ("--confirm", "2s")):
                yield Fault(
                    kind,
                    f"from {place} on{', to be confirmed' if words else ''}",
                    at(*place.split(), spoil),
                    after=lambda host, script=mend: host.on_disk(script),
                    needs_disk=True,
                    words=words,
                )


def _others(backend: Backend) -> Iterator[Fault]:
    tool = f"iptables-{backend}"
    for n in (1, 4, 8):
        yield Fault(
            "others add and remove rules all the time",
            f"from table {n} on",
            at(
                "tables",
                f"{n}",
                f"env -u NETFW_CHANGE sh -c 'for i in $(seq 40); do "
                f"{tool} -w 5 -I f2b-sshd -s 198.51.100.$i -j DROP; "
                f"{tool} -w 5 -D f2b-sshd -s 198.51.100.$i -j DROP; done'"
                f' "$here/others" {_APART} &',
            ),
            after=_wait_for_others,
        )
        for name, script in (
            ("flush a chain", f"{tool} -w 5 -F NETFW-FAILSAFE-OUT"),
            ("flush a chain in nat", f"{tool} -w 5 -t nat -F NETFW-POSTROUTING"),
            ("put a rule into a chain", f"{tool} -w 5 -I NETFW-INPUT -s 198.51.100.9 -j DROP"),
            ("take the call of mangle out", f"{tool} -w 5 -t mangle -D OUTPUT 1"),
        ):
            yield Fault(
                f"others {name} of ours", f"before table {n}", at("tables", f"{n}", script)
            )
            yield Fault(
                f"others {name} of ours",
                f"behind table {n}",
                at("tables", f"{n}", f'"$real" "$@"; status=$?; {script}; exit $status'),
            )
    for n in (1, 3, 8):
        ask = (
            f"for s in $(ipset list -n | grep ^NETFW-4); do "
            f"{tool} -w 5 -I INPUT -m set --match-set $s dst -p 253 -j DROP; done {_APART}"
        )
        yield Fault(
            "a rule of others asks a set of ours",
            f"from table {n} on",
            at("tables", f"{n}", ask),
            after=lambda host: _forget_sets(host, tool),
        )


def _guards() -> Iterator[Fault]:
    for kind, calls in (("tables", TABLES), ("sets", SETS), ("routing", ROUTING)):
        for n in range(1, calls + 1):
            yield Fault(
                "netfw and its guard are killed",
                f"before {kind} {n}",
                at(kind, f"{n}", f"kill -9 {_WRITER_AND_GUARD}; exit 1"),
                is_unguarded=True,
            )
            yield Fault(
                "netfw and its guard are killed",
                f"while {kind} {n} goes on",
                at(kind, f"{n}", f"kill -9 {_WRITER_AND_GUARD}"),
                is_unguarded=True,
            )
    for n in (1, 8):
        yield Fault(
            "the guard alone is killed",
            f"at table {n}",
            at("tables", f"{n}", 'kill -9 $(cat "$state/guard.lock")'),
        )
        yield Fault(
            "the guard alone is killed",
            f"at table {n}, to be confirmed",
            at("tables", f"{n}", 'kill -9 $(cat "$state/guard.lock")'),
            words=("--confirm", "2s"),
            ends=frozenset({"old"}),
        )
        for signal in ("INT", "TERM", "HUP", "QUIT", "PIPE"):
            yield Fault(
                "a signal to netfw and its guard",
                f"{signal} at table {n}",
                at("tables", f"{n}", f"kill -{signal} {_WRITER_AND_GUARD}"),
            )


def _clocks() -> Iterator[Fault]:
    for words in ((), ("--confirm", "2s")):
        yield Fault(
            "the clock jumps at every look",
            "to be confirmed" if words else "kept",
            before=lambda host: host.build_jumping_clock(),
            environment={"LD_PRELOAD": JUMPING_CLOCK},
            words=words,
            ends=frozenset({"old"} if words else {"new"}),
        )


def _refused(call: str, when: int) -> str:
    """The program asks the kernel, which says no to one system call."""
    inject = f"-e inject={call}:error=ENOMEM:when={when}"
    return f'exec strace -qq -o /dev/null -e trace={call} -e signal=none {inject} "$real" "$@"'


def _killed(kind: str, number: int, call: str, when: int) -> str:
    """A trap in which the program is killed before one system call; one that it does not make
    springs nothing."""
    inject = f"-e inject={call}:signal=SIGKILL:when={when}"
    return (
        f"case $kind:$n in {kind}:{number})\n"
        f'strace -qq -o /dev/null -e trace={call} -e signal=none {inject} "$real" "$@"\n'
        "status=$?\n"
        'if [ $status = 137 ]; then : >"$here/sprung"; kill -9 $$; fi; exit $status\n'
        ";; esac\n"
    )


def _half(said: str) -> str:
    """The first half of the input alone is taken."""
    return (
        'cat >"$here/input"; lines=$(wc -l <"$here/input")\n'
        f'head -n $((lines / 2)) "$here/input" | "$real" "$@"; echo "{said}" >&2; exit 1'
    )


def _wait_for_others(host: FaultyHost) -> None:
    """Until the other program is at its end: it leaves no rule of its own behind."""
    from tests.kernel.test_life_of_a_change import wait_for

    mark = str(host.folder / "others")

    def is_gone() -> bool:
        host.sh("sleep 0.2")
        return "198.51.100." not in host.saved() and not any(
            mark in " ".join(words) for words in command_lines()
        )

    wait_for(is_gone, 60)


def _forget_sets(host: FaultyHost, tool: str) -> None:
    host.sh(
        f"while {tool} -w 5 -S INPUT | grep -q -- '-p 253\\|-p divert'; do "
        f"n=$({tool} -S INPUT | grep -- '^-A' | grep -n -- '-p 253' | head -n1 | cut -d: -f1); "
        f"{tool} -w 5 -D INPUT $n; done"
    )
