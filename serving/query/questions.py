"""What is asked: the parameters of each route, parsed and checked, independent of the web framework."""

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.http.formats.media import BY_NAME, FORMATS, JSON
from serving.http.problems import ProblemError, parameter_problem
from serving.query.keys import key_parameters, keys_of
from serving.query.look import Look
from serving.query.parameters import (
    Parameter,
    Point,
    flag,
    interval,
    one_of,
    point,
    read_parameters,
    symbol_prefix,
    symbols,
    text,
    time_us,
    token,
    venue,
    whole,
    whole_or_all,
    words,
)
from serving.store.batch import Keys
from serving.store.listing import Wanted
from slackwater.restatements.restatement import CAUSES
from slackwater.views.errors import IntervalError
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.view import View

MOST_BARS = 10_000
_VERSION = whole(0, 2**31)
_MINUTE = parse_interval("1m")
ALL_NEEDS = "all needs a format that can be streamed: ndjson, csv, arrow or parquet"
EXPLAIN_NEEDS = "needs the format json"
_NO_FILL = "this view declares no value for bars without events"

_VENUE = Parameter("venue", "The venue.", venue, required=True)
_START = Parameter(
    "start",
    "First time, inclusive: ISO 8601 UTC or microseconds since the epoch; a number in another unit is refused.",
    time_us,
)
_END = Parameter("end", "End time, exclusive.", time_us)
_LIMIT = Parameter(
    "limit",
    f"At most so many, up to {MOST_BARS}.",
    whole(1, MOST_BARS),
    500,
    schema={"type": "integer", "minimum": 1, "maximum": MOST_BARS},
)
_ALL = replace(
    _LIMIT,
    help=f"{_LIMIT.help} `all`: every one, as one stream, in a format other than JSON.",
    read=whole_or_all(1, MOST_BARS),
    schema={"anyOf": [_LIMIT.schema, {"const": "all"}]},
)
_CURSOR = Parameter("cursor", "`next` of the page before; every other parameter stays as it was.", token)
_TIMES = Parameter(
    "times",
    "How times are written: microseconds, or ISO 8601.",
    one_of("us", "iso"),
    "us",
    schema={"enum": ["us", "iso"]},
)

_FORMAT = Parameter(
    "format",
    "The format; without it the one that `Accept` prefers.",
    one_of(*(each.name for each in FORMATS)),
    schema={"enum": [each.name for each in FORMATS]},
)
_NUMBERS = Parameter(
    "numbers",
    "How decimals are given: exactly (as text, in Arrow and Parquet as decimals), or as the nearest doubles.",
    one_of("exact", "float"),
    "exact",
    schema={"enum": ["exact", "float"]},
)
IDS = Parameter(
    "ids",
    "How trade ids are given in JSON: as numbers up to 2^53 - 1 and as text beyond, or all as text.",
    one_of("auto", "text"),
    "auto",
    schema={"enum": ["auto", "text"]},
)
_LOOKS = (_TIMES, _FORMAT, _NUMBERS, IDS)

_BARS: tuple[Parameter, ...] = (
    Parameter("interval", "Length of a bar: a divisor of a day such as 1s, 5m, 4h, or 1w. Default 1m.", interval),
    Parameter("start", f"{_START.help} Without it: the latest `limit` bars before `end`.", time_us),
    _END,
    _ALL,
    _CURSOR,
    Parameter(
        "at",
        "Instead of bars all events before this time, a row a key: the time is a start of the view's base interval.",
        time_us,
    ),
    Parameter(
        "quantiles",
        "Instead of rows the quantiles of a view that has some, both bounds of each.",
        flag,
        False,
        schema={"type": "boolean"},
    ),
    Parameter(
        "layer",
        "Which part answers: both (merged, the default), the batch view, or the speed layer's cells.",
        one_of("merged", "batch", "speed"),
        schema={"enum": ["merged", "batch", "speed"]},
    ),
    Parameter(
        "as_of",
        "Answer from this version's batch view alone, at its own cut; such an answer never changes.",
        _VERSION,
        schema={"type": "integer", "minimum": 0},
    ),
    Parameter(
        "explain",
        "Each bar with its batch part, each delta's part, and their merge.",
        flag,
        False,
        schema={"type": "boolean"},
    ),
    Parameter(
        "fill",
        "`previous`: bars without events are given too, with the last close.",
        one_of("previous"),
        schema={"enum": ["previous"]},
    ),
    *_LOOKS,
)

TRADES_PARAMETERS: tuple[Parameter, ...] = (
    _VENUE,
    Parameter("symbol", "The symbol.", symbols, required=True),
    Parameter("start", _START.help, time_us, required=True),
    Parameter("end", _END.help, time_us, required=True),
    _LIMIT,
    _CURSOR,
    *_LOOKS,
)

