"""How the venues of these tests speak: frames and REST answers as the fixtures have them, written without the parsers.

A venue's truth is a list of `Told`. Not here: sockets and faults (`venue.py`).
"""

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Told(NamedTuple):
    """A trade as it happened. `number` counts the trades of a symbol, `Dialect.identity` is what the venue calls it;
    `taker` is the taker's side; `void` one that is no market trade.
    """

    symbol: str
    number: int
    time_us: int
    price: str
    quantity: str
    taker: str
    void: bool = False


class Dialect(ABC):
    """Of one venue. `page` is how many trades an answer of REST holds at most."""

    page = 1_000

    def __init__(self, venue: str, symbol: str, unit_us: int = 1000) -> None:
        self.venue = venue
        self.symbol = symbol
        self.unit_us = unit_us

    def identity(self, number: int) -> str:
        """The id of a trade."""
        return str(number)

    def sequence(self, number: int) -> int | None:
        """The order of a trade, where the venue has one besides its ids."""
        del number
        return None

    def shows(self, truth: Sequence[Told]) -> Sequence[Told]:
        """What the REST interface can still show, by however many requests."""
        return truth

    def replay(self, trades: Sequence[Told]) -> Sequence[str]:
        """The frames that begin with the newest trades, after a subscription."""
        return [self.frame(trade, True) for trade in trades]

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


