"""Every registered view keeps the laws, so does a toy view with every kind of measure and answer, and broken copies
break them. Kinds of measure and of answer from outside the package are one class each, and keep them, too."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, settings

from slackwater.streams.stream import Choice, Decimal, Identity, Integer, Sequence, Stream, Text, Time
from slackwater.streams.trades import TRADES
from slackwater.views import sql
from slackwater.views.answers import Answer, Column, Columns, Difference, Finish1, Linear, Quantiles, Ratio
from slackwater.views.bars import BARS
from slackwater.views.errors import DefinitionError
from slackwater.views.interval import Interval
from slackwater.views.keys import Bucket
from slackwater.views.kinds import INTEGER, TEXT, Kind, Value
from slackwater.views.measures import Count, First, Last, Max, Measure, Min, StateColumn, StatePart, Sum, TypeOf
from slackwater.views.registry import VIEWS
from slackwater.views.view import View
from tests.draws import INTERVALS
from tests.laws import Law, laws
from tests.profiles import PROFILE

# Each kind at least once, key columns more, sums below zero, an order by time, texts, and expressions of its own.
TOY = View(
    name="toy",
    key=("venue", "symbol", "side", "bucket"),
    derived={"bucket": Bucket("CASE WHEN side = 'buy' THEN price ELSE -price END", digits=2)},
    base="5s",
    published=("5s", "1m", "1d", "1w", "1M", "total"),
    measures={
        "earliest": First("price", by="time"),
        "least": Min("quantity"),
        "most": Max("quantity"),
        "latest": Last("quantity", by="sequence"),
        "taker": Last("side", by="time"),
        "owing": First("-price", by="-time"),
        "lowest": Min("symbol"),
        "turnover": Sum("price::DECIMAL(19,8) * quantity"),
        "flow": Sum("CASE WHEN sequence % 2 = 0 THEN quantity ELSE -quantity END"),
        "size": Sum("quantity"),
        "events": Count(),
        "large": Count(where="quantity > 1"),
    },
    answers={
        "events": Column("events"),
        "earliest": Column("earliest"),
        "earliest_at": Column("earliest_id"),
        "least": Column("least"),
        "taker": Column("taker", gap="taker"),
        "flow": Column("flow", gap="0"),
        "net": Difference("size", "flow"),
        "small": Linear({"events": 2, "large": -2}),
        "imbalance": Ratio("flow", "size"),
        "mean_price": Ratio("turnover", "size"),
        "part": Ratio("large", "events"),
        "mean_size": Ratio("turnover", "events"),
    },
    stream=TRADES,
)


# ---------------------------------------------------------------------------- kinds from outside the package: one class


@dataclass(frozen=True)
class BitOr(Measure):
    """All bits that any event has."""

    expr: str

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        sql = (f"bit_or(({of})::BIGINT)::BIGINT" for of in (self.expr, name))
        summarise, merge = sql
        return StatePart((StateColumn(name, INTEGER),), (summarise,), (merge,), lambda a, b: (a[0] | b[0],))  # type: ignore[operator]


@dataclass(frozen=True)
class LongestText(Measure):
    """The longest text, of those the last in order: a state of two columns, one of them text."""

    expr: str

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        columns = (StateColumn(f"{name}_length", INTEGER), StateColumn(name, TEXT))
        pair = "max({{'n': {n}, 't': {t}}})"
        events = pair.format(n=f"length({self.expr})::BIGINT", t=self.expr)
        states = pair.format(n=f"{name}_length", t=name)
        return StatePart(columns, (f"{events}.n", f"{events}.t"), (f"{states}.n", f"{states}.t"), max)


@dataclass(frozen=True)
class Parity(Answer):
    """Whether a column is odd."""

    column: str

    def kind(self, columns: Columns) -> Kind:
        return TEXT

    def value(self, columns: Columns) -> Finish1:
        at = [column.name for column in columns].index(self.column)
        return lambda state: "odd" if state[at] % 2 else "even"  # type: ignore[operator]

    def value_sql(self, columns: Columns) -> str:
        return f"CASE WHEN {self.column} % 2 = 0 THEN 'even' ELSE 'odd' END"


QUOTES = Stream(
    name="quotes",
    columns=(
        Text("desk", "[a-z]+"),
        Identity("quote"),
        Sequence("place"),
        Time("seen"),
        Decimal("bid"),
        Decimal("ask"),
        Decimal("skew", signed=True),
        Integer("level", low=-3, high=9),
        Choice("state", ("firm", "soft", "gone")),
    ),
    entity=("desk",),
    identity="quote",
    time="seen",
    order="place",
)
SPREADS = View(
    name="quantile_rows",
    stream=QUOTES,
    key=("desk", "state", "level", "width"),
    derived={"width": Bucket("ask::DECIMAL(19,8) - bid", digits=1)},
    published=("1s", "1d", "1M"),
    measures={
        "quotes": Count(),
        "firm": Count(where="state = 'firm'"),
        "worst": Min("bid - ask"),
        "last": Last("skew", "place"),
    },
    answers={"quotes": Column("quotes"), "soft": Difference("quotes", "firm"), "worst": Column("worst")},
    quantiles={"middle": Quantiles("0.5", of="quotes", by="width")},
)

OUTSIDE = View(
    name="outside",
    key=("venue", "symbol", "sequence"),
    measures={"bits": BitOr("sequence"), "name": LongestText("symbol || side"), "trades": Count()},
    answers={"bits": Column("bits"), "name": Column("name"), "parity": Parity("trades")},
    stream=TRADES,
)


def _of_the_guide() -> View:
    """The view that docs/guides.md declares."""
    text = (Path(__file__).parents[1] / "docs" / "guides.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)
    view = names["DESK"]
    assert isinstance(view, View)
    return view


NAMES = tuple(laws(BARS))


@cache
def laws_of(view: View) -> dict[str, Law]:
    return dict(laws(view))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("view", [*VIEWS, TOY, OUTSIDE, SPREADS, _of_the_guide()], ids=lambda view: view.name)
def test_the_view_keeps_the_law(view: View, name: str) -> None:
    laws_of(view)[name]()


# ------------------------------------------------------------------------------------ broken on purpose: each must fail


@dataclass(frozen=True)
class _Broken(Measure):
    """A measure with some of its parts replaced; the others are those of `sound`."""

    sound: Measure
    summarise: Callable[[str], tuple[str, ...]] | None = None
    merge_in_sql: Callable[[str], tuple[str, ...]] | None = None
    merge_in_python: Callable[[tuple[Value, ...], tuple[Value, ...]], tuple[Value, ...]] | None = None

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        part = self.sound.part(name, type_of)
        return replace(
            part,
            summarise=self.summarise(name) if self.summarise else part.summarise,
            merge=self.merge_in_sql(name) if self.merge_in_sql else part.merge,
            add=self.merge_in_python or part.add,
        )


@dataclass(frozen=True)
class _HalfUp(Ratio):
    """A ratio whose ties go up in Python."""

    def value(self, columns: Columns) -> Finish1:
        names = [column.name for column in columns]
        over, under = names.index(self.over), names.index(self.under)
        return lambda state: (
            (2 * state[over] * 10**8 + state[under]) // (2 * state[under])  # type: ignore[operator]
            if state[under]
            else None
        )


@dataclass(frozen=True)
class _FloatRatio(Ratio):
    """A ratio that DuckDB divides as DOUBLE."""

    def value_sql(self, columns: Columns) -> str:
        return f"({self.over} / {self.under})::DECIMAL(38,8)"


_SMALLER = "({n}_id::HUGEINT * 10000000000)::DECIMAL(38,8) - {n}"
_ADDED = "merge_in_sql_is_merge_in_python"
_WHOLE = "segments_merge_to_the_whole_however_events_are_dealt"
_ORACLE = "summarise_is_what_the_oracle_says"
_FINISH = "finish_in_sql_and_of_a_table_is_finish_in_python"


def _measure(name: str, measure: Measure) -> View:
    return replace(BARS, measures={**BARS.measures, name: measure})


def _part(name: str, **parts: object) -> View:
    return _measure(name, _Broken(BARS.measures[name], **parts))  # type: ignore[arg-type]


def _answer(answer: Ratio) -> View:
    return replace(BARS, answers={**BARS.answers, "vwap": answer})


# what is broken -> (the broken view, laws that each must fail)
MUTANTS: dict[str, tuple[View, tuple[str, ...]]] = {
    "close ordered by time": (_measure("close", Last("price", by="time")), (_ORACLE, _WHOLE)),
    "open ordered by time": (_measure("open", First("price", by="time")), (_ORACLE, _WHOLE)),
    "close picked by time, its id kept": (
        _part("close", summarise=lambda n: ("max(sequence)", "arg_max(price, (time, price))")),
        (_ORACLE, _WHOLE),
    ),
    "close ordered by price": (
        _part("close", merge_in_python=lambda a, b: max(a, b, key=lambda pair: pair[::-1])),
        (_ADDED, _WHOLE),
    ),
    "close by arrival in Python": (_part("close", merge_in_python=lambda _, b: b), ("commutativity", _ADDED, _WHOLE)),
    "close by id alone in Python": (
        _part("close", merge_in_python=lambda a, b: b if b[0] > a[0] else a),
        ("commutativity", _ADDED),
    ),
    "close by id, then the smaller, in SQL": (  # by id alone, DuckDB would be right now and then
        _part("close", merge_in_sql=lambda n: (f"max({n}_id)", f"arg_max({n}, {_SMALLER.format(n=n)})")),
        (_ADDED,),
    ),
    "open by id alone in the summary": (
        _part("open", summarise=lambda n: ("min(sequence)", "arg_min(price, sequence)")),
        (_ORACLE,),
    ),
    "open as a float pair": (
        _part("open", summarise=lambda n: ("min(sequence)", "min(price::DOUBLE)::DECIMAL(18,8)")),
        (_ORACLE,),
    ),
    "min instead of max in Python": (_part("high", merge_in_python=min), (_ADDED, _WHOLE)),
    "min instead of max in SQL": (_part("high", merge_in_sql=lambda n: (f"min({n})",)), (_ADDED, _WHOLE)),
    "min instead of max in the summary": (_part("high", summarise=lambda n: ("min(price)",)), (_ORACLE, _WHOLE)),
    "min instead of max everywhere": (_measure("high", Min("price")), (_ORACLE, _WHOLE)),
    "a state dropped in Python": (_part("volume", merge_in_python=lambda a, _: a), ("commutativity", _ADDED, _WHOLE)),
    "a state dropped in SQL": (_part("volume", merge_in_sql=lambda n: (f"max({n})",)), (_ADDED, _WHOLE)),
    "equal states dropped in SQL": (
        _part("trades", merge_in_sql=lambda n: (f"sum(DISTINCT {n})::BIGINT",)),
        (_ADDED, _WHOLE),
    ),
    "equal events dropped": (
        _part("volume", summarise=lambda n: ("sum(DISTINCT quantity)::DECIMAL(38,16)",)),
        (_ORACLE, _WHOLE),
    ),
    "float sum in the summary": (
        _part("notional", summarise=lambda n: ("sum((price * quantity::DOUBLE))::DECIMAL(38,16)",)),
        (_ORACLE, _WHOLE),
    ),
    "float sum in SQL": (
        _part("notional", merge_in_sql=lambda n: (f"sum({n}::DOUBLE)::DECIMAL(38,16)",)),
        (_ADDED, "codec_through_parquet_that_duckdb_writes", "merging_bars_that_stand_alone_changes_nothing"),
    ),
    "float sum in Python": (
        _part("notional", merge_in_python=lambda a, b: (int(float(a[0]) + float(b[0])),)),
        (_ADDED,),
    ),
    "product that raises at 100": (_measure("notional", Sum("price * quantity")), (_ORACLE, _WHOLE)),
    "product rounded to 8 digits": (
        _part(
            "notional", summarise=lambda n: ("sum((price::DECIMAL(19,8) * quantity)::DECIMAL(38,8))::DECIMAL(38,16)",)
        ),
        (_ORACLE,),
    ),
    "count of states instead of events": (
        _part("trades", merge_in_sql=lambda n: (f"count({n})::BIGINT",)),
        (_ADDED, _WHOLE),
    ),
    "mean instead of sum": (
        _part("volume", merge_in_python=lambda a, b: ((a[0] + b[0]) // 2,)),
        ("associativity", _ADDED, _WHOLE),
    ),
    "vwap half-up": (_answer(_HalfUp("notional", "volume")), (_FINISH,)),
    "vwap as DOUBLE": (_answer(_FloatRatio("notional", "volume")), (_FINISH,)),
    "vwap by the trade": (_answer(Ratio("notional", "trades")), (_FINISH,)),
}

# Find, do not shrink: the example is of no interest here.
_QUICK = settings(settings.get_profile(PROFILE), max_examples=150, phases=[Phase.generate], report_multiple_bugs=False)


@pytest.mark.parametrize("what", MUTANTS)
def test_the_laws_fail(what: str) -> None:
    mutant, broken = MUTANTS[what]
    found = laws(mutant, meaning=BARS, quick=_QUICK)
    for name in broken:
        with pytest.raises((AssertionError, duckdb.Error, DefinitionError)):
            found[name]()


@pytest.mark.parametrize("name", NAMES)
def test_the_laws_do_not_fail_for_a_copy_with_nothing_broken(name: str) -> None:
    measures = {name: _Broken(measure) for name, measure in BARS.measures.items()}
    laws(replace(BARS, measures=measures), meaning=BARS, quick=settings(_QUICK, max_examples=10))[name]()


@pytest.mark.parametrize("origin_us", [0, 3 * 86_400_000_000], ids=["Thursday", "Sunday"])
def test_the_laws_fail_for_a_week_that_starts_on(origin_us: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def floor(time: str, interval: Interval) -> str:
        return f"{time} - ({time} - {origin_us}) % {interval.us}"

    monkeypatch.setattr(sql, "floor_sql", floor)
    for name in (_ADDED, _WHOLE):
        with pytest.raises(AssertionError):
            laws(BARS, quick=_QUICK)[name]()


def test_the_laws_fail_for_a_bar_that_includes_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def floor(time: str, interval: Interval) -> str:
        return f"{time} - 1 - ({time} - 1 - {interval.origin_us}) % {interval.us}"

    monkeypatch.setattr(sql, "floor_sql", floor)
    with pytest.raises(AssertionError):
        laws(BARS, quick=_QUICK)[_ADDED]()


def test_the_intervals_under_test_are_every_divisor_of_a_day_and_those_of_the_calendar() -> None:
    assert len(INTERVALS) == 100
    assert [interval.text for interval in INTERVALS[-4:]] == ["1w", "1M", "1y", "total"]
