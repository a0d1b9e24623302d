"""How the venues of these tests speak: frames and REST answers as the fixtures have them, written without the parsers.

A venue's truth is a list of `Told`. Not here: sockets and faults (`venue.py`).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Told(NamedTuple):
    """A trade as it happened. `taker` is the taker's side; `void` one that is no market trade."""

    symbol: str
    number: int
    time_us: int
    price: str
    quantity: str
    taker: str
    void: bool = False


class Dialect(ABC):
    """Of one venue."""

    def __init__(self, venue: str, symbol: str, unit_us: int = 1000) -> None:
        self.venue = venue
        self.symbol = symbol
        self.unit_us = unit_us

    @abstractmethod
    def answer(self, message: str) -> str | None:
        """What is said to a message; None: nothing."""

    @abstractmethod
    def frame(self, trade: Told, snapshot: bool) -> str:
        """A trade on the socket."""

    @abstractmethod
    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        """The answer to a GET, of what is true."""


class Binance(Dialect):
    """Raw or aggregate trades of one of its markets."""

    def __init__(self, venue: str, symbol: str) -> None:
        self._socket_us = 1 if "spot" in venue else 1000  # the feed asks spot for microseconds
        super().__init__(venue, symbol, self._socket_us)
        self._aggregate = venue.endswith("_agg")
        self._stream = "aggTrade" if self._aggregate else "trade"

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        assert asked["method"] == "SUBSCRIBE"
        assert asked["params"] == [f"{self.symbol.lower()}@{self._stream}"]
        return json.dumps({"result": None, "id": asked["id"]})

    def frame(self, trade: Told, snapshot: bool) -> str:
        event: dict[str, Any] = {"e": self._stream, "E": trade.time_us // 1000, "s": trade.symbol}
        event["a" if self._aggregate else "t"] = trade.number
        event |= {
            "p": trade.price,
            "q": trade.quantity,
            "T": trade.time_us // self._socket_us,
            "m": trade.taker == "sell",
        }
        if not self._aggregate and "spot" not in self.venue:
            event["X"] = "NA" if trade.void else "MARKET"
        return json.dumps({"stream": f"{trade.symbol.lower()}@{self._stream}", "data": event})

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        limit = int(asked["limit"])
        shown = [trade for trade in truth if not trade.void]
        if "fromId" in asked:
            shown = [trade for trade in shown if trade.number >= int(asked["fromId"])][:limit]
        else:
            shown = shown[-limit:]
        return json.dumps([self._rest(trade) for trade in shown]).encode()

    def _rest(self, trade: Told) -> dict[str, Any]:
        maker, time = trade.taker == "sell", trade.time_us // 1000
        if self._aggregate:
            return {"a": trade.number, "p": trade.price, "q": trade.quantity, "T": time, "m": maker}
        names = ("id", "price", "qty", "time", "isBuyerMaker")
        return dict(zip(names, (trade.number, trade.price, trade.quantity, time, maker), strict=True))


class Coinbase(Dialect):
    """Sides are the maker's; times have microseconds."""

    def __init__(self, venue: str, symbol: str) -> None:
        super().__init__(venue, symbol, 1)

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        assert asked == {
            "type": "subscribe",
            "product_ids": [self.symbol],
            "channels": ["matches", "heartbeat"],
        }
        return json.dumps({"type": "subscriptions", "channels": [{"name": "matches", "product_ids": [self.symbol]}]})

    def frame(self, trade: Told, snapshot: bool) -> str:
        facts = {"type": "last_match" if snapshot else "match", "product_id": trade.symbol, **self._facts(trade)}
        return json.dumps(facts)

    def heartbeat(self, number: int) -> str:
        """What names the newest id."""
        return json.dumps({"type": "heartbeat", "last_trade_id": number, "product_id": self.symbol})

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        below = int(asked.get("after", 2**62))
        shown = [trade for trade in reversed(truth) if trade.number < below][: int(asked["limit"])]
        return json.dumps([self._facts(trade) for trade in shown]).encode()

    def _facts(self, trade: Told) -> dict[str, Any]:
        return {
            "trade_id": trade.number,
            "side": "buy" if trade.taker == "sell" else "sell",
            "size": trade.quantity,
            "price": trade.price,
            "time": _iso(trade.time_us),
        }


class Kraken(Dialect):
    """Numbers are JSON numbers; REST is asked by time."""

    def __init__(self, venue: str, symbol: str) -> None:
        super().__init__(venue, symbol, 1)

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        assert asked["params"] == {"channel": "trade", "symbol": [self.symbol], "snapshot": True}
        result = {"channel": "trade", "snapshot": True, "symbol": self.symbol}
        return json.dumps({"method": "subscribe", "result": result, "success": True})

    def frame(self, trade: Told, snapshot: bool) -> str:
        return (
            f'{{"channel":"trade","type":"{"snapshot" if snapshot else "update"}","data":[{{"symbol":"{trade.symbol}",'
            f'"side":"{trade.taker}","price":{trade.price},"qty":{trade.quantity},"ord_type":"market",'
            f'"trade_id":{trade.number},"timestamp":"{_iso(trade.time_us)}"}}]}}'
        )

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert path == "/0/public/Trades"
        limit = int(asked["count"])
        if "since" in asked:
            shown = [trade for trade in truth if trade.time_us * 1000 > int(asked["since"])][:limit]
        else:
            shown = list(truth)[-limit:]
        rows = ",".join(
            f'["{trade.price}","{trade.quantity}",{trade.time_us // 10**6}.{trade.time_us % 10**6:06d},'
            f'"{trade.taker[0]}","m","",{trade.number}]'
            for trade in shown
        )
        last = shown[-1].time_us * 1000 if shown else 0
        return f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"{last}"}}}}'.encode()


def _iso(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%dT%H:%M:%S}.{time_us % 10**6:06d}Z"


DIALECTS: Mapping[str, type[Dialect]] = {
    **dict.fromkeys([f"binance_{kind}{agg}" for kind in ("spot", "usdm", "coinm") for agg in ("", "_agg")], Binance),
    "coinbase": Coinbase,
    "kraken": Kraken,
}
