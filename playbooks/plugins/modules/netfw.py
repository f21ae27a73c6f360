"""Brings a host to a policy of netfw, or says how it is."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.netfw.netfw.plugins.module_utils.program import (
    Program,
    is_older,
    policy_words,
    said_last,
    write_files,
)

DOCUMENTATION = r"""
---
module: netfw
short_description: Apply a firewall policy of netfw to a host, verify it, or look at the host
version_added: 0.1.0
description:
  - Runs the netfw program on the host, with the host's own Python and as root.
  - A change can be made to wait for its confirmation. Unless O(state=confirmed) comes in time,
    over a connection that must be a new one to prove anything, the host undoes it by itself. Both
    race for one atomic step, so a change is either kept or rolled back, and never both.
options:
  state:
    description:
      - V(applied) makes the host hold a policy; V(planned) says what that would change.
      - V(confirmed) keeps the change O(number); it fails where that has been rolled back.
      - V(rolled_back) goes back to what the host held before.
      - V(removed) takes away what is netfw's.
      - V(verified) shows on the host's kernel, in namespaces, that the policy does what it says.
      - V(diagnosed) looks for drift, for faults about marks, and who uses which bit of the mark.
      - V(status) says what the host holds.
    type: str
    choices: [applied, planned, confirmed, rolled_back, removed, verified, diagnosed, status]
    default: applied
  policy:
    description:
      - The texts of the policy by their names, as M(netfw.netfw.netfw_policy) returns them.
      - Needed for V(applied), V(planned) and V(verified).
    type: dict
  confirm:
    description: Seconds within which the change must be confirmed; 0 keeps it at once.
    type: int
    default: 0
  number:
    description: The change that is confirmed, or the entry of the history to go back to.
    type: int
  rollout:
    description:
      - A word that is noted in the history with V(applied).
      - With V(rolled_back), only what this rollout changed is undone; a host that it did not reach
        is left alone.
    type: str
    default: ''
  message:
    description: Why, for the history.
    type: str
    default: ''
  rehearse:
    description: Try the change in a twin of the host first.
    type: bool
    default: true
  force:
    description: Write it although the rehearsal says that it goes wrong.
    type: bool
    default: false
  packets:
    description: With V(planned), also say which packets are newly accepted or denied.
    type: bool
    default: false
  backend:
    description: With V(verified), which iptables.
    type: str
    choices: [nft, legacy, all]
    default: all
  fail_on:
    description: With V(diagnosed), the least severity of a finding for which the task fails.
    type: str
    choices: [warning, error, never]
    default: never
  minimum:
    description: The least version of netfw, that of the controller as a rule.
    type: str
    default: ''
  absent_ok:
    description:
      - With V(planned), or V(applied) in check mode, a netfw that is missing or too old is no
        fault; there is no plan then.
    type: bool
    default: false
  program:
    description: The netfw program; else that of C(/usr/local/bin), C(/opt/netfw) or PATH.
    type: path
author:
  - netfw contributors
attributes:
  check_mode:
    description: Nothing is written, and O(state=applied) says what would be.
    support: full
  diff_mode:
    description: The lines of rules that come and go, by rule of the policy.
    support: full
"""

EXAMPLES = r"""
- name: Apply, waiting for a minute
  netfw.netfw.netfw:
    state: applied
    policy: "{{ checked.files[checked.policies[inventory_hostname]] }}"
    confirm: 60
  register: made

- name: Open a new connection
  ansible.builtin.meta: reset_connection

- name: Keep it
  netfw.netfw.netfw:
    state: confirmed
    number: "{{ made.change }}"
  when: made.change is not none
"""

RETURN = r"""
change:
  description: The number of the change in the host's history, null where there was nothing to do.
  type: int
  returned: when something was written
waits:
  description: Seconds for which it waits to be confirmed, null where it is kept.
  type: float
  returned: with change
differs:
  description: Whether the host holds something else than the policy says.
  type: bool
  returned: planned, and applied in check mode
plan:
  description: The C(rules) of the policy with the lines that come and go, and the C(steps).
  type: dict
  returned: planned, applied
packets:
  description: Which packets are newly accepted or denied, as C(netfw plan --json) has it.
  type: list
  returned: planned with O(packets=true)
