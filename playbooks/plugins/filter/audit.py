"""One report of what was found on many hosts, and its table."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
name: audit_report
short_description: One report of what netfw found on many hosts
version_added: 0.1.0
author:
  - netfw contributors
description: Puts together what M(netfw.netfw.netfw) returned with state V(diagnosed).
options:
  _input:
    description: The results, by name of a host.
    type: dict
    required: true
  time:
    description: When they were gathered.
    type: str
    required: true
"""

_HEADS = ("host", "change", "policy", "drift", "errors", "warnings", "bits of marks")


def audit_report(results: dict[str, Any], time: str) -> dict[str, Any]:
    """The report as plain data: ``hosts`` by name, ``marks`` over all of them, a ``summary``, and
    what it ``has``: ``drift``, ``findings`` (or drift)."""
    hosts = {name: _host(result or {}) for name, result in sorted(results.items())}
    unseen = [name for name, host in hosts.items() if host["fault"]]
    drifted = [name for name, host in hosts.items() if host["well"] is False]
    found = [name for name, host in hosts.items() if host["findings"]]
    has = ["drift", "findings"] if drifted or unseen else ["findings"] if found else []
    parts = (("not seen", unseen), ("not as applied", drifted), ("with findings", found))
    told = [f"{len(names)} {what} ({', '.join(names)})" for what, names in parts if names]
    summary = f"{len(hosts)} hosts: {'; '.join(told) if told else 'all as applied, no findings'}"
    return {
        "schema": 1,
        "time": time,
        "summary": summary,
        "has": has,
        "hosts": hosts,
        "marks": _marks(hosts),
    }


def _host(result: dict[str, Any]) -> dict[str, Any]:
    status = result.get("status") or {}
    fault = ""
    if "status" not in result:
        lines = str(result.get("msg", "it was not looked at")).strip().splitlines() or [""]
        fault = f"unreachable: {lines[-1]}" if result.get("unreachable") else lines[0]
    return {
        "fault": fault or None,
        "version": result.get("version"),
        "well": status.get("well"),
        "change": status.get("change"),
        "unfinished": status.get("unfinished"),
        "undone": status.get("undone"),
        "drift": status.get("drift", []),
        "findings": result.get("findings", []),
        "not_read": result.get("not_read", []),
        "ledger": result.get("ledger", {"uses": [], "bits": {}}),
    }


def _marks(hosts: dict[str, Any]) -> dict[str, Any]:
    """By kind of mark and bit: who it probably belongs to, and on which hosts it is used."""
    marks: dict[str, dict[str, Any]] = {}
    for name, host in hosts.items():
        for kind, bits in host["ledger"]["bits"].items():
            for bit in bits:
                entry = marks.setdefault(kind, {}).setdefault(
                    bit["mask"], {"hosts": [], "owners": []}
                )
                entry["hosts"].append(name)
                entry["owners"] += [one for one in bit["owners"] if one not in entry["owners"]]
    return marks


def audit_table(report: dict[str, Any]) -> list[str]:
    """The same in lines, a host each, with what is wrong below."""
    rows = [_HEADS, *(_row(name, host) for name, host in report["hosts"].items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = []
    for row in rows:
        padded = (word.ljust(widths[column]) for column, word in enumerate(row))
        lines.append("  ".join(padded).rstrip())
    for name, host in report["hosts"].items():
        lines += [f"{name}: {text}" for text in _wrong(host)]
    return [*lines, report["summary"]]


def _row(name: str, host: dict[str, Any]) -> tuple[str, ...]:
    if host["fault"]:
        return (name, "?", "?", "?", "?", "?", "?")
    change = host["change"] or {}
    severities = [one["severity"] for one in host["findings"]]
    bits = sum(int(bit["mask"], 16) for bit in host["ledger"]["bits"].get("packet", []))
    return (
        name,
        str(change.get("number") or "-"),
        (change.get("policy_hash") or "-")[:12],
        str(len(host["drift"])),
        str(severities.count("error")),
        str(severities.count("warning")),
        f"{bits:#x}",
    )


def _wrong(host: dict[str, Any]) -> list[str]:
    told = [text for text in (host["fault"], host["unfinished"], host["undone"]) if text]
    for line in host["drift"]:
        family = f"IPv{line['family']} " if line["family"] else ""
        sign = "missing" if line["missing"] else "too many"
        told.append(f"{sign}: {family}{line['place']}: {line['text']}")
    return told + [
        f"{one['severity']}: {one['problem']} [{one['code']}]" for one in host["findings"]
    ]


class FilterModule:
    """The filters, by their names."""

    def filters(self) -> dict[str, Any]:
        """See above."""
        return {"audit_report": audit_report, "audit_table": audit_table}
