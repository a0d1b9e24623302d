"""A stand-in for the service, for the page's tests: the real static files, and answers made from trades in memory.

    market = Market(NOW_US); market.trade(200); market.publish()
    with PageServer(market) as server: server.url

It knows nothing of Kafka, DuckDB or the views: bars are folded trade by trade, the cut is a place in a list. Run as a
program it trades and publishes by itself, to look at the page: `python tests/page_server.py [port]`.
"""

import hashlib
import json
import mimetypes
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

STATIC = Path(__file__).parents[1] / "serving" / "static"
PARTITION = "2"
DEFINITION = hashlib.sha256(b"bars").hexdigest()
INTERVALS_US = {
    "1s": 1_000_000,
    "5s": 5_000_000,
    "1m": 60_000_000,
    "5m": 300_000_000,
    "15m": 900_000_000,
    "1h": 3_600_000_000,
    "1d": 86_400_000_000,
}
CENT, LOT = 100, 1000


@dataclass(frozen=True)
class Trade:
    """One trade; its offset is its place in the market's list. Price in cents, quantity in thousandths."""

    time_us: int
    price: int
    quantity: int


@dataclass
class Market:
    """One instrument and its versions. Thread safe. Time stands still between calls of `trade`."""

    now_us: int
    venue: str = "binance"
    symbol: str = "BTCUSDT"
    price: int = 6_123_450
    step_us: int = 400_000
    trades: list[Trade] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    problem: str = ""
    lag_records: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(7))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def trade(self, count: int, late_us: int = 0) -> None:
        """Append trades, each about `step_us` after the one before, or `late_us` behind the newest."""
        with self._lock:
            for _ in range(count):
                if not late_us:
                    self.now_us += self._random.randrange(1, 2 * self.step_us)
                self.price = max(CENT, self.price + round(self._random.gauss(0, 220)))
                quantity = 1 + int(self._random.expovariate(1 / 140))
                self.trades.append(Trade(self.now_us - late_us, self.price, quantity))

    def publish(self) -> int:
        """Publish a version whose cut is behind the last trade; its number."""
        with self._lock:
            number = len(self.versions) + 1
            self.versions.append(
                {
                    "version": number,
                    "parent": number - 1,
                    "created": self.now_us,
                    "run_id": f"run-{number}",
                    "cut": {PARTITION: len(self.trades)},
                    "counts": {"events": len(self.trades), "refused": 0},
                    "definitions": {"bars": DEFINITION},
                    "proof": {"outcome": "equal", "reason": "", "compared": 0, "differ": 0, "forced": None},
                }
            )
            return number

    @property
    def cut(self) -> int:
        """The cut of the newest version."""
        return int(self.versions[-1]["cut"][PARTITION]) if self.versions else 0

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Status and document of a path under /v1/ or /health/."""
        with self._lock:
            if path == "/health/ready":
                reasons = [text for text in (self.refusal, self.problem) if text]
                facts = {"ready": not reasons, "reasons": reasons, "version": len(self.versions)}
                proof = {"proof": self.versions[-1]["proof"]} if self.versions else {}
                return (503 if reasons else 200), {**facts, **proof}
            if self.problem:
                return 503, {"title": "Service Unavailable", "status": 503, "detail": self.problem}
            if path == "/v1/versions":
                return 200, {"versions": self.versions[::-1], "served": len(self.versions)}
            if path == "/v1/instruments":
                named = {
                    "venue": self.venue,
                    "symbol": self.symbol,
                    "partition": int(PARTITION),
                    "quantity_unit": "base",
                }
                return 200, {"instruments": [named] if self.trades else [], "version": len(self.versions)}
            if path == "/v1/bars" and (query["venue"], query["symbol"]) == (self.venue, self.symbol) and self.trades:
                return 200, self._bars(query)
            return 404, {"title": "Not Found", "status": 404, "detail": "No event of it is known. See /v1/instruments."}

    def _bars(self, query: dict[str, str]) -> dict[str, Any]:
        layer = query.get("layer", "batch" if self.refusal else "merged")
        upto = self.cut if layer == "batch" else len(self.trades)
        bars = fold(self.trades[:upto], INTERVALS_US[query["interval"]], self.now_us)
        about = {
            "version": len(self.versions),
            "definition": DEFINITION,
            "cut": {PARTITION: self.cut},
            "applied": {PARTITION: upto},
            "complete": not self.refusal,
            "layer": layer,
        }
        if self.refusal:
            about["refusal"] = self.refusal
        return {"bars": bars[-int(query["limit"]) :], "next": None, "answer": about}


def fold(trades: list[Trade], interval_us: int, now_us: int) -> list[dict[str, Any]]:
    """The bars of trades, one trade after the other."""
    bars: dict[int, list[Trade]] = {}
    for trade in trades:
        bars.setdefault(trade.time_us - trade.time_us % interval_us, []).append(trade)
    return [_bar(start, bars[start], now_us - interval_us) for start in sorted(bars)]


def _bar(start: int, trades: list[Trade], closed_at_us: int) -> dict[str, Any]:
    prices = [trade.price for trade in trades]
    volume = sum(trade.quantity for trade in trades)
    notional = sum(trade.quantity * trade.price for trade in trades)
    return {
        "start": start,
        "open": text(prices[0], CENT),
        "high": text(max(prices), CENT),
        "low": text(min(prices), CENT),
        "close": text(prices[-1], CENT),
        "volume": text(volume, LOT),
        "notional": text(notional, CENT * LOT),
        "vwap": text(notional // volume, CENT),
        "buy_volume": text(volume // 2, LOT),
        "trades": len(trades),
        "first_trade_id": 1,
        "last_trade_id": len(trades),
        "closed": start <= closed_at_us,
    }


def text(value: int, unit: int) -> str:
    """A decimal without trailing zeros."""
    digits = len(str(unit)) - 1
    return f"{value // unit}.{value % unit:0{digits}}".rstrip("0").rstrip(".")


class PageServer:
    """The server on 127.0.0.1, in threads. `stop` and `start` again take the same port."""

    def __init__(self, market: Market, port: int = 0) -> None:
        self.market = market
        self.port = port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve until `stop`."""
        market = self.market

        class Handler(_Handler):
            """Bound to this market."""

            source = market

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> "PageServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    source: Market

    def do_GET(self) -> None:
        """Answer one request; the connection ends with it."""
        path = urlsplit(self.path)
        if path.path.startswith(("/v1/", "/health/")):
            query = {name: values[0] for name, values in parse_qs(path.query).items()}
            status, document = self.source.answer(path.path, query)
            self._send(status, json.dumps(document).encode(), "application/json", path.path == "/v1/bars")
            return
        file = (STATIC / path.path.removeprefix("/static/")) if path.path != "/" else STATIC / "index.html"
        if not file.resolve().is_relative_to(STATIC) or not file.is_file():
            self._send(404, b"{}", "application/json")
            return
        self._send(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
        """Say nothing."""

    def _send(self, status: int, body: bytes, media_type: str, lag: bool = False) -> None:
        etag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        same = status == 200 and self.headers.get("If-None-Match") == etag
        self.send_response(304 if same else status)
        self.send_header("ETag", etag)
        self.send_header("Cache-Control", "no-cache")
        if lag:
            self.send_header("Slackwater-Lag-Records", str(self.source.lag_records))
        if not same:
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not same:
            self.wfile.write(body)


def main() -> None:
    """Trade about eight times a second, publish every twenty seconds."""
    now_us = time.time_ns() // 1000
    market = Market(now_us - 1_500_000_000)
    while market.now_us < now_us - 20_000_000:
        market.trade(50)
        if len(market.trades) % 900 == 0:
            market.publish()
    market.step_us = 1
    with PageServer(market, int(sys.argv[1]) if len(sys.argv) > 1 else 0) as server:
        print(server.url, flush=True)
        for tick in range(1, sys.maxsize):
            time.sleep(0.12)
            market.now_us = max(market.now_us, time.time_ns() // 1000)
            market.lag_records = tick % 3
            market.trade(1, late_us=45_000_000 if tick % 60 == 0 else 0)
            if tick % 160 == 0:
                market.publish()


if __name__ == "__main__":
    main()
