"""The tail: what the log holds above a version's cut, as values: from where it is asked for, and what was found.

Here, below them all, since the log's room finds it, the versions' room counts it in, and neither knows the other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from slackwater.views.rows import Row
from slackwater.views.view import View


class Cut(NamedTuple):
    """Where it begins in one stream. `at` maps partition -> offset, `delta_start` partition -> first delta; the ids are
    those of the stream's two topics when the cut was taken.
    """

    at: Mapping[int, int]
    topic_id: str
    deltas_id: str
    delta_start: Mapping[int, int]


class Tail(NamedTuple):
    """States at the base interval of all that lies between a cut and `upto`; `missing` says why it could not be had."""

    upto: Mapping[int, int]
    rows: Mapping[View, Sequence[Row]]
    missing: str = ""


ReadTail = Callable[[Cut, Sequence[View], Sequence[View]], Tail]
"""Gives the tail above a cut, up to where the first views are served, for these and for the second views."""
