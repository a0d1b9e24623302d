"""The Python merge and finish of a view's states, for the hot store: pure functions of flat tuples.

`View.merge` and `View.finish` are these of one view.
"""

from collections.abc import Callable, Iterable, Mapping

from slackwater.views.answers.answer import Answer
from slackwater.views.kinds import Value
from slackwater.views.measures.measure import State, StateColumn, StatePart

__all__ = ["Finish", "Merge", "State", "finish_of", "merge_of"]

Merge = Callable[[State, State], State]
Finish = Callable[[State], dict[str, Value | None]]


def merge_of(parts: Iterable[StatePart]) -> Merge:
    """The merge of two whole states of these parts. It returns a new value and never changes what it read."""
    places = []
    at = 0
    for part in parts:
        width = len(part.columns)
        places.append((slice(at, at + width), part.add))
        at += width

    def merge(a: State, b: State) -> State:
        merged: list[Value] = []
        for of, add in places:
            merged += add(a[of], b[of])
        return tuple(merged)

    return merge


def finish_of(answers: Mapping[str, Answer], columns: tuple[StateColumn, ...]) -> Finish:
    """The answer columns of one state of these columns, in the answers' order."""
    parts = [(name, answer.finish(columns)) for name, answer in answers.items()]
    return lambda state: {name: finish(state) for name, finish in parts}
