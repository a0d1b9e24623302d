"""The Python merge and finish of a view's states, for the hot store: pure functions of flat tuples of integers."""

from collections.abc import Callable, Iterable
from functools import cache

from slackwater.views.view import View

State = tuple[int, ...]
Merge = Callable[[State, State], State]
Finish = Callable[[State], dict[str, str | int]]


@cache
def merger(view: View) -> Merge:
    """The merge of two whole states of `view`. It returns a new value and never changes what it read."""
    parts = []
    at = 0
    for name, measure in view.measures.items():
        width = len(measure.columns(name))
        parts.append((slice(at, at + width), measure.merge()))
        at += width

    def merge(a: State, b: State) -> State:
        merged: list[int] = []
        for part, of in parts:
            merged += of(a[part], b[part])
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
