"""The kinds of measure: what one event adds, and how two values become one. Plain Python over whole numbers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from verify.definition import Part
from verify.errors import NotProvenError
from verify.expressions import parse
from verify.kinds import maker
from verify.values import TRUTH, Event, Expression

SUM_SCALE = 16
"""Fraction digits of every sum."""

Read = Callable[[str], Expression]
"""Gives the expression of an SQL text over the stream's columns."""


class Measure(NamedTuple):
    """`columns` are name and scale of what its value holds; `of` gives the value of one event, `add` that of two."""

    columns: tuple[tuple[str, int | None], ...]
    of: Callable[[Event], tuple[Any, ...]]
    add: Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def measure_of(name: str, part: Part, columns: Mapping[str, int | None]) -> Measure:
    """The measure of a declaration over a stream's columns, name -> scale.

    Raises:
        NotProvenError: its kind or its expression is not known here.
    """
    made = maker("measure", name, part, _KINDS)
    return Measure(*made(name, part.args, lambda text: parse(text, columns)))


def _count(name: str, args: Mapping[str, Any], read: Read) -> Measure:
    where = args.get("where")
    if where is None:
        return Measure(((name, 0),), lambda _: (1,), _added)
    test = read(where)
    if test.scale != TRUTH:
        raise NotProvenError(f"{name} counts where {where!r}, which is neither true nor false.")
    return Measure(((name, 0),), lambda event: (1 if test.value(event) else 0,), _added)


def _sum(name: str, args: Mapping[str, Any], read: Read) -> Measure:
    found = _number(name, args["expr"], read)
    factor = 10 ** (SUM_SCALE - (found.scale or 0))
    return Measure(((name, SUM_SCALE),), lambda event: (found.value(event) * factor,), _added)


def _extreme(name: str, args: Mapping[str, Any], read: Read, pick: Callable[..., Any]) -> Measure:
    found = read(args["expr"])
    return Measure(((name, found.scale),), lambda event: (found.value(event),), pick)


def _ordered(name: str, args: Mapping[str, Any], read: Read, pick: Callable[..., Any]) -> Measure:
    found, order = read(args["expr"]), _number(name, args["by"], read)
    pair = ((f"{name}_id", order.scale), (name, found.scale))
    return Measure(pair, lambda event: (order.value(event), found.value(event)), pick)


def _number(name: str, text: str, read: Read) -> Expression:
    found = read(text)
    if found.scale is None or not 0 <= found.scale <= SUM_SCALE:
        raise NotProvenError(f"{name} is of {text!r}, which is no number of at most {SUM_SCALE} fraction digits.")
    return found


def _added(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    return (a[0] + b[0],)


_KINDS: Mapping[str, Callable[..., Measure]] = {
    "Sum": _sum,
    "Count": _count,
    "Min": partial(_extreme, pick=min),
    "Max": partial(_extreme, pick=max),
    "First": partial(_ordered, pick=min),
    "Last": partial(_ordered, pick=max),
}
