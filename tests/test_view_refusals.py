"""What a view cannot be declared as is refused where it is declared, with a hint at what can."""

from dataclasses import replace

import pytest

from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column, Difference, Linear, Quantiles, Ratio
from slackwater.views.errors import DefinitionError
from slackwater.views.keys import Bucket
from slackwater.views.kinds import COUNT, PRICE
from slackwater.views.measures import Count, First, Last, Max, Measure, StateColumn, StatePart, Sum, TypeOf
from slackwater.views.view import View

BY_SIZE = {"key": ("venue", "symbol", "b"), "derived": {"b": Bucket("quantity")}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Bars"}, "Bars"),
        ({"name": ""}, "cannot be names"),
        ({"name": "a" * 32}, "cannot be names"),
        ({"name": "bars; DROP TABLE x"}, "cannot be names"),
        ({"name": "bars\n"}, "cannot be names"),
        ({"measures": {"1st": Count()}}, "1st"),
        ({"measures": {"end": Count()}}, "'end'. cannot be names.*words of SQL"),
        ({"answers": {"left": Column("n")}}, "'left'. cannot be names.*words of SQL"),
        ({"measures": {"start": Count()}}, "start"),
        ({"measures": {"venue": Count()}}, "venue"),
        ({"measures": {}, "answers": {}}, "has no measure"),
        ({"measures": {"n": Count(), "close_id": Count(), "close": Last("price", by="sequence")}}, "close_id"),
        ({"measures": {"n": Count(), "side": Count()}, "key": ("venue", "symbol", "side")}, "duplicate columns .*side"),
        ({"answers": {"closed": Column("n")}}, "closed"),
        ({"answers": {"symbol": Column("n")}}, "symbol"),
        ({"answers": {"side": Column("n")}, "key": ("venue", "symbol", "side")}, "side.*key columns already"),
        ({"answers": {"n": Column("m")}}, "No state column 'm'. There are n, s, p."),
        ({"answers": {"n": Ratio("m", "s")}}, "No state column 'm'"),
        ({"answers": {"n": Ratio("s", "m")}}, "No state column 'm'"),
        ({"answers": {"n": Ratio("p", "s")}}, "'p' is no sum"),
        (
            {
                "measures": {"s": Sum("quantity"), "c": Sum("price::DECIMAL(19,8) * quantity")},
                "answers": {"n": Ratio("s", "c")},
            },
            "'c' sums 16 fraction digits",
        ),
        ({"answers": {"n": Ratio("s", "p")}}, "'p' is no sum"),
        ({"answers": {"n": Difference("s", "n")}}, "Take columns of `Sum` alone, or of `Count` alone"),
        ({"answers": {"n": Difference("p", "p")}}, "Take columns of `Sum` alone"),
        ({"answers": {"n": Column("n", gap="m")}}, "the gap of n is 'm'"),
        (
            {"measures": {"side_of": Last("side", by="time")}, "answers": {"n": Column("side_of", gap="0")}},
            "the gap of n",
        ),
        ({"key": ("symbol", "venue")}, "Start with venue, symbol"),
        ({"key": ("venue",)}, "Start with venue, symbol"),
        ({"key": ("side", "venue", "symbol")}, "Start with venue, symbol"),
        ({"key": ("venue", "symbol", "colour")}, "colour"),
        ({"key": ("venue", "symbol", "side", "side")}, "duplicate columns .*side"),
        ({"key": ("venue", "symbol", "price")}, "text or integer columns of the stream: .*side"),
        ({"key": ("venue", "symbol", "b")}, "text or integer columns of the stream"),
        ({"key": ("venue", "symbol"), "derived": {"b": Bucket("price")}}, "'b'. cannot be derived"),
        ({"derived": {"price": Bucket("price")}}, "'price'. cannot be derived"),
        ({"derived": {"venue": Bucket("price")}}, "cannot be names"),
        ({"derived": {"b": Bucket("colour")}}, "colour"),
        ({"derived": {"b": Bucket("side")}}, "A bucket is of an integer or a decimal"),
        ({"measures": {"x": Sum("colour")}}, "The columns of 'trades' are venue, symbol"),
        ({"measures": {"x": Sum("price +")}}, "The columns of 'trades' are"),
        ({"measures": {"x": Sum("side")}}, "A sum is of integers and of decimals"),
        ({"measures": {"x": Sum("quantity::DOUBLE")}}, "No float is ever summed"),
        ({"measures": {"x": Sum("quantity / 2")}}, "No float is ever summed"),
        ({"measures": {"x": Sum("sqrt(quantity)::DECIMAL(18,8)")}}, "of type DOUBLE.*No float is ever summed"),
        ({"measures": {"x": Sum("(quantity * 1e0)::DECIMAL(18,8)")}}, "of type DOUBLE"),
        ({"measures": {"x": Sum("(quantity ** 2)::DECIMAL(18,8)")}}, "of type DOUBLE"),
        ({"measures": {"x": Sum("(quantity // 2)::BIGINT")}}, "of type DOUBLE"),
        ({"measures": {"x": Sum("(quantity::REAL)::BIGINT")}}, "of type FLOAT"),
        ({"measures": {"x": Sum("nullif(quantity, 0)")}}, "may be null by nullif. Give it a value there: coalesce"),
        ({"measures": {"x": Max("try_cast(symbol AS BIGINT)")}}, "may be null by TRY_CAST"),
        ({"measures": {"x": Max("try(symbol::BIGINT)")}}, "may be null by OPERATOR_TRY"),
        ({"measures": {"x": Sum("CASE WHEN side = 'buy' THEN 1 END")}}, "may be null by NULL"),
        ({"measures": {"x": Max("coalesce(nullif(sequence, 1), nullif(sequence, 2))")}}, "may be null by nullif"),
        ({"measures": {"x": Sum("1 + nullif(sequence, 1)")}}, "may be null by nullif"),
        ({"measures": {"x": Count(where="nullif(sequence, 1) > 2")}}, "may be null by nullif"),
        ({"measures": {"x": Max("sequence % 0")}}, "divides by what may be 0"),
        ({"measures": {"x": Max("sequence // time")}}, "divides by what may be 0"),
        ({"measures": {"x": Max("mod(sequence, 3 - 3)")}}, "divides by what may be 0"),
        ({"measures": {"x": Max("1e3")}}, "is of type DOUBLE"),
        ({"measures": {"x": Sum("quantity::DECIMAL(38,17)")}}, "at most 16 fraction digits"),
        ({"measures": {"x": Sum("random()")}}, "the event's columns alone"),
        ({"measures": {"x": Max("version()")}}, "the event's columns alone"),
        ({"measures": {"x": Max("symbol COLLATE nocase")}}, "the event's columns alone"),
        ({"measures": {"x": Sum("(SELECT 1)")}}, "the event's columns alone"),
        ({"measures": {"x": Sum("sum(price)")}}, "aggregate"),
        ({"measures": {"x": Sum("row_number() OVER ()")}}, "window"),
        ({"measures": {"x": Max("[price]")}}, "States are exact"),
        ({"measures": {"x": Max("price > 1")}}, "counts a condition"),
        ({"measures": {"x": Count(where="colour = 1")}}, "colour"),
        ({"measures": {"x": Count(where="side")}}, "Name a condition"),
        ({"measures": {"x": First("price", by="price")}}, "Order by an integer"),
        ({"measures": {"x": First("price", by="side")}}, "Order by an integer"),
        ({"base": "7s"}, "'7s'|7s"),
        ({"base": "1m"}, "the first of what is published"),
        ({"base": "1w", "published": ("1w",)}, "The base divides a day"),
        ({"base": "1m", "published": ("1m", "90s")}, "90s cannot be made of bars of 1m"),
        ({"published": ("1s", "1h", "1m")}, "Each once, the finest first"),
        ({"published": ("1s", "1m", "1m")}, "Each once, the finest first"),
        ({"published": ("1s", "2d")}, "2d"),
        ({"published": ()}, "it publishes"),
        ({"quantiles": {"p": Quantiles("0.5", of="n")}}, "Derive a key column by Bucket"),
        ({**BY_SIZE, "quantiles": {"p": Quantiles("0.5", of="s", by="b")}}, "which is no count"),
        ({**BY_SIZE, "quantiles": {"p": Quantiles("0", of="n", by="b")}}, "a part of all"),
        ({**BY_SIZE, "quantiles": {"p": Quantiles("50", of="n", by="b")}}, "a part of all"),
        ({**BY_SIZE, "quantiles": {"p": Quantiles("0.5", of="m", by="b")}}, "No state column 'm'"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    measures = {"n": Count(), "s": Sum("quantity"), "p": Max("price")}
    sound = {"name": "x", "stream": TRADES, "measures": measures, "answers": {}}
    View(**sound)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match=message):
        View(**{**sound, **change})  # type: ignore[arg-type]


class _Wrong(Measure):
    """A kind whose SQL gives another type than it says."""

    def __init__(self, summarise: str, merge: str) -> None:
        object.__setattr__(self, "sql", (summarise, merge))

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        summarise, merge = self.sql  # type: ignore[attr-defined]
        return StatePart((StateColumn(name, COUNT),), (summarise,), (merge,), max)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (_Wrong("sum(quantity)", "max(x)"), r"summarise of x gives DECIMAL\(38,8\), and it is BIGINT"),
        (_Wrong("count(*)", "sum(x)"), "merge of x gives HUGEINT, and it is BIGINT"),
        (_Wrong("count(*)", "max(y)"), "DuckDB refuses"),
    ],
)
def test_a_kind_of_measure_whose_sql_does_not_fit_its_state_is_refused(wrong: Measure, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        View(name="v", measures={"x": wrong}, answers={}, stream=TRADES)


@pytest.mark.parametrize("weights", [{}, {"n": 0}, {"n": 10**7}, {"n": True}])
def test_weights_are_whole(weights: dict[str, int]) -> None:
    with pytest.raises(DefinitionError, match="Weights are whole"):
        Linear(weights)


@pytest.mark.parametrize("digits", [0, 7])
def test_a_bucket_has_some_digits(digits: int) -> None:
    with pytest.raises(DefinitionError, match="1 to 6 digits"):
        Bucket("price", digits)


def test_kinds_of_one_type_are_one_kind() -> None:
    assert replace(PRICE, unsigned=True) == PRICE


@pytest.mark.parametrize(
    "expression",
    [
        "coalesce(try_cast(symbol AS BIGINT), 0)",
        "coalesce(nullif(sequence, 1), try(symbol::BIGINT), 0)",
        "CASE WHEN nullif(sequence, 1) = 2 THEN 1 ELSE 0 END",
        "time // (3600 * 1000) % 24",
        "hour(make_timestamp(time))",
        "length(upper(symbol) || 'x')",
        "CASE side WHEN 'buy' THEN quantity ELSE -quantity END",
        "(appended IS NULL)::INTEGER",
        "CASE WHEN appended IS NULL THEN 0 ELSE appended END",
        "greatest(price, quantity)::DECIMAL(19,8) * quantity",
        "(symbol LIKE 'BTC%' AND sequence BETWEEN 1 AND 9 AND side IN ('buy'))::INTEGER",
    ],
)
def test_what_has_a_value_for_every_event_is_taken(expression: str) -> None:
    View(name="v", measures={"x": Sum(expression)}, answers={}, stream=TRADES)
