"""A policy repository for the hosts of a lab."""

from __future__ import annotations

from pathlib import Path

COMMON = """\
version: 1
vars: {uplink: eth0, admins: [10.77.0.0/16]}
endpoints:
  wan: {host: "${uplink}"}
policies:
  - name: common
    at: wan
    ingress:
      - {allow: ping, from: "${admins}", name: ping}
"""
GATEWAYS = """\
version: 1
vars: {open: [http, https]}
policies:
  - name: gateways
    at: wan
    ingress: [{allow: "${open}", name: web}]
"""
LOCKED_OUT = """\
version: 1
failsafes: none
"""
"""A part that takes away the failsafe by which SSH comes in."""


class Repository:
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("common/base.yaml", COMMON)
        self.write("groups/gateways/web.yaml", GATEWAYS)

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        """Remove a file of the repository."""
        (self.folder / name).unlink()