_POINT = "a version's number, or a time: ISO 8601 UTC or microseconds since the epoch"

RESTATEMENTS_PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "since",
        f"What changed since then: {_POINT}. A number means the versions behind it, a time those made at or after it. "
        "Default: everything.",
        point,
    ),
    Parameter("until", "Up to and with this version, or before this time.", point),
    Parameter("view", "The view. Default: all.", text),
    Parameter("venue", "The venue. Default: all.", venue),
    Parameter("symbol", "The symbol; several with commas between. Default: all.", symbols),
    Parameter(
        "interval",
        "Length of a bar. Default: all that batch publishes.",
        lambda given: interval(given).text,
    ),
    Parameter("cause", "Why it changed. Default: all.", one_of(*CAUSES), schema={"enum": list(CAUSES)}),
    _LIMIT,
    _CURSOR,
    *_LOOKS,
)

INSTRUMENTS_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("venue", "The venue. Default: all.", venue),
    Parameter("symbol", "The symbol; several with commas between. Default: all.", symbols),
    Parameter("prefix", "How the symbol begins.", symbol_prefix),
    Parameter("q", "Words, each of which stands in the symbol or the venue, in large or small letters.", words),
    Parameter("active_since", "Those with a trade in this second or later.", time_us),
    _LIMIT,
    _CURSOR,
    _TIMES,
    _FORMAT,
)


def bars_parameters(view: View) -> tuple[Parameter, ...]:
    """The parameters of `GET /v1/<view>`."""
    return (*key_parameters(view), *_BARS)


@dataclass(frozen=True)
class BarsQuery:
    """A question for rows of a view. Times in microseconds; `[start, end)` holds them by their own start.

    `limit` is None for all of them.
    """

    keys: Keys
    interval: Interval
    start: int | None
    end: int | None
    limit: int | None
    cursor: str | None
    layer: str
    as_of: int | None
    explain: bool
    fill: bool
    look: Look
    at: int | None = None
    quantiles: bool = False

    @property
    def low(self) -> int:
        """The first bar start that the range can hold."""
        return ceil(self.interval, self.start or 0)

    @property
    def high(self) -> int | None:
        """The first bar start behind the range; None without an end."""
        return None if self.end is None else ceil(self.interval, self.end)

    def fingerprint(self, of: str) -> str:
        """What a cursor of this question to `of` is bound to."""
        facts = (of, self.keys, self.interval.text, self.start, self.end, self.limit, self.layer)
        return fingerprint((*facts, self.as_of, self.explain, self.fill, self.at, self.quantiles))


@dataclass(frozen=True)
class TradesQuery:
    """A question for the trades of one instrument in [start, end), microseconds."""

    venue: str
    symbol: str
    start: int
    end: int
    limit: int
    cursor: str | None
    look: Look

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        return fingerprint(("trades", self.venue, self.symbol, self.start, self.end, self.limit))


@dataclass(frozen=True)
class RestatementsQuery:
    """A question for restatements. `filters` are columns and the value that each must have."""

    since: Point
    until: Point | None
    filters: Mapping[str, str]
    symbols: tuple[str, ...]
    cause: str | None
    limit: int
    cursor: str | None
    look: Look

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        facts = (self.since, self.until, sorted(self.filters.items()), self.symbols, self.limit)
        return fingerprint(("restatements", facts))


@dataclass(frozen=True)
class InstrumentsQuery:
    """A question for instruments; `wanted` leaves out what the cursor says."""

    wanted: Wanted
    limit: int
    cursor: str | None
    look: Look

    @property
    def fingerprint(self) -> str:
        """What a cursor of this question is bound to."""
        return fingerprint(("instruments", *self.wanted.facts, self.limit))


def bars_query(view: View, items: Iterable[tuple[str, str]], fills: bool) -> BarsQuery:
    """The question of a query string to a view; `fills` says whether it can fill.

    Raises:
        ProblemError: 422.
    """
    found = read_parameters(bars_parameters(view), items)
    errors = _range_errors(found)
    interval = found["interval"] or (_MINUTE if view.intervals[0].tiles(_MINUTE) else view.intervals[0])
    try:
        view.interval_named(interval.text)
    except IntervalError as error:
        errors["interval"] = f"{error.fact} {error.hint}"
    errors |= _prefix_errors(view, found)
    if found["as_of"] is not None and found["layer"] == "speed":
        errors["layer"] = "speed cannot stand with as_of, which answers from the batch view alone"
    if found["fill"] and not fills:
        errors["fill"] = _NO_FILL
    if found["cursor"] and found["start"] is None and found["at"] is None:
        errors["cursor"] = "needs the start that it was given for"
    if found["limit"] is None:
        errors.update({name: "cannot stand with limit=all" for name in ("cursor", "explain", "fill") if found[name]})
        if found["format"] == JSON.name:
            errors["limit"] = ALL_NEEDS
    if found["explain"] and found["format"] not in {None, JSON.name}:
        errors["explain"] = EXPLAIN_NEEDS
    _refuse(errors)
    return BarsQuery(
        keys=keys_of(view, found),
        interval=interval,
        start=found["start"],
        end=found["end"],
        limit=found["limit"],
        cursor=found["cursor"],
        layer=found["layer"] or "merged",
        as_of=found["as_of"],
        explain=found["explain"],
        fill=found["fill"] is not None,
        look=_look(found),
        at=found["at"],
        quantiles=found["quantiles"],
    )


