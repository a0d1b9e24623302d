"""Readiness: whether the full promise is kept now. Each part gives its own reasons; here they are put together."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

Reasons = Callable[[], Iterable[str]]


class Ready(NamedTuple):
    """Whether the full promise is kept now; each reason says what is missing."""

    ready: bool
    reasons: list[str]


class Readiness:
    """Asks the parts in turn; any thread may look."""

    def __init__(self, *parts: Reasons) -> None:
        self._parts = parts

    def check(self) -> Ready:
        """What they say now, each reason once."""
        reasons = list(dict.fromkeys(reason for part in self._parts for reason in part()))
        return Ready(not reasons, reasons)
