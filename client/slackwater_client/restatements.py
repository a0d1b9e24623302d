"""Closed bars whose answers changed, with the answers before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from slackwater_client.bars import Bar
from slackwater_client.rows import Item, Kind, Rows


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
    before: Bar | None
    after: Bar | None


class Restatements(Rows[Restatement]):
    """Restatements, oldest first. Tables hold all but the bars before and after."""

    columns: ClassVar[Mapping[str, Kind]] = {
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

    @classmethod
    def _row(cls, item: Item) -> Restatement:
        before, after = (
            None if item[name] is None else Bar.of(item[name], item["symbol"]) for name in ("before", "after")
        )
        return Restatement(**{name: item[name] for name in cls.columns}, before=before, after=after)
