"""The quantiles of a view, made of rows that differ in the bucket alone: in Python for rows, in SQL for a relation.

    rows     (BTCUSDT, 994) 10:00  2       (BTCUSDT, 1100) 10:00  3        key, start, state
    row      (BTCUSDT)      10:00  {p50_low: ..., p50_high: ..., p90_low: ...}

Whoever reads hands over all rows of a start, at whatever interval: a bucket's count is merged like any state.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from slackwater.views.answers.answer import column_named
from slackwater.views.keys import Bucket
from slackwater.views.kinds import Kind, Value, decimals
from slackwater.views.rows import Row
from slackwater.views.view import View


class QuantileRow(NamedTuple):
    """The quantiles of one start. `key` is without buckets; each quantile has `<name>_low` and `<name>_high`."""

    key: tuple[Value, ...]
    start: int
    answers: dict[str, Value | None]


def quantile_key(view: View) -> tuple[str, ...]:
    """The key columns of such a row: those of the view without buckets."""
    return tuple(name for name in view.key if not isinstance(view.derived.get(name), Bucket))


def quantile_kinds(view: View) -> dict[str, Kind]:
    """The answers of such a row, and what they are."""
    return {
        f"{name}_{side}": _kind(view, quantile.by)
        for name, quantile in view.quantiles.items()
        for side in ("low", "high")
    }


def quantile_rows(view: View, rows: Iterable[Row]) -> list[QuantileRow]:
    """The quantiles of rows, a row a key and start, in order of start and key."""
    places = [view.key.index(name) for name in quantile_key(view)]

    def place(row: Row) -> tuple[Value, ...]:
        return (row.start, *(row.key[i] for i in places))

    found = []
    for (start, *key), of in groupby(sorted(rows, key=place), key=place):
        assert isinstance(start, int)  # noqa: S101 - a row's start
        found.append(QuantileRow(tuple(key), start, _answers(view, list(of))))
    return found


def quantiles_sql(view: View, relation: str) -> str:
    """One SELECT from states, a row a key and start, to key, start and both bounds of each quantile."""
    keys = ", ".join([*quantile_key(view), "start"])
    buckets = {quantile.by for quantile in view.quantiles.values()}
    reached = ", ".join(
        f"sum({of}) OVER (PARTITION BY {keys} ORDER BY {by} RANGE UNBOUNDED PRECEDING) AS {of}_to_{by}, "
        f"sum({of}) OVER (PARTITION BY {keys}) AS {of}_of_{by}"
        for of, by in dict.fromkeys((each.of, each.by) for each in view.quantiles.values())
    )
    picked = ", ".join(
        f"min({q.by}) FILTER (WHERE {q.of} > 0 AND "
        f"{q.of}_to_{q.by} * {q.part[1]} >= {q.of}_of_{q.by} * {q.part[0]}) AS {name}"
        for name, q in view.quantiles.items()
    )
    counted = ", ".join(
        dict.fromkeys([*quantile_key(view), "start", *buckets, *(q.of for q in view.quantiles.values())])
    )
    inner = f"SELECT {counted}, {reached} FROM {relation}"
    return f"SELECT {keys}, {_bounds_sql(view)} FROM (SELECT {keys}, {picked} FROM ({inner}) GROUP BY {keys})"


def _answers(view: View, rows: list[Row]) -> dict[str, Value | None]:
    found: dict[str, Value | None] = {}
    for name, quantile in view.quantiles.items():
        at, of = view.key.index(quantile.by), column_named(view.columns, quantile.of)[0]
        pairs: dict[int, int] = {}
        for row in rows:
            bucket, count = row.key[at], row.state[of]
            pairs[bucket] = pairs.get(bucket, 0) + count  # type: ignore[index, operator, arg-type]
        picked, kind = quantile.bucket(sorted(pairs.items())), _kind(view, quantile.by)
        bounds = (None, None) if picked is None else map(kind.answer, _bucket(view, quantile.by).bounds(picked))
        found.update(zip((f"{name}_low", f"{name}_high"), bounds, strict=True))
    return found


def _bounds_sql(view: View) -> str:
    found = []
    for name, quantile in view.quantiles.items():
        bucket = _bucket(view, quantile.by)
        kind, of = _kind(view, quantile.by), bucket.unit(view.kind_of)
        for side, units in zip(("low", "high"), bucket.bounds_sql(name, of.digits), strict=True):
            unit = f" * 0.{1:0{kind.scale}d}" if kind.scale else ""
            found.append(f"(({units})::DECIMAL(38,0){unit})::{kind.sql} AS {name}_{side}")
    return ", ".join(found)


def _bucket(view: View, name: str) -> Bucket:
    found = view.derived[name]
    assert isinstance(found, Bucket)  # noqa: S101 - said by the definition
    return found


def _kind(view: View, by: str) -> Kind:
    """What a bound is: the bound above may need one digit more than any number in the bucket."""
    return decimals(38, _bucket(view, by).unit(view.kind_of).scale)
