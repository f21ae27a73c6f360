"""Labs that tests of one module share, and policies for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet.lab import Lab
from tests.fleet.repository import Repository

HOSTS = ("h1", "h2", "h3")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three hosts and their controller; iptables of the last one is the legacy one."""
    with Lab(tmp_path_factory.mktemp("lab"), HOSTS) as made:
        made.hosts[HOSTS[-1]].use_legacy()
        yield made


@pytest.fixture(scope="module")
def repository(lab: Lab) -> Repository:
    """The policy repository that the inventory of the lab names."""
    made = Repository(lab.folder / "policies")
    lab.write_inventory({"netfw_repository": str(made.folder)})
    return made
