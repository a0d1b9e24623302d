"""The Python merge and finish of a view's states, for the hot store: pure functions of flat tuples."""

from collections.abc import Callable, Iterable
from functools import cache

from slackwater.views.kinds import Value
from slackwater.views.measures.measure import State
from slackwater.views.view import View

__all__ = ["Finish", "Merge", "State", "finisher", "merge_all", "merger"]

Merge = Callable[[State, State], State]
Finish = Callable[[State], dict[str, Value]]


@cache
def merger(view: View) -> Merge:
    """The merge of two whole states of `view`. It returns a new value and never changes what it read."""
    parts = []
    at = 0
    for part in view.parts:
        width = len(part.columns)
        parts.append((slice(at, at + width), part.add))
        at += width

    def merge(a: State, b: State) -> State:
        merged: list[Value] = []
        for of, add in parts:
            merged += add(a[of], b[of])
        return tuple(merged)

    return merge


def merge_all(view: View, states: Iterable[State]) -> State | None:
    """The merge of any number of states; None, the identity, for none."""
    merge = merger(view)
    total: State | None = None
    for state in states:
        total = state if total is None else merge(total, state)
    return total


@cache
def finisher(view: View) -> Finish:
    """The answer columns of one state, in the view's order."""
    parts = [(name, answer.finish(view.columns)) for name, answer in view.answers.items()]
    return lambda state: {name: finish(state) for name, finish in parts}
