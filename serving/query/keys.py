"""The parameters that ask for keys of a view, made from its declaration: the entity, and further columns by name.

/v1/bars?venue=x&symbol=BTC,ETH        the entity: its last column may be several values
/v1/flow?venue=x&symbol=BTC&side=buy   of the further columns those that are named; without, all rows
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from serving.query.parameters import MOST_SYMBOLS, Parameter, ValueRefusedError, one_of
from serving.store.batch import Keys
from slackwater.streams.stream import Choice, Text
from slackwater.views.kinds import Value
from slackwater.views.view import View

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_BOUND = 2**63


def key_parameters(view: View) -> tuple[Parameter, ...]:
    """The parameters of a view's key, in order; those of the entity are required."""
    *firsts, last = view.entity
    several = _several(last, _reader(view, last))
    return (
        *(Parameter(name, f"The {name}.", _reader(view, name), required=True) for name in firsts),
        Parameter(last, f"The {last}; several with commas between.", several, required=True),
        *(Parameter(name, f"Rows of this {name} alone.", _reader(view, name)) for name in view.rest),
    )


def keys_of(view: View, found: Mapping[str, Any]) -> Keys:
    """The keys that the values of these parameters ask for."""
    *firsts, last = view.entity
    begin = tuple(found[name] for name in firsts)
    where = ((place, found[name]) for place, name in enumerate(view.key) if name in view.rest)
    entities = tuple((*begin, value) for value in found[last])
    return Keys(entities, tuple((place, value) for place, value in where if value is not None))


def _reader(view: View, name: str) -> Callable[[str], Value]:
    """Reads a value of a key column."""
    column = None if name in view.derived else next((each for each in view.stream.columns if each.name == name), None)
    if isinstance(column, Choice):
        return one_of(*column.values)
    if isinstance(column, Text):
        return _matching(name, column.pattern)
    kind = view.key_columns[view.key.index(name)].kind
    return _whole if kind.python is int else str


def _matching(name: str, pattern: str) -> Callable[[str], Value]:
    known = re.compile(pattern)

    def read(text: str) -> Value:
        if not known.fullmatch(text):
            raise ValueRefusedError(f"a {name} is {pattern}")
        return text

    return read


def _whole(text: str) -> Value:
    if not _WHOLE.fullmatch(text) or not -_BOUND <= int(text) < _BOUND:
        raise ValueRefusedError("give a whole number")
    return int(text)


def _several(name: str, read: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Reads one value, or several with commas between, each once; sorted."""

    def reads(text: str) -> tuple[Value, ...]:
        try:
            found = [read(each) for each in text.split(",")]
        except ValueRefusedError as error:
            raise ValueRefusedError(f"{error}; put commas between several") from error
        if len(set(found)) != len(found) or len(found) > MOST_SYMBOLS:
            raise ValueRefusedError(f"give each {name} once, at most {MOST_SYMBOLS}")
        return tuple(sorted(found))

    return reads
