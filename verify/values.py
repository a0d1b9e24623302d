"""Exact values of an event: what gives one, and the arithmetic of SQL on whole numbers of units of 10^-scale."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Event = Mapping[str, Any]
Value = Callable[[Event], Any]

TEXT, TRUTH = None, -1


class Expression(NamedTuple):
    """What gives the value of an event. `scale` is its fraction digits; None: a text, -1: true or false."""

    value: Value
    scale: int | None


def combined(of: Callable[[Any, Any], Any], a: Value, b: Value) -> Value:
    """What an operator gives of two values."""
    return lambda event: of(a(event), b(event))


def constant(kind: str, token: str) -> Expression:
    """A number or a text as SQL writes it."""
    if kind == "text":
        text = token[1:-1].replace("''", "'")
        return Expression(lambda _: text, TEXT)
    whole, _, fraction = token.partition(".")
    units = int(whole + fraction)
    return Expression(lambda _: units, len(fraction))


def is_number(found: Expression) -> bool:
    """Whether it is neither a text nor true or false."""
    return found.scale is not None and found.scale >= 0


def scaled(found: Expression, scale: int) -> Expression:
    """A number in another scale, rounded half away from zero."""
    inner, more = found.value, scale - (found.scale or 0)
    if more == 0:
        return found
    if more > 0:
        factor = 10**more
        return Expression(lambda e: _times(inner(e), factor), scale)
    divisor = 10**-more

    def rounded(event: Event) -> Any:
        units = inner(event)
        if units is None:
            return None
        size = (2 * abs(units) + divisor) // (2 * divisor)
        return size if units >= 0 else -size

    return Expression(rounded, scale)


def _times(units: int | None, factor: int) -> int | None:
    return None if units is None else units * factor


def quotient(a: int, b: int) -> int:
    """As SQL has it: towards zero."""
    size = abs(a) // abs(b)
    return size if (a < 0) == (b < 0) else -size


def remainder(a: int, b: int) -> int:
    """Of that quotient."""
    return a - b * quotient(a, b)