def _prefix_errors(view: View, found: Mapping[str, Any]) -> dict[str, str]:
    """What cannot stand with `at` or with `quantiles`."""
    base, at, errors = view.intervals[0], found["at"], {}
    asked = {name for name in ("interval", "start", "end", "fill", "explain") if found[name]}
    asked |= {"limit"} if found["limit"] is None else set()
    if at is not None:
        errors = dict.fromkeys(asked, "cannot stand with at")
        if base.floor(at) != at:
            errors["at"] = f"lies within a bar of {view.base}, the view's base; the nearest before is {base.floor(at)}"
    if found["quantiles"]:
        errors |= dict.fromkeys(asked & {"fill", "explain", "limit"}, "cannot stand with quantiles")
        errors |= {} if view.quantiles else {"quantiles": "this view has none"}
    return errors


def instruments_query(items: Iterable[tuple[str, str]]) -> InstrumentsQuery:
    """The question of a query string.

    Raises:
        ProblemError: 422.
    """
    found = read_parameters(INSTRUMENTS_PARAMETERS, items)
    wanted = Wanted(
        venue=found["venue"],
        symbols=frozenset(found["symbol"] or ()),
        prefix=found["prefix"] or "",
        words=found["q"] or (),
        active_since=found["active_since"],
    )
    return InstrumentsQuery(wanted, found["limit"], found["cursor"], _look({"numbers": None, "ids": None, **found}))


def cannot_fill() -> ProblemError:
    """A question to fill, where the definition in force cannot."""
    return parameter_problem([{"parameter": "fill", "detail": _NO_FILL}])


def trades_query(items: Iterable[tuple[str, str]]) -> TradesQuery:
    """The question of a query string.

    Raises:
        ProblemError: 422.
    """
    found = read_parameters(TRADES_PARAMETERS, items)
    errors = _range_errors(found)
    if len(found["symbol"]) > 1:
        errors["symbol"] = "trades are given for one symbol"
    _refuse(errors)
    symbol, start, end = found["symbol"][0], found["start"], found["end"]
    return TradesQuery(found["venue"], symbol, start, end, found["limit"], found["cursor"], _look(found))


def restatements_query(items: Iterable[tuple[str, str]], views: Container[str]) -> RestatementsQuery:
    """The question of a query string.

    Raises:
        ProblemError: 422.
    """
    found = read_parameters(RESTATEMENTS_PARAMETERS, items)
    since, until = found["since"] or Point(0, True), found["until"]
    errors = {}
    if until is not None and until.is_version == since.is_version and until.value <= since.value:
        errors["until"] = "is not behind since"
    if found["view"] is not None and found["view"] not in views:
        errors["view"] = "there is no such view"
    _refuse(errors)
    filters = {name: found[name] for name in ("view", "venue", "interval", "cause") if found[name] is not None}
    return RestatementsQuery(
        since=since,
        until=until,
        filters=filters,
        symbols=found["symbol"] or (),
        cause=found["cause"],
        limit=found["limit"],
        cursor=found["cursor"],
        look=_look(found),
    )


def ceil(of: Interval, time: int) -> int:
    """The first bar start at or behind `time`."""
    start = of.floor(time)
    return start if start == time else of.end(start)


def fingerprint(facts: object) -> str:
    """A short digest of what is asked."""
    return hashlib.blake2b(repr(facts).encode(), digest_size=9).hexdigest()


def _look(found: Mapping[str, Any]) -> Look:
    chosen = BY_NAME[found["format"]] if found["format"] else None
    return Look(chosen, found["times"] == "iso", found["numbers"] == "float", found["ids"] == "text")


def _range_errors(found: dict[str, Any]) -> dict[str, str]:
    if found["start"] is not None and found["end"] is not None and found["start"] >= found["end"]:
        return {"end": "is not behind start; the range is half-open"}
    return {}


def _refuse(errors: dict[str, str]) -> None:
    if errors:
        raise parameter_problem([{"parameter": name, "detail": detail} for name, detail in errors.items()])
