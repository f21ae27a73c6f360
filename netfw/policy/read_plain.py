"""The short way for plain rules: an action, services and networks, and nothing else.

Nearly all rules of a large policy are plain and sound. Whatever is not goes the long way of
``read_rule``, which also says what is wrong; here no fault is noted. Both ways come to the same,
and tests compare them.
"""

from __future__ import annotations

from netfw.ir.net import Net
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Direction
from netfw.policy.identity import Draft, hash_of_words
from netfw.policy.names import Meaning, Names
from netfw.policy.rule import Action
from netfw.policy.rule_draft import RuleDraft
from netfw.policy.source import Mapping, Node, written_form

_ACTIONS = {action.value: action for action in Action if action is not Action.LOG}
_ANYWHERE: Meaning[Net] = ((), ())


def read_plain_rule(node: Node, direction: Direction, names: Names) -> RuleDraft | None:
    """A rule that is plain and sound; None for any other."""
    if not isinstance(node, Mapping):
        return None
    by_key = node.by_key
    source, destination = by_key.get("from"), by_key.get("to")
    word = next((key for key in by_key if key in _ACTIONS), None)
    if word is None or len(by_key) != 1 + (source is not None) + (destination is not None):
        return None
    traffic = names.find_traffic(by_key[word].value)
    sources = _ANYWHERE if source is None else names.find_nets(source.value)
    destinations = _ANYWHERE if destination is None else names.find_nets(destination.value)
    if traffic is None or sources is None or destinations is None:
        return None
    criteria = Criteria(traffic[0], sources[0], destinations[0])
    if not criteria.families:
        return None
    digest = hash_of_words(direction.value, traffic[1], sources[1], destinations[1], ())
    text = written_form(node)[1:-1]
    draft = Draft(word, None, None, digest)
    return RuleDraft(_ACTIONS[word], criteria, None, None, node.where, text, (), draft)