rolled_back:
  description: Whether a change was undone; true on a failed task where it was.
  type: bool
  returned: failure, and confirmed
verdict:
  description: V(agree), V(differ) or V(inconclusive).
  type: str
  returned: verified
verification:
  description: What was sent and seen, by backend and family.
  type: list
  returned: verified
findings:
  description: What C(netfw doctor) found, with the rule to blame, its effect and a fix.
  type: list
  returned: diagnosed
ledger:
  description: Who writes and reads which bits of the packet mark and the connection mark.
  type: dict
  returned: diagnosed
status:
  description: What C(netfw status --json) says, without counters; drift is what somebody changed.
  type: dict
  returned: diagnosed, status
rollout:
  description: The rollout in which the host was changed last, empty where it was none.
  type: str
  returned: status
last_rollout:
  description: The time of the last change, a blank, and its rollout, or the one that it took back.
  type: str
  returned: status
history:
  description: The entry that counts and those before it, the newest first.
  type: list
  returned: status
version:
  description: The version of netfw on the host, empty where there is none.
  type: str
  returned: planned, diagnosed, status
"""

_NEED_POLICY = ("applied", "planned", "verified")
_TOO_LATE = 60.0
"""Seconds that a host may take to undo a change that was not confirmed."""
_PAUSE = 0.2
_SEVERITIES = {"warning": ("warning", "error"), "error": ("error",), "never": ()}
_ROLLOUT = re.compile(r"(rollback of )?rollout (\S+)")


class Task:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.given = module.params
        self.program = Program(module, module.params["program"] or "")

    def run(self) -> dict[str, Any]:
        """What the module returns."""
        self._refuse_what_cannot_be()
        state = self.given["state"]
        version = ""
        if self.given["absent_ok"] and not self.program.is_there:
            return self._not_installed("")
        self.program.require()
        if self.given["minimum"] or state in ("planned", "diagnosed", "status"):
            version = self.program.version()
            if self.given["minimum"] and is_older(version, self.given["minimum"]):
                if self.given["absent_ok"]:
                    return self._not_installed(version)
                self.module.fail_json(
                    msg=f"netfw {version} on this host is older than {self.given['minimum']} on "
                    "the controller; hint: the role netfw_install brings it up",
                    version=version,
                )
        with tempfile.TemporaryDirectory(prefix="netfw-") as folder:
            self.program.folder = folder
            if self.given["policy"]:
                write_files(folder, self.given["policy"])
            found = getattr(self, f"_{state}")()
        return {**found, "version": version} if version else found

    def _not_installed(self, version: str) -> dict[str, Any]:
        """What can be said of a host that gets netfw only later."""
        found = {"installed": False, "version": version, "differs": True}
        return {"changed": self.given["state"] == "applied", **found}

    def _refuse_what_cannot_be(self) -> None:
        state = self.given["state"]
        if self.given["absent_ok"] and state != "planned" and not self.module.check_mode:
            self.module.fail_json(
                msg=f"state '{state}' cannot do without netfw: leave absent_ok out"
            )
        if os.geteuid() != 0:
            self.module.fail_json(
                msg=f"root is needed on this host, and this is user number {os.geteuid()}; hint: "
                "set ansible_become (and ansible_become_password) for it, or log in as root"
            )
        if state in _NEED_POLICY and not self.given["policy"]:
            self.module.fail_json(msg=f"state '{state}' needs a policy")
        if state == "confirmed" and self.given["number"] is None:
            self.module.fail_json(msg="state 'confirmed' needs the number of the change")

    # --- a policy ---

    def _planned(self) -> dict[str, Any]:
        words = [] if self.given["packets"] else ["--no-packets"]
        found = self.program.data("plan", *self._policy(), *words, good=(0, 1))
        plan = _by_rule(found)
        return {
            "changed": False,
            "installed": True,
            "differs": bool(found["steps"]) or not self._is_kept(),
            "plan": plan,
            "packets": found["packets"],
            "diff": _diff(plan),
        }

    def _is_kept(self) -> bool:
        """Whether what the host holds is what was confirmed, so that it is there after a restart
        too, and no guard is about to undo it."""
        found = self._status_data()
        return bool(found["well"]) and found["change"] is not None

    def _applied(self) -> dict[str, Any]:
        if self.module.check_mode:
            found = self._planned()
            return {**found, "changed": found["differs"]}
        return self._write("apply", *self._policy())

    def _write(self, verb: str, *words: str) -> dict[str, Any]:
        """Run a verb that changes the host."""
        seconds = self.given["confirm"]
        more = ["--confirm", f"{seconds}s"] if seconds else ["--yes"]
        if not self.given["rehearse"]:
            more.append("--no-rehearse")
        if self.given["force"]:
            more.append("--force")
        rollout, message = self.given["rollout"], self.given["message"]
        if verb == "rollback" or verb == "remove":
            why = f"rollback of rollout {rollout}" if rollout else verb
        else:
            why = f"rollout {rollout}" if rollout else ""
        why = ": ".join(word for word in (why, message) if word)
        if why:
            more += ["--message", why]
        found = self.program.data(verb, *words, *more)
        plan = _by_rule(found["plan"])
        return {
            "changed": found["change"] is not None,
            "change": found["change"],
            "waits": found["waits"],
            "plan": plan,
            "diff": _diff(plan),
        }

    def _verified(self) -> dict[str, Any]:
        backend = self.given["backend"]
        status, output, errors = self.program.run(
            "verify", *self._policy(), "--backend", backend, "--json"
        )
        if status not in (0, 1, 4) or not output.strip():
            self.program.fail(status, errors)
        found = json.loads(output)
        runs = [
            {name: each for name, each in one.items() if name != "probes"} for one in found["runs"]
        ]
        result = {"changed": False, "verdict": found["result"], "verification": runs}
        if found["result"] != "agree":
            told = [text for one in runs for text in (*one["differences"], *one["inconclusive"])]
            first = told[0] if told else said_last(status, errors)
            self.module.fail_json(msg=f"{found['result']}: {first}", **result)
        return result

    def _policy(self) -> list[str]:
        return policy_words(self.given["policy"])

    # --- the end of a change ---

    def _confirmed(self) -> dict[str, Any]:
        number = self.given["number"]
        if self.module.check_mode:
            return {"changed": False}
        status, _, errors = self.program.run("confirm", str(number))
        if status == 0:
            return {"changed": True, "rolled_back": False, "change": number}
        until = time.monotonic() + _TOO_LATE
        while True:
            outcome = self._outcome(number)
            if outcome == "confirmed":
                # somebody did, or our answer was lost on its way
                return {"changed": False, "rolled_back": False, "change": number}
            if outcome == "undone" or time.monotonic() > until:
                break
            time.sleep(_PAUSE)
        if outcome != "undone":
            self.program.fail(status, errors)
        found = self._status_data()
        now = found["change"]
        holds = "nothing of netfw's" if now is None else f"change {now['number']}"
        self.module.fail_json(
            msg=f"ROLLED BACK: {found['undone'] or f'change {number} was undone'}; the host holds "
            f"{holds}; hint: with this policy the controller may not reach the host any more",
            rolled_back=True,
            change=number,
            status=found,
        )
        raise SystemExit(1)

    def _outcome(self, number: int) -> str:
        entries = self.program.data("history")["entries"]
        return next((one["outcome"] or "" for one in entries if one["number"] == number), "undone")

    # --- the way back ---

    def _rolled_back(self) -> dict[str, Any]:
        history = self._history()
        nothing = {"changed": False, "change": None, "waits": None, "plan": None}
        if not history:
            return nothing
        now, rollout = history[0], self.given["rollout"]
        if rollout and rollout_of(now["why"]) != rollout:
            return nothing
        number = self.given["number"]
        if number is None:
            number = history[1]["number"] if len(history) > 1 else 0
        before = next((one for one in history if one["number"] == number), None)
        diff = {"before": _entry_line(now), "after": _entry_line(before)}
        if self.module.check_mode:
            return {**nothing, "changed": number != now["number"], "diff": diff}
        found = self._write("rollback", str(number)) if number else self._write("remove")
        return {**found, "diff": diff}

    def _removed(self) -> dict[str, Any]:
        if self.module.check_mode:
            found = self._status_data()["change"]
            return {"changed": found is not None and found["policy"] is not None}
        return self._write("remove")

    def _history(self) -> list[dict[str, Any]]:
        """What the host holds, and what it held before that: the newest first."""
        found = self.program.data("history")
        kept = found["confirmed"] or 0
        return [
            one
            for one in reversed(found["entries"])
            if one["number"] <= kept and (one["outcome"] == "confirmed" or one["number"] == kept)
        ]

    # --- looking at a host ---

    def _status(self) -> dict[str, Any]:
        history = self._history()
        found = self._status_data()
        now = history[0] if history else {"why": "", "time": ""}
        return {
            "changed": False,
            "status": found,
            "history": history[:10],
            "rollout": rollout_of(now["why"]),
            "last_rollout": f"{now['time']} {rollout_of(now['why'], taken_back=True)}",
        }

    def _status_data(self) -> dict[str, Any]:
        found = self.program.data("status", good=(0, 1))
        found.pop("counters", None)
        return found

    def _diagnosed(self) -> dict[str, Any]:
        doctor = self.program.data("doctor", good=(0, 1))
        marks = self.program.data("marks", good=(0, 1))
        bits = {
            mark: [one for one in bits if one["writers"] or one["readers"]]
            for mark, bits in marks["bits"].items()
        }
        result = {
            "changed": False,
            "status": self._status_data(),
            "findings": doctor["findings"],
            "not_read": doctor["not_read"],
            "ledger": {"uses": marks["uses"], "bits": bits},
        }
        worst = _SEVERITIES[self.given["fail_on"]]
        bad = [one for one in doctor["findings"] if one["severity"] in worst]
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            self.module.fail_json(msg=f"{bad[0]['problem']} [{bad[0]['code']}]{more}", **result)
        return result


def rollout_of(why: str, *, taken_back: bool = False) -> str:
    """The rollout that an entry of the history was applied in (or that it took back), empty where
    it was none."""
    found = _ROLLOUT.match(why)
    is_meant = found and (taken_back or not found[1])
    return found[2].rstrip(":") if found and is_meant else ""


def _entry_line(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "nothing of netfw's\n"
    policy = f"policy {entry['policy_hash'][:12]}" if entry["policy_hash"] else "nothing"
    return f"change {entry['number']} of {entry['time']}: {policy} {entry['why']}".rstrip() + "\n"


def _by_rule(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan's lines by rule of the policy; what is netfw's own has no rule."""
    rules: dict[str, dict[str, Any]] = {}
    for change in plan["changes"]:
        name = change["rule"] or ""
        rule = rules.setdefault(name, {"rule": name or None, "where": None, "lines": []})
        rule["where"] = rule["where"] or change["where"]
        rule["lines"].append({key: change[key] for key in ("comes", "family", "place", "text")})
    return {"rules": list(rules.values()), "steps": plan["steps"]}


