"""mangle POSTROUTING: from the mark to the class of tc, where every packet leaves.

CLASSIFY sets the packet's priority, which classful qdiscs take for the class where its major
number is theirs (htb_classify in net/sched/sch_htb.c): no filter of tc is needed.
"""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.ir.match import MarkMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.target import Classify


def build_class(draft: Draft) -> Draft:
    """One rule for each class that packets of this family can have."""
    steering = draft.policy.steering
    named = dict.fromkeys(
        entry.tc_class
        for entry in steering.entries
        if entry.tc_class and entry.conditions(draft.family) is not None
    )
    for tc_class in named:
        text = chain_name.text_of_class(tc_class)
        origin = Origin(
            draft.file, f"verdict/class-{text}", f"the connection belongs to class {text}"
        )
        mark = steering.field.tc_class(steering.classes[tc_class])
        draft = draft.with_rules(
            TableName.MANGLE,
            OWN_CHAIN_PREFIX + Hook.POSTROUTING.value,
            make_rule(origin, Classify(priority=tc_class), MarkMatch(mark)),
        )
    return draft
