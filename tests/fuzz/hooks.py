"""What Schemathesis loads: requests about what there is, and no request that the document allows and sense does not.

A JSON schema cannot say these rules between parameters, so requests that must be accepted have to keep them; requests
that must be refused are left as they are. The answers are counted, and written to the file of FUZZ_COUNTS at the end.
"""

import atexit
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

from serving.query.parameters import ValueRefusedError, interval, point, time_us
from serving.stream.query import MOST_BARS_OF_ALL, MOST_SERIES

VENUE, SYMBOL = "binance_spot", "BTCUSDT"
"""What the world has trades of; the document's own examples."""

_counts: Counter[str] = Counter()


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Ask about what there is in three of four requests that ask for some instrument."""
    if isinstance(query, dict) and {"venue", "symbol"} <= query.keys() and zlib.crc32(repr(query).encode()) % 4:
        return {**query, "venue": VENUE, "symbol": SYMBOL}
    return query


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out what fits the document and contradicts itself."""
    if case.meta is None or case.meta.generation.mode.value != "positive":
        return True
    return not contradicts(dict(case.query or {}), case.body)


def contradicts(query: dict[str, Any], body: Any) -> bool:
    """The rules that no schema says. A cursor is an opaque text of the service; one that is made up is refused."""
    several = [str(query.get(name, "")).split(",") for name in ("venue", "symbol")]
    reason = body.get("reason") if isinstance(body, dict) else None
    as_json, explained = query.get("format", "json") == "json", _true(query, "explain")
    return any(
        (
            "cursor" in query,
            query.get("at") is not None,  # stands with few others, and a whole second is one time of a million
            _true(query, "quantiles"),  # the view of this world has none
            any(len(set(values)) < len(values) for values in several),
            query.get("as_of") is not None and query.get("layer") == "speed",
            query.get("limit") == "all" and (as_json or explained or query.get("fill")),
            explained and not as_json,
            isinstance(reason, str) and not (reason.strip() and reason.isprintable()),
            _too_many_series(query),
            _reversed(query, "start", "end", time_us),
            _reversed(query, "since", "until", point),
        )
    )


def _true(query: dict[str, Any], name: str) -> bool:
    return str(query.get(name)).lower() == "true"


def _too_many_series(query: dict[str, Any]) -> bool:
    """Of a stream: intervals that are one twice, more than 64 series, or more than 20,000 bars in all."""
    lengths = str(query.get("interval", "1m")).split(",")
    try:
        known = {interval(each).us for each in lengths}
        bars = len(lengths) * len(str(query.get("symbol", "")).split(",")) * int(query.get("limit", 100))
    except (ValueRefusedError, ValueError):
        return False
    series = len(lengths) * len(str(query.get("symbol", "")).split(","))
    return len(lengths) > 1 and (len(known) < len(lengths) or series > MOST_SERIES or bars > MOST_BARS_OF_ALL)


def _reversed(query: dict[str, Any], low: str, high: str, read: Any) -> bool:
    """Whether a range is empty; of points, only two of a kind can be compared."""
    if (query.get(low) is None and low == "start") or query.get(high) is None:
        return False
    try:
        first, last = read(str(query.get(low, 0))), read(str(query[high]))
    except ValueRefusedError:
        return False
    if low == "since" and first.is_version != last.is_version:
        return False
    return bool(first >= last)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count."""
    _counts[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def _write() -> None:
    if path := os.environ.get("FUZZ_COUNTS"):
        Path(path).write_text(json.dumps(_counts), encoding="utf-8")
