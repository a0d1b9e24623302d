"""Closed bars whose answers changed, with the answers before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slackwater_client.bars import Bar
from slackwater_client.rows import Kinds, Row, row_of


@dataclass(frozen=True, slots=True)
class Restatement:
    """One closed bar that changed. Times in microseconds since the epoch, UTC.

    `cause` is `late_trade`, `new_definition` or `repair`; `partition` and `offset` are the place of the first late
    trade, `trades` their number. `before` is None where there was no bar, `after` where there is none any more.
    """

    version: int
    view: str
    venue: str
    symbol: str
    interval: str
    created: int
    start: int
    cause: str
    partition: int | None
    offset: int | None
    trades: int | None
    before: Bar | Row | None
    after: Bar | Row | None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Restatement":
        """From an item of a document."""
        made: Any = Bar.of if item["view"] == "bars" else row_of
        place = {"symbol": item["symbol"], "start": item["start"]}
        sides = {side: item[side] and made({**place, **item[side]}) for side in ("before", "after")}
        return cls(**{name: item[name] for name in RESTATEMENT}, **sides)


RESTATEMENT: Kinds = {
    "version": "integer",
    "view": "text",
    "venue": "text",
    "symbol": "text",
    "interval": "text",
    "created": "time",
    "start": "time",
    "cause": "text",
    "partition": "integer",
    "offset": "integer",
    "trades": "integer",
}
"""The columns of a table of restatements: all but the rows before and after."""
