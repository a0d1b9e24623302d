"""Requests that a client could make, drawn by a seed: sound ones, odd ones, and what no client means.

Against one service they are sent over one connection, one after the other: the fuzz (`tests.fuzz`) judges each answer,
this is for what many of them leave behind. `python -m tests.odd_requests` serves a world until its input ends.
"""

import http.client
import random
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import serving.status.metrics
import serving.store.hot
from serving.options import ServingOptions
from serving.query.answer import ENCODED
from slackwater.core.heap import give_back
from slackwater.streams.trades import TRADES
from tests.fuzz.hooks import SYMBOL, VENUE
from tests.live_service import LiveService
from tests.serving_world import NOON, SECOND, World

ROUTES = ("bars",) * 6 + ("trades",) * 2 + ("instruments", "versions", "versions/2/handoff", "restatements", "nothing")
INTERVALS = ("1s", "5s", "1m", "3m", "15m", "1h", "1d", "1w", "7s", "90s", "2h", "12h")
FORMATS = ("json", "ndjson", "csv", "arrow", "parquet")
CODINGS = ("gzip", "zstd", "br", "gzip;q=0.3", "x")
SPAN_S = 20_000


class Asking(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]


def draw(seed: int, count: int) -> list[Asking]:
    """`count` requests; the same for the same seed."""
    drawn = random.Random(seed)
    return [_one(drawn) for _ in range(count)]


def send(port: int, requests: list[Asking]) -> Counter[int]:
    """Send them; how many were answered with each status."""
    found: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path, headers in requests:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        found[answer.status] += 1
    connection.close()
    return found


def _one(drawn: random.Random) -> Asking:
    route = drawn.choice(ROUTES)
    query: dict[str, str] = {}

    def maybe(share: float, name: str, *values: str) -> None:
        if drawn.random() < share:
            query[name] = drawn.choice(values)

    if route in {"bars", "trades"}:
        query["venue"] = drawn.choice([*[VENUE] * 9, _word(drawn)])
        query["symbol"] = drawn.choice([*[SYMBOL] * 6, "ETHUSDT", f"{SYMBOL},ETHUSDT", _word(drawn)])
        maybe(0.5, "start", str(NOON + drawn.randrange(-1000, SPAN_S) * SECOND))
        maybe(0.4, "end", str(NOON + drawn.randrange(SPAN_S // 4, 2 * SPAN_S) * SECOND))
        maybe(0.6, "limit", str(drawn.randrange(1, 10_000)), "all", _word(drawn))
    if route == "bars":
        maybe(0.8, "interval", *INTERVALS, _word(drawn))
        maybe(0.3, "layer", "merged", "batch", "speed", "x")
        maybe(0.2, "as_of", *"0123")
        maybe(0.2, "fill", "previous", "zz")
        maybe(0.1, "explain", "true")
    maybe(0.4, "format", *FORMATS)
    maybe(0.2, "times", "iso", "?")
    maybe(0.05, _word(drawn), _word(drawn))
    maybe(0.05, "cursor", _word(drawn))
    headers = {}
    if drawn.random() < 0.3:
        headers["Accept"] = drawn.choice(["text/csv", "application/json", "*/*", f"x/{_word(drawn)}"])
    if drawn.random() < 0.4:
        headers["Accept-Encoding"] = drawn.choice(CODINGS)
    return Asking(f"/v1/{route}?" + "&".join(f"{name}={value}" for name, value in query.items()), headers)


def _word(drawn: random.Random) -> str:
    length = drawn.choice([1, 3, 10, 40, 400])
    return quote("".join(chr(drawn.choice([drawn.randrange(33, 127), 0xE9, 0x1F600])) for _ in range(length)))


def fill(world: World, trades: int) -> None:
    """Two versions of random trades over some hours, and one behind them."""
    drawn = random.Random(3)
    for version in (1, 2):
        for i in range(trades):
            at_s = SPAN_S * (version - 1) / 2 + i * SPAN_S / 2 / trades
            price = f"{drawn.randrange(1, 10**6)}.{drawn.randrange(10**7)}"
            world.trade(SYMBOL if i % 3 else "ETHUSDT", at_s, price, venue=VENUE)
        world.publish(world.mark(f"run-{version}"), f"run-{version}")
    world.trade(SYMBOL, SPAN_S, venue=VENUE)
    world.emit({p: at - 1 for p, at in world.store.manifest(2).cut(TRADES).items()})
    world.step()


def main() -> None:
    """Serve; says its port on the first line."""
    give_back()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        options = ServingOptions(poll_s=0.0, deadline_s=600.0)  # a busy machine is no reason for another answer
        if len(sys.argv) > 2:  # the bound of every cache, in MB
            most = int(sys.argv[2]) << 20
            serving.store.hot.MAX_OPEN_CELL_BYTES = serving.status.metrics.MAX_OPEN_CELL_BYTES = ENCODED.most_bytes = (
                most
            )
            options = replace(options, cached_row_bytes=most, cached_reply_bytes=most)
        world.serve(options)
        fill(world, int(sys.argv[1]))
        with LiveService(world) as live:
            print(live.port, flush=True)
            sys.stdin.read()
        world.close()


if __name__ == "__main__":
    main()
