"""How a venue's list of instruments is asked for and read: into rows as `slackwater.instruments.given` takes them.

    first     the requests with which the list begins
    read      an answer's body and its request    ->  rows of facts by name, and the request for more

What is no fact of an instrument is for `slackwater.instruments.facts` to refuse. Rows say nothing of the time: from
when they hold is for whoever loads them.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ingest.feeds.feed import FrameError, Request
from slackwater.core.decimals import plain_text

Values = Mapping[str, Any]


class Listed(NamedTuple):
    """What an answer holds, with an error for each entry that is none, and the request for more; None: no more."""

    rows: Sequence[Values | FrameError]
    more: Request | None = None


class Listing(NamedTuple):
    """Of one venue. `read` raises FrameError, FinalError, TooMuchError as `Rest.read` does."""

    first: Sequence[Request]
    read: Callable[[bytes, Request], Listed]


def step(decimals: int) -> str:
    """The step of a number with so many digits behind the point."""
    return plain_text(Decimal(1).scaleb(-decimals))


def product(*factors: str) -> str:
    """Of decimals, as text. Raises FrameError."""
    try:
        found = Decimal(1)
        for factor in factors:
            found *= Decimal(factor)
    except ArithmeticError as error:
        raise FrameError("bad-answer", f"{factors} are no numbers.") from error
    return plain_text(found) if found.is_finite() else str(found)


def rows_of(found: Sequence[Any], row: Callable[[Any], Values | None]) -> Sequence[Values | FrameError]:
    """The rows of those that are of a kind that is known; one that cannot be read keeps out no other."""
    rows: list[Values | FrameError] = []
    for one in found:
        try:
            facts = row(one)
        except FrameError as error:
            rows.append(error)
        else:
            rows += [] if facts is None else [facts]
    return rows
