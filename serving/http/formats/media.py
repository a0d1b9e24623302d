"""The formats of a table, and which of them a request gets: `format=` wins over `Accept`, and JSON over ties.

Not here: how a table becomes bytes (`serving.http.formats.encoders`).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from serving.http.preferences import Preference, preferences
from serving.http.problems import ProblemError


class Format(NamedTuple):
    """One format. `text`: decimals and times are text or numbers in it, not types; it is worth compressing."""

    name: str
    media_type: str
    ranges: tuple[str, ...]
    text: bool


JSON = Format("json", "application/json", ("application/json",), True)
NDJSON = Format("ndjson", "application/x-ndjson", ("application/x-ndjson", "application/ndjson"), True)
CSV = Format("csv", "text/csv; charset=utf-8; header=present", ("text/csv",), True)
ARROW = Format("arrow", "application/vnd.apache.arrow.stream", ("application/vnd.apache.arrow.stream",), False)
PARQUET = Format("parquet", "application/vnd.apache.parquet", ("application/vnd.apache.parquet",), False)

FORMATS = (JSON, NDJSON, CSV, ARROW, PARQUET)
"""Those of every route that answers with a table, the preferred first."""

BY_NAME = {each.name: each for each in FORMATS}


@lru_cache(256)
def choose_format(accept: str | None) -> Format:
    """The format that a client prefers by its `Accept`.

    Raises:
        ProblemError: 406, it takes none of ours.
    """
    asked = preferences(accept) if accept and accept.strip() else [Preference("*/*", frozenset(), 1.0)]
    weights = [_weight(each, asked) for each in FORMATS]
    best = max(range(len(FORMATS)), key=lambda i: weights[i])  # the first of equals
    if not weights[best]:
        detail = "None of our formats is acceptable to this request. Ask for one by `Accept`, or by `format=`."
        available = [{"format": each.name, "media_type": each.media_type} for each in FORMATS]
        raise ProblemError(406, "not-acceptable", detail, available=available)
    return FORMATS[best]


def _weight(of: Format, asked: Sequence[Preference]) -> float:
    """The weight of the most specific range that matches."""
    _, *own = of.media_type.split("; ")
    parameters = {tuple(each.split("=")) for each in own} | {("charset", "utf-8")}
    best, weight = -1, 0.0
    for each in asked:
        if each.name in of.ranges and each.parameters <= parameters:
            specific = 2 + len(each.parameters)
        elif each.name == of.media_type.partition("/")[0] + "/*":
            specific = 1
        elif each.name == "*/*":
            specific = 0
        else:
            continue
        if specific > best:
            best, weight = specific, each.weight
    return weight
