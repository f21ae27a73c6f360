"""Faults put into a change of a host on purpose: ``python -m tests.faults`` runs them all."""
