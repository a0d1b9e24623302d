"""The kinds of answer: finished values of a state, as JSON has them: decimals as text, counts and ids as integers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verify.definition import Part
from verify.errors import NotProvenError
from verify.kinds import maker

RATIO_SCALE = 8

State = Mapping[str, Any]
Finish = Callable[[State], Any]


def answer_of(name: str, part: Part, columns: Mapping[str, int | None]) -> Finish:
    """What finishes an answer over the columns of a state, name -> scale.

    Raises:
        NotProvenError: its kind is not known here, or it is of a column that there is not.
    """
    made = maker("answer", name, part, _KINDS)
    try:
        finish: Finish = made(part.args, columns)
    except KeyError as error:
        raise NotProvenError(f"The answer {name!r} is of {error}, which is no column of its state.") from error
    return finish


def decimal(units: int, digits: int) -> str:
    """A number of units of 10^-digits as text, without exponent and without trailing zeros."""
    whole, fraction = divmod(abs(units), 10**digits)
    text = f"{whole}.{fraction:0{digits}d}".rstrip("0").rstrip(".") if digits else str(whole)
    return f"-{text}" if units < 0 else text


def half_even(numerator: int, denominator: int) -> int:
    """The quotient, rounded to the nearest integer, a tie to the even one."""
    quotient, rest = divmod(abs(numerator), abs(denominator))
    quotient += 2 * rest > abs(denominator) or (2 * rest == abs(denominator) and quotient % 2 == 1)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient


def quantile(counts: Sequence[tuple[int, int]], at: str) -> int | None:
    """The bucket that holds the smallest number that a part `at` of all numbers is not above; (bucket, how many)."""
    whole, _, fraction = at.partition(".")
    wanted, unit = int(whole + fraction), 10 ** len(fraction)
    total, reached = sum(count for _, count in counts), 0
    for found, count in sorted(counts):
        reached += count
        if count and reached * unit >= total * wanted:
            return found
    return None


def _column(args: Mapping[str, Any], columns: Mapping[str, int | None]) -> Finish:
    name = args["column"]
    scale = columns[name]
    return (lambda state: decimal(state[name], scale)) if scale else lambda state: state[name]


def _ratio(args: Mapping[str, Any], columns: Mapping[str, int | None]) -> Finish:
    over, under = args["over"], args["under"]
    power = RATIO_SCALE + (columns[under] or 0) - (columns[over] or 0)
    up, down = 10 ** max(power, 0), 10 ** max(-power, 0)
    return lambda state: (  # without a divisor there is no answer
        decimal(half_even(state[over] * up, state[under] * down), RATIO_SCALE) if state[under] else None
    )


def _linear(args: Mapping[str, Any], columns: Mapping[str, int | None]) -> Finish:
    weights = dict(args["weights"])
    scales = {columns[name] for name in weights}
    if len(scales) != 1 or None in scales:
        raise NotProvenError(f"A linear answer is over {', '.join(weights)}, which are not of one kind.")
    scale = scales.pop()

    def finish(state: State) -> Any:
        total = sum(state[name] * weight for name, weight in weights.items())
        return decimal(total, scale) if scale else total

    return finish


_KINDS: Mapping[str, Callable[..., Finish]] = {
    "Column": _column,
    "Ratio": _ratio,
    "Linear": _linear,
    "Difference": _linear,
}
