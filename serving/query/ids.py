"""Trade ids in JSON: numbers while every reader holds them exactly, text beyond, or all as text by `ids=text`.

    9007199254740991 = 2^53 - 1    ->  9007199254740991      the largest that a double tells from its neighbours
    9007199254740992               ->  "9007199254740992"    JavaScript and many others would round the next one to it

Where a format has a type for integers (CSV has text alone, Arrow and Parquet int64), ids are always integers.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from slackwater.views.kinds import LARGEST_EXACT
from slackwater.views.view import View


def exact_json(value: Any, as_text: bool = False) -> Any:
    """A value as JSON gives it: an integer as text if it is too large for a double, or if all are wanted so."""
    if type(value) is int and (as_text or abs(value) > LARGEST_EXACT):
        return str(value)
    return value


@cache
def id_names(view: View) -> tuple[str, ...]:
    """Key columns and answers that are integers which a double may not hold, such as the order of an event."""
    kinds = {**{column.name: column.kind for column in view.key_columns}, **view.answer_kinds}
    return tuple(name for name, kind in kinds.items() if kind.wide)


def ids_json(view: View, answers: Mapping[str, Any], as_text: bool) -> dict[str, Any]:
    """Fields of a row with the ids as JSON gives them."""
    return {**answers, **{name: exact_json(answers[name], as_text) for name in id_names(view) if name in answers}}
