"""Why a virtual machine cannot be had here."""

from __future__ import annotations


class Unavailable(Exception):
    """One line for the user: what is missing, and where."""