def _diff(plan: dict[str, Any]) -> dict[str, str]:
    """What ``--diff`` prints."""
    lines: list[str] = []
    for rule in plan["rules"]:
        name = rule["rule"] or "own chains, sets and routing"
        lines.append(f"{name}  {rule['where'] or ''}".rstrip())
        for line in rule["lines"]:
            family = f"IPv{line['family']} " if line["family"] else ""
            sign = "+" if line["comes"] else "-"
            lines.append(f"{sign} {family}{line['place']}: {line['text']}")
    return {"prepared": "\n".join(lines) + "\n" if lines else ""}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "default": "applied",
                "choices": [
                    "applied",
                    "planned",
                    "confirmed",
                    "rolled_back",
                    "removed",
                    "verified",
                    "diagnosed",
                    "status",
                ],
            },
            "policy": {"type": "dict"},
            "confirm": {"type": "int", "default": 0},
            "number": {"type": "int"},
            "rollout": {"type": "str", "default": ""},
            "message": {"type": "str", "default": ""},
            "rehearse": {"type": "bool", "default": True},
            "force": {"type": "bool", "default": False},
            "packets": {"type": "bool", "default": False},
            "backend": {"type": "str", "default": "all", "choices": ["nft", "legacy", "all"]},
            "fail_on": {
                "type": "str",
                "default": "never",
                "choices": ["warning", "error", "never"],
            },
            "minimum": {"type": "str", "default": ""},
            "absent_ok": {"type": "bool", "default": False},
            "program": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.exit_json(**Task(module).run())


if __name__ == "__main__":
    main()
