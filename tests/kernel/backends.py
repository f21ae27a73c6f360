"""Backends for tests in which a host goes through whole changes, which take many seconds each."""

from __future__ import annotations

import pytest

from netfw.ir.names import Backend

FIRST_ONE = (Backend.NFT, pytest.param(Backend.LEGACY, marks=pytest.mark.long))
"""The other one is for ``make test ARGS='-m long'``."""
