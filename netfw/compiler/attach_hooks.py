"""One rule in each built-in chain that leads to ours: all that netfw needs from others."""

from __future__ import annotations

from netfw.compiler.draft import Draft, make_rule
from netfw.ir.names import BUILTIN_CHAINS, OWN_CHAIN_PREFIX, ChainPolicy
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain
from netfw.ir.target import Jump


def attach_hooks(draft: Draft) -> Draft:
    """Call NETFW-INPUT from INPUT and so on, where such a chain was made."""
    for table, chains in draft.chains.items():
        names = {chain.name for chain in chains}
        for hook in BUILTIN_CHAINS[table]:
            entrance = OWN_CHAIN_PREFIX + hook.value
            if entrance in names:
                word = hook.value.lower()
                origin = Origin(draft.file, f"hook/{word}", f"netfw's rules at {hook.value}")
                rule = make_rule(origin, Jump(entrance))
                draft = draft.with_chains(table, Chain(hook.value, (rule,), ChainPolicy.ACCEPT))
    return draft
