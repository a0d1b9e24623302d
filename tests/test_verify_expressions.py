"""The evaluator of the proof, against DuckDB: the same value for every event, or a refusal; never another value."""

from decimal import Decimal
from itertools import product

import duckdb
import pytest

from slackwater.views.registry import VIEWS
from verify.definition import read_view
from verify.errors import NotProvenError
from verify.expressions import parse
from verify.oracle import Oracle
from verify.values import TEXT, TRUTH

SCALES: dict[str, int | None] = {"price": 8, "quantity": 8, "trade_id": 0, "time": 0, "side": None, "symbol": None}
EVENTS = [
    {"price": price, "quantity": quantity, "trade_id": trade_id, "time": 7 * trade_id, "side": side, "symbol": "it's"}
    for price, quantity, trade_id, side in product(
        (1, 10**8, 149_999_999, 150_000_000, 10**17), (1, 250_000_000, 350_000_000), (0, 1, 2**40), ("buy", "sell")
    )
]
KNOWN = [
    "price",
    '"price"',
    "price::DECIMAL(19,8) * quantity",
    "CAST(price AS DECIMAL(20,2))",
    "price::DECIMAL(20,0)",
    "(-price)::DECIMAL(20,1)",
    "quantity::BIGINT",
    "price + quantity - 1.5",
    "price - quantity * 2",
    "-(price - quantity)",
    "abs(price - quantity)",
    "greatest(price, quantity, 2)",
    "least(price, 1.25)",
    "coalesce(price, 0)",
    "trade_id // 7 + trade_id % 7",
    "(3 - trade_id) // 2",
    "(3 - trade_id) % 2",
    "CASE WHEN side = 'buy' THEN quantity ELSE 0 END",
    "CASE side WHEN 'buy' THEN quantity WHEN 'sell' THEN -quantity ELSE 0 END",
    "CASE WHEN price < 1 THEN 1 WHEN price BETWEEN 1 AND 1.5 THEN 2 ELSE 3 END",
    "CASE WHEN NOT (side <> 'buy') AND price >= quantity OR trade_id = 0 THEN price ELSE -price END",
    "CASE WHEN side IN ('buy', 'hold') THEN 1 ELSE 0 END",
    "CASE WHEN side NOT IN ('buy') THEN 1 ELSE 0 END",
    "CASE WHEN trade_id NOT BETWEEN 1 AND 5 THEN 1 ELSE 0 END",
    "CASE WHEN symbol = 'it''s' THEN 1 ELSE 0 END",
    "side",
    "side::VARCHAR",
    "price > quantity",
    "price <= 1.49999999 and side != 'sell'",
    "case when PRICE > 1 then 1 else 0 end".replace("PRICE", "price"),
]
REFUSED = [
    "",
    "price +",
    "price quantity",
    "(price",
    "price / quantity",
    "price ** 2",
    "sum(price)",
    "unknown",
    "round(price, 2)",
    "price::DOUBLE",
    "price::VARCHAR",
    "price // quantity",
    "side + 1",
    "side = 1",
    "CASE WHEN price THEN 1 ELSE 0 END",
    "CASE WHEN price > 1 THEN 1 END",
    "CASE WHEN price > 1 THEN 1 ELSE 'x' END",
    "price > 1 > 2",
    "price NOT",
    "length(side)",
    "price; quantity",
    "price -- more",
    "price[1]",
    "1e3",
]


@pytest.mark.parametrize("text", KNOWN)
def test_what_it_knows_has_the_value_that_duckdb_gives(text: str) -> None:
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE events (number INTEGER, price DECIMAL(18,8), quantity DECIMAL(18,8), trade_id BIGINT, "
        "time BIGINT, side VARCHAR, symbol VARCHAR)"
    )
    for number, event in enumerate(EVENTS):
        decimals = [Decimal(event[name]).scaleb(-8) for name in ("price", "quantity")]  # type: ignore[arg-type]
        rest = [event[name] for name in ("trade_id", "time", "side", "symbol")]
        con.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", [number, *decimals, *rest])
    found = parse(text, SCALES)
    for (value,), event in zip(
        con.execute(f"SELECT {text} FROM events ORDER BY number").fetchall(), EVENTS, strict=True
    ):
        ours = found.value(event)
        if found.scale not in {TEXT, TRUTH}:
            ours = Decimal(ours).scaleb(-(found.scale or 0))
        assert ours == value, event


@pytest.mark.parametrize("text", REFUSED)
def test_what_it_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(NotProvenError):
        parse(text, SCALES)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_registered_view_is_known_to_the_oracle(view: object) -> None:
    found = read_view(view)
    Oracle(found.stream, [found])
