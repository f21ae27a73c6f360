"""Further things that a rule may ask of a packet, besides addresses and services.

Each is a frozen type in a module of its own. They have in common: ``KEY``, the word of the
language; ``families``, those whose packets can meet it; ``holds(flow)``, which is None where it
cannot be known; and ``meaning``, plain data that says all of it.
"""

from __future__ import annotations

from netfw.policy.connection_states import ConnectionStates

Criterion = ConnectionStates
