"""Every registered view keeps the laws, so does a toy view with every kind of measure, and broken copies break them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import duckdb
import pytest
from hypothesis import Phase, settings

from slackwater.core.decimals import decimal_text
from slackwater.views import sql
from slackwater.views.answers import Column, Finish1, Ratio
from slackwater.views.bars import BARS
from slackwater.views.interval import Interval
from slackwater.views.measures import Count, First, Last, Max, Measure, Merge2, Min, StateColumn, Sum
from slackwater.views.registry import VIEWS
from slackwater.views.view import View
from tests.draws import INTERVALS
from tests.laws import Law, laws
from tests.profiles import PROFILE

# Each kind at least once, a key column more, sums below zero, an order by time, and an expression of its own.
TOY = View(
    name="toy",
    key=("venue", "symbol", "side"),
    measures={
        "earliest": First("price", by="time"),
        "least": Min("quantity"),
        "most": Max("quantity"),
        "latest": Last("quantity", by="trade_id"),
        "turnover": Sum("price::DECIMAL(19,8) * quantity"),
        "flow": Sum("CASE WHEN trade_id % 2 = 0 THEN quantity ELSE -quantity END"),
        "size": Sum("quantity"),
        "events": Count(),
    },
    answers={
        "events": Column("events"),
        "earliest": Column("earliest"),
        "earliest_at": Column("earliest_id"),
        "least": Column("least"),
        "flow": Column("flow", gap="0"),
        "imbalance": Ratio("flow", "size"),
        "mean_price": Ratio("turnover", "size"),
    },
)

NAMES = tuple(laws(BARS))


@cache
def laws_of(view: View) -> dict[str, Law]:
    return dict(laws(view))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("view", [*VIEWS, TOY], ids=lambda view: view.name)
def test_the_view_keeps_the_law(view: View, name: str) -> None:
    laws_of(view)[name]()


def test_the_toy_view_has_every_kind_of_measure() -> None:
    assert {type(measure) for measure in TOY.measures.values()} == set(Measure.__subclasses__()) - BROKEN


# ------------------------------------------------------------------------------------ broken on purpose: each must fail


@dataclass(frozen=True)
class _Broken(Measure):
    """A measure with some of its parts replaced; the others are those of `sound`."""

    sound: Measure
    summarise: Callable[[str], str] | None = None
    merge_in_sql: Callable[[str], str] | None = None
    merge_in_python: Merge2 | None = None

    def columns(self, name: str) -> tuple[StateColumn, ...]:
        return self.sound.columns(name)

    def summarise_sql(self, name: str) -> str:
        return (self.summarise or self.sound.summarise_sql)(name)

    def merge_sql(self, name: str) -> str:
        return (self.merge_in_sql or self.sound.merge_sql)(name)

    def merge(self) -> Merge2:
        return self.merge_in_python or self.sound.merge()


@dataclass(frozen=True)
class _HalfUp(Ratio):
    """A ratio whose ties go up in Python."""

    def finish(self, columns: tuple[StateColumn, ...]) -> Finish1:
        names = [column.name for column in columns]
        over, under = names.index(self.over), names.index(self.under)
        return lambda state: decimal_text((2 * state[over] * 10**8 + state[under]) // (2 * state[under]), 8)


@dataclass(frozen=True)
class _FloatRatio(Ratio):
    """A ratio that DuckDB divides as DOUBLE."""

    def finish_sql(self, columns: tuple[StateColumn, ...]) -> str:
        return f"rtrim(rtrim(({self.over} / {self.under})::DECIMAL(38,8)::VARCHAR, '0'), '.')"


BROKEN: set[type[Measure]] = {_Broken}

_SMALLER = "({n}_id::HUGEINT * 10000000000)::DECIMAL(38,8) - {n}"
_ADDED = "merge_in_sql_is_merge_in_python"
_WHOLE = "segments_merge_to_the_whole_however_events_are_dealt"
_ORACLE = "summarise_is_what_the_oracle_says"
_FINISH = "finish_in_sql_is_finish_in_python"


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
        _part("close", summarise=lambda n: f"max(trade_id) AS {n}_id, arg_max(price, (time, price)) AS {n}"),
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
        _part("close", merge_in_sql=lambda n: f"max({n}_id) AS {n}_id, arg_max({n}, {_SMALLER.format(n=n)}) AS {n}"),
        (_ADDED,),
    ),
    "open by id alone in the summary": (
        _part("open", summarise=lambda n: f"min(trade_id) AS {n}_id, arg_min(price, trade_id) AS {n}"),
        (_ORACLE,),
    ),
    "open as a float pair": (
        _part("open", summarise=lambda n: f"min(trade_id) AS {n}_id, min(price::DOUBLE)::DECIMAL(18,8) AS {n}"),
        (_ORACLE,),
    ),
    "min instead of max in Python": (_part("high", merge_in_python=min), (_ADDED, _WHOLE)),
    "min instead of max in SQL": (_part("high", merge_in_sql=lambda n: f"min({n}) AS {n}"), (_ADDED, _WHOLE)),
    "min instead of max in the summary": (_part("high", summarise=lambda n: f"min(price) AS {n}"), (_ORACLE, _WHOLE)),
    "min instead of max everywhere": (_measure("high", Min("price")), (_ORACLE, _WHOLE)),
    "a state dropped in Python": (_part("volume", merge_in_python=lambda a, _: a), ("commutativity", _ADDED, _WHOLE)),
    "a state dropped in SQL": (_part("volume", merge_in_sql=lambda n: f"max({n}) AS {n}"), (_ADDED, _WHOLE)),
    "equal states dropped in SQL": (
        _part("trades", merge_in_sql=lambda n: f"sum(DISTINCT {n})::BIGINT AS {n}"),
        (_ADDED, _WHOLE),
    ),
    "equal events dropped": (
        _part("volume", summarise=lambda n: f"sum(DISTINCT quantity)::DECIMAL(38,16) AS {n}"),
        (_ORACLE, _WHOLE),
    ),
    "float sum in the summary": (
        _part("notional", summarise=lambda n: f"sum((price * quantity::DOUBLE))::DECIMAL(38,16) AS {n}"),
        (_ORACLE, _WHOLE),
    ),
    "float sum in SQL": (
        _part("notional", merge_in_sql=lambda n: f"sum({n}::DOUBLE)::DECIMAL(38,16) AS {n}"),
        (_ADDED, "codec_through_parquet_that_duckdb_writes", "merging_bars_that_stand_alone_changes_nothing"),
    ),
    "float sum in Python": (
        _part("notional", merge_in_python=lambda a, b: (int(float(a[0]) + float(b[0])),)),
        (_ADDED,),
    ),
    "float operand": (_measure("volume", Sum("quantity::DOUBLE")), ("operands_are_exact",)),
    "operand with more digits than its state": (
        _measure("volume", Sum("quantity::DECIMAL(38,17)")),
        ("operands_are_exact",),
    ),
    "product that raises at 100": (_measure("notional", Sum("price * quantity")), (_ORACLE, _WHOLE)),
    "product rounded to 8 digits": (
        _part("notional", summarise=lambda n: f"sum((price::DECIMAL(19,8) * quantity)::DECIMAL(38,8)) AS {n}"),
        (_ORACLE,),
    ),
    "sum of counts as HUGEINT": (
        _part("trades", merge_in_sql=lambda n: f"sum({n}) AS {n}"),
        (_ADDED, "codec_through_parquet_that_duckdb_writes"),
    ),
    "count of states instead of events": (
        _part("trades", merge_in_sql=lambda n: f"count({n})::BIGINT AS {n}"),
        (_ADDED, _WHOLE),
    ),
    "mean instead of sum": (
        _part("volume", merge_in_python=lambda a, b: ((a[0] + b[0]) // 2,)),
        ("associativity", _ADDED, _WHOLE),
    ),
    "vwap half-up": (_answer(_HalfUp("notional", "volume")), (_FINISH,)),
    "vwap as DOUBLE": (_answer(_FloatRatio("notional", "volume")), (_FINISH,)),
    "vwap upside down": (_answer(Ratio("volume", "notional")), (_FINISH,)),
}

# Find, do not shrink: the example is of no interest here.
_QUICK = settings(settings.get_profile(PROFILE), max_examples=150, phases=[Phase.generate], report_multiple_bugs=False)


@pytest.mark.parametrize("what", MUTANTS)
def test_the_laws_fail(what: str) -> None:
    mutant, broken = MUTANTS[what]
    found = laws(mutant, meaning=BARS, quick=_QUICK)
    for name in broken:
        with pytest.raises((AssertionError, duckdb.Error)):
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


def test_the_intervals_under_test_are_every_divisor_of_a_day_and_a_week() -> None:
    assert len(INTERVALS) == 97
    assert INTERVALS[-1].text == "1w"