class Okx(Dialect):
    """All values are text. Pages of REST go down from an id."""

    page = 100

    def answer(self, message: str) -> str | None:
        if message == "ping":
            return "pong"
        asked = json.loads(message)
        assert asked == {"op": "subscribe", "args": [{"channel": "trades-all", "instId": self.symbol}]}
        return json.dumps({"event": "subscribe", "arg": asked["args"][0], "connId": "a4d3ae55"})

    def frame(self, trade: Told, snapshot: bool) -> str:
        arg = {"channel": "trades-all", "instId": trade.symbol}
        return json.dumps({"arg": arg, "data": [self._facts(trade)]})

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert (path, asked["type"], asked["instId"]) == ("/api/v5/market/history-trades", "1", self.symbol)
        assert int(asked["limit"]) <= 100
        below = int(asked.get("after", 2**62))
        shown = [trade for trade in reversed(truth) if trade.number < below][: self.page]
        return json.dumps({"code": "0", "msg": "", "data": [self._facts(trade) for trade in shown]}).encode()

    def _facts(self, trade: Told) -> dict[str, Any]:
        return {
            "instId": trade.symbol,
            "side": trade.taker,
            "sz": trade.quantity,
            "source": "0",
            "px": trade.price,
            "tradeId": self.identity(trade.number),
            "ts": str(trade.time_us // 1000),
        }


class Bybit(Dialect):
    """The newest trades by REST, and nothing older. Ids of contracts are UUIDs, those of spot numbers with holes."""

    def __init__(self, venue: str, symbol: str) -> None:
        super().__init__(venue, symbol)
        self._category = venue.removeprefix("bybit_")
        self.page = 60 if self._category == "spot" else 1_000

    def identity(self, number: int) -> str:
        if self._category == "spot":
            return str(2_290_000_000_000_000_000 + number * 3)
        return str(uuid.UUID(int=number * _ODD % 2**128))

    def shows(self, truth: Sequence[Told]) -> Sequence[Told]:
        return truth[-self.page :]

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        if asked["op"] == "ping":
            return json.dumps({"success": True, "ret_msg": "pong", "conn_id": "d9avs2b4", "op": "ping"})
        assert asked == {"op": "subscribe", "args": [f"publicTrade.{self.symbol}"]}
        return json.dumps({"success": True, "ret_msg": "subscribe", "conn_id": "d9avs2b4", "op": "subscribe"})

    def frame(self, trade: Told, snapshot: bool) -> str:
        facts = {
            "i": self.identity(trade.number),
            "T": trade.time_us // 1000,
            "p": trade.price,
            "v": trade.quantity,
            "S": trade.taker.capitalize(),
            "seq": 115115351336,
            "s": trade.symbol,
            "BT": False,
            "RPI": False,
        }
        topic = f"publicTrade.{trade.symbol}"
        return json.dumps({"topic": topic, "ts": trade.time_us // 1000 + 1, "type": "snapshot", "data": [facts]})

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert (path, asked["category"], asked["symbol"]) == ("/v5/market/recent-trade", self._category, self.symbol)
        shown = [
            {
                "execId": self.identity(trade.number),
                "symbol": trade.symbol,
                "price": trade.price,
                "size": trade.quantity,
                "side": trade.taker.capitalize(),
                "time": str(trade.time_us // 1000),
                "isBlockTrade": False,
            }
            for trade in reversed(self.shows(truth))
        ]
        result = {"category": self._category, "list": shown}
        return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}).encode()


class Bitstamp(Dialect):
    """REST shows windows of time, in whole seconds; `hour_us` and `day_us` can be made shorter."""

    hour_us, day_us = 3_600_000_000, 86_400_000_000

    def __init__(self, venue: str, symbol: str) -> None:
        super().__init__(venue, symbol, 1)

    def identity(self, number: int) -> str:
        return str(number * 2)

    def shows(self, truth: Sequence[Told]) -> Sequence[Told]:
        return self._within(truth, self.day_us)

    def answer(self, message: str) -> str | None:
        channel = f"live_trades_{self.symbol}"
        assert json.loads(message) == {"event": "bts:subscribe", "data": {"channel": channel}}
        return json.dumps({"event": "bts:subscription_succeeded", "channel": channel, "data": {}})

    def frame(self, trade: Told, snapshot: bool) -> str:
        side = int(trade.taker == "sell")
        text = (
            f'{{"id":{self.identity(trade.number)},"timestamp":"{trade.time_us // 10**6}","amount":{trade.quantity},'
            f'"amount_str":"{trade.quantity}","price":{trade.price},"price_str":"{trade.price}",'
            f'"type":{side},"microtimestamp":"{trade.time_us}","buy_order_id":1,"sell_order_id":2}}'
        )
        return f'{{"data":{text},"channel":"live_trades_{trade.symbol}","event":"trade"}}'

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert path == f"/api/v2/transactions/{self.symbol}/"
        shown = self._within(truth, {"hour": self.hour_us, "day": self.day_us}[asked["time"]])
        rows = [
            {
                "amount": trade.quantity,
                "date": str(trade.time_us // 10**6),
                "price": trade.price,
                "tid": self.identity(trade.number),
                "type": str(int(trade.taker == "sell")),
            }
            for trade in reversed(shown)
        ]
        return json.dumps(rows).encode()

    @staticmethod
    def _within(truth: Sequence[Told], span_us: int) -> Sequence[Told]:
        return [trade for trade in truth if trade.time_us > truth[-1].time_us - span_us]


class Hyperliquid(Dialect):
    """Ids without order; REST is asked by POST and shows ten; what comes first is history, in one frame."""

    page = 10

    def identity(self, number: int) -> str:
        return str(number * _ODD % 2**50)

    def shows(self, truth: Sequence[Told]) -> Sequence[Told]:
        return truth[-self.page :]

    def replay(self, trades: Sequence[Told]) -> Sequence[str]:
        return [json.dumps({"channel": "trades", "data": [self._facts(trade) for trade in trades]})] if trades else []

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        if asked == {"method": "ping"}:
            return '{"channel":"pong"}'
        assert asked == {"method": "subscribe", "subscription": {"type": "trades", "coin": self.symbol}}
        return json.dumps({"channel": "subscriptionResponse", "data": asked})

    def frame(self, trade: Told, snapshot: bool) -> str:
        return json.dumps({"channel": "trades", "data": [self._facts(trade)]})

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert (path, asked) == ("/info", {"type": "recentTrades", "coin": self.symbol})
        return json.dumps([self._facts(trade) for trade in reversed(self.shows(truth))]).encode()

    def _facts(self, trade: Told) -> dict[str, Any]:
        return {
            "coin": trade.symbol,
            "side": "B" if trade.taker == "buy" else "A",
            "px": trade.price,
            "sz": trade.quantity,
            "time": trade.time_us // 1000,
            "hash": "0x" + "0" * 64,
            "tid": int(self.identity(trade.number)),
            "users": ["0x4e60", "0xd30a"],
        }


class Deribit(Dialect):
    """The sequence counts, ids are text. JSON numbers; REST forgets all but the newest, and an older host has them."""

    def identity(self, number: int) -> str:
        return f"ETH-{number * 2}"

    def sequence(self, number: int) -> int | None:
        return number

    def answer(self, message: str) -> str | None:
        asked = json.loads(message)
        if asked["method"] == "public/set_heartbeat":
            return None
        if asked["method"] == "public/test":
            return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"version": "1.2.26"}})
        assert (asked["method"], asked["params"]) == ("public/subscribe", {"channels": [self._channel]})
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": [self._channel], "testnet": False})

    def frame(self, trade: Told, snapshot: bool) -> str:
        params = f'{{"channel":"{self._channel}","data":[{self._facts(trade)}]}}'
        return f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'

    def test_request(self) -> str:
        """What asks for a sign of life."""
        return '{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}'

    def rest(self, path: str, asked: Mapping[str, str], truth: Sequence[Told]) -> bytes:
        assert (path, asked["instrument_name"]) == ("/public/get_last_trades_by_instrument", self.symbol)
        first, last = int(asked.get("start_seq", 0)), int(asked.get("end_seq", 2**62))
        shown = [trade for trade in truth if first <= trade.number <= last]
        shown = shown[: int(asked["count"])] if asked["sorting"] == "asc" else shown[: -int(asked["count"]) - 1 : -1]
        trades = ",".join(map(self._facts, shown))
        return f'{{"jsonrpc":"2.0","result":{{"has_more":false,"trades":[{trades}]}},"testnet":false}}'.encode()

    @property
    def _channel(self) -> str:
        return f"trades.{self.symbol}.100ms"

    def _facts(self, trade: Told) -> str:
        return (
            f'{{"timestamp":{trade.time_us // 1000},"price":{trade.price},"amount":{trade.quantity},'
            f'"direction":"{trade.taker}","instrument_name":"{trade.symbol}","trade_seq":{trade.number},'
            f'"trade_id":"{self.identity(trade.number)}","contracts":1.0}}'
        )


_ODD = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""Times it, modulo a power of two, every number is another, in no order."""


def _iso(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%dT%H:%M:%S}.{time_us % 10**6:06d}Z"


DIALECTS: Mapping[str, type[Dialect]] = {
    **dict.fromkeys([f"binance_{kind}{agg}" for kind in ("spot", "usdm", "coinm") for agg in ("", "_agg")], Binance),
    "coinbase": Coinbase,
    "kraken": Kraken,
    "okx": Okx,
    **dict.fromkeys(("bybit_spot", "bybit_linear", "bybit_inverse"), Bybit),
    "bitstamp": Bitstamp,
    "hyperliquid": Hyperliquid,
    "deribit": Deribit,
}
