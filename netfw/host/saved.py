"""What a host's programs print of rules and sets, all of them asked at the same time. Only looks.

Each is a process that mostly waits for the kernel: whoever asks has time for other work.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from netfw.host.ipsets import saved_sets
from netfw.host.namespace import Namespace
from netfw.host.saved_text import legacy_text, nft_text
from netfw.ir.names import Backend, Family


class Saved:
    """The texts of one moment: that at which this is made, or a little later."""

    def __init__(
        self,
        backend: Backend,
        namespace: Namespace | None = None,
        *,
        counters: bool = False,
        sets: bool = True,
        families: Sequence[Family] = (*Family,),
    ) -> None:
        self.backend = backend
        self.namespace = namespace
        self.families = families
        printed = legacy_text if backend is Backend.LEGACY else nft_text
        pool = ThreadPoolExecutor(thread_name_prefix="netfw-saved")
        self._rules = {
            family: pool.submit(printed, namespace, family, counters=counters)
            for family in families
        }
        self._sets = pool.submit(saved_sets, namespace) if sets else None
        # what was asked is answered, and nothing else will be asked
        pool.shutdown(wait=False)

    def rules(self, family: Family) -> str:
        """The rules of one of ``families``. Raises as ``nft_text`` and ``legacy_text``."""
        return self._rules[family].result()

    def sets(self) -> str:
        """What ``ipset save`` prints, empty where it was not asked for. Raises HostError,
        CapabilityError where it is missing."""
        return "" if self._sets is None else self._sets.result()
