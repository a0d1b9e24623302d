"""The question to a view: the parameters of `GET /v1/<view>`, one model a view, with its keys by name.

GET /v1/bars?venue=x&symbol=BTC,ETH&interval=5m    the entity, whose last column may be several values; a range
GET /v1/flow?venue=x&symbol=BTC&side=buy           of the further key columns those that are named; without, all rows
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, create_model, model_validator

from serving.http.formats.negotiation import BY_NAME, JSON, choose_format
from serving.query.fields import (
    AsOfField,
    AtField,
    CursorField,
    DecimalParameters,
    EndField,
    FlagField,
    IntervalField,
    TimeField,
    interval_field,
    whole_field,
)
from serving.query.keys import PREFIX, key_fields
from serving.query.parameters import whole
from serving.store.request import Keys
from slackwater.core.errors import SettingError
from slackwater.http.problems import ProblemError, refusal
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.view import View

MOST_BARS = 10_000
ALL_NEEDS = "all needs a format that can be streamed: ndjson, csv, arrow or parquet"
EXPLAIN_NEEDS = "needs the format json"
START = "First time, inclusive: ISO 8601 UTC or microseconds since the epoch; a number in another unit is refused."
_NO_FILL = "this view declares no value for bars without events"
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_BARS}

Limit = whole_field(1, MOST_BARS)
LIMIT_TEXT = f"At most so many, up to {MOST_BARS}."
_WHOLE = whole(1, MOST_BARS)
_LimitOrAll = Annotated[
    int | None,
    BeforeValidator(lambda text: None if text == "all" else _WHOLE(text)),
    WithJsonSchema({"anyOf": [_LIMIT, {"const": "all"}], "default": 500}),
]


class BarsQuery(DecimalParameters):
    """A question for rows of a view. Times in microseconds; `[start, end)` holds them by their own start.

    `limit` is None for all of them.
    """

    view: ClassVar[View]

    interval: IntervalField = Field(description="Length of a bar.")
    start: TimeField = Field(None, description=f"{START} Without it: the latest `limit` bars before `end`.")
    end: EndField = Field(None, description="End time, exclusive.")
    limit: _LimitOrAll = Field(
        500, description=f"{LIMIT_TEXT} `all`: every one, as one stream, in a format other than JSON."
    )
    cursor: CursorField = Field(None, description="`next` of the page before; every other parameter stays as it was.")
    at: AtField = Field(
        None,
        description="Instead of bars all events before this time, a row a key: the time is a start of the view's base "
        "interval.",
    )
    quantiles: FlagField = Field(
        False, description="Instead of rows the quantiles of a view that has some, both bounds of each."
    )
    layer: Literal["merged", "batch", "speed"] = Field(
        "merged", description="Which part answers: both, the batch view, or the speed layer's cells."
    )
    as_of: AsOfField = Field(
        None,
        description="Answer from one version's batch view alone, at its own cut: its number, the name of a pin, or a "
        "time, which means the version that was served then. Of a number and a time it never changes.",
    )
    explain: FlagField = Field(False, description="Each bar with its batch part, each delta's part, and their merge.")
    gaps: FlagField = Field(
        False,
        description="With each bar the number of ids that are missing in it and beside it, where the venue's ids are "
        "dense; null where they are not. A gap between two bars counts in both.",
    )
    fill: Annotated[Literal["previous"] | None, WithJsonSchema({"enum": ["previous"]})] = Field(
        None, description="`previous`: bars without events are given too, with the last close."
    )

    @model_validator(mode="after")
    def _together(self) -> "BarsQuery":
        errors = range_errors(self.start, self.end)
        errors |= self._prefix_errors()
        if self.as_of is not None and self.layer == "speed":
            errors["layer"] = "speed cannot be combined with as_of, which answers from the batch view alone"
        if self.cursor and self.start is None and self.at is None:
            errors["cursor"] = "needs the start that it was given for"
        if self.limit is None:
            wrong = ("cursor", "explain", "fill")
            errors.update({name: "cannot be combined with limit=all" for name in wrong if getattr(self, name)})
            if self.format == JSON.name:
                errors["limit"] = ALL_NEEDS
        errors |= self._gaps_errors()
        if self.explain and self.format not in {None, JSON.name}:
            errors["explain"] = EXPLAIN_NEEDS
        refuse(errors)
        return self

    def _gaps_errors(self) -> dict[str, str]:
        """What cannot be combined with `gaps`."""
        if not self.gaps:
            return {}
        used = [name for name in ("quantiles", "explain") if getattr(self, name)] + ["limit"] * (self.limit is None)
        return dict.fromkeys(used, "cannot be combined with gaps")

    def _prefix_errors(self) -> dict[str, str]:
        """What cannot be combined with `at` or with `quantiles`."""
        base, at, errors = self.view.intervals[0], self.at, dict[str, str]()
        given = self.model_fields_set & {"interval", "start", "end", "fill", "explain"}
        used = {name for name in given if getattr(self, name)} | ({"limit"} if self.limit is None else set())
        if at is not None:
            errors = dict.fromkeys(used, "cannot be combined with at")
            if base.floor(at) != at:
                errors["at"] = (
                    f"lies within a bar of {self.view.base}, the view's base; the nearest before is {base.floor(at)}"
                )
        if self.quantiles:
            errors |= dict.fromkeys(used & {"fill", "explain", "limit"}, "cannot be combined with quantiles")
            errors |= {} if self.view.quantiles else {"quantiles": "this view has none"}
        return errors

    @cached_property
    def keys(self) -> Keys:
        """The requested keys."""
        return keys_of(self.view, self)

    @cached_property
    def low(self) -> int:
        """The first bar start that the range can hold."""
        return ceil(self.interval, self.start or 0)

    @cached_property
    def high(self) -> int | None:
        """The first bar start behind the range; None without an end."""
        return None if self.end is None else ceil(self.interval, self.end)

    def chosen(self, accept: str | None) -> "BarsQuery":
        """The same, in the format that `Accept` chooses where none was named. Raises ProblemError, 406 or 422."""
        chosen = BY_NAME[self.format] if self.format else choose_format(accept)
        if chosen is JSON and self.limit is None:
            raise refusal({"limit": ALL_NEEDS})
        if chosen is not JSON and self.explain:
            raise refusal({"explain": EXPLAIN_NEEDS})
        return self if self.format else self.model_copy(update={"format": chosen.name})

    def fingerprint(self, of: str) -> str:
        """What a cursor of this question to `of` is bound to."""
        facts = (of, self.keys, self.interval.text, self.start, self.end, self.limit, self.layer)
        return fingerprint((*facts, self.as_of, self.explain, self.fill, self.at, self.quantiles, self.gaps))


@cache
def query_of(view: View) -> type[BarsQuery]:
    """The query of a view: its keys by name, and the intervals that its base makes up.

    Raises:
        SettingError: a key has the name of another parameter.
    """
    keys = key_fields(view)
    check_names(view.name, view.key, BarsQuery)
    minute = parse_interval("1m")
    default = minute if view.intervals[0].tiles(minute) else view.intervals[0]
    text = f"Length of a bar: any that {view.base} makes up, such as 4h, 1d, 1w, 1M, 1y, total. Default {default.text}."
    interval: Any = (
        interval_field(view.intervals[0], default),
        Field(default_factory=lambda: default, description=text),
    )
    made = create_model(f"{view.name.title()}Query", __base__=BarsQuery, interval=interval, **keys)
    made.view = view
    return made


def check_names(of: str, columns: Iterable[str], *models: type[BaseModel]) -> None:
    """Raises SettingError if a column that is asked for by its name has that of another parameter, or member."""
    if taken := sorted(set(columns) & {name for model in models for name in model.model_fields}):
        raise SettingError(f"{of!r} has columns {taken}, which are parameters of its route.", "Name them otherwise.")


def cannot_fill() -> ProblemError:
    """A question to fill, where the definition in force cannot."""
    return refusal({"fill": _NO_FILL})


def range_errors(start: int | None, end: int | None) -> dict[str, str]:
    """What is wrong with a range."""
    if start is not None and end is not None and start >= end:
        return {"end": "is not behind start; the range is half-open"}
    return {}


def refuse(errors: Mapping[str, str]) -> None:
    """Raises ProblemError, 422, where there are errors."""
    if errors:
        raise refusal(errors)


def ceil(of: Interval, time: int) -> int:
    """The first bar start at or behind `time`."""
    return time if (low := of.floor(time)) == time else of.end(low)


def fingerprint(facts: Any) -> str:
    """A short digest of a question."""
    return hashlib.blake2b(repr(facts).encode(), digest_size=9).hexdigest()


def keys_of(view: View, query: object) -> Keys:
    """The keys that a query with the fields of a view names."""
    *firsts, last = view.entity
    begin = tuple(getattr(query, PREFIX + name) for name in firsts)
    where = ((place, getattr(query, PREFIX + name)) for place, name in enumerate(view.key) if name in view.rest)
    entities = tuple((*begin, value) for value in getattr(query, PREFIX + last))
    return Keys(entities, tuple((place, value) for place, value in where if value is not None))
