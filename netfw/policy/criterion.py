"""Further things that a rule may ask of a packet, besides addresses and services.

Each is a frozen type in a module of its own. They have in common: ``KEY``, the word of the
language; ``families``, those whose packets can meet it; ``holds(flow)``, which is None where it
cannot be known; and ``meaning``, plain data that says all of it.
"""

from __future__ import annotations

from netfw.policy.connection_count import ConnectionCount
from netfw.policy.connection_states import ConnectionStates
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.hardware_sources import HardwareSources
from netfw.policy.ip_version import IpVersion
from netfw.policy.owner import Owner
from netfw.policy.packet_rate import PacketRate
from netfw.policy.passage import Passage
from netfw.policy.segment_flags import SegmentFlags
from netfw.policy.source_ports import SourcePorts
from netfw.policy.time_span import TimeSpan
from netfw.policy.validity import Validity

Criterion = (
    ConnectionCount
    | ConnectionStates
    | ForeignMark
    | HardwareSources
    | IpVersion
    | Owner
    | PacketRate
    | Passage
    | SegmentFlags
    | SourcePorts
    | TimeSpan
    | Validity
)
