r"""The same trade again, end to end on the real broker: counted once in every view, both layers agreeing.

    lines --ingest--> Kafka --speed--> deltas --+
                      \--batch--> versions ---+--REST--> merged, batch, speed

What every answer must be is said by the oracle over the lines that were meant to count, each once: it sees neither the
log nor ingest. What a foreign writer appends past ingest counts as it stands, and is shown.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest.chunk import of_lines
from ingest.verdicts import Summary
from ingest.writer import IngestWriter, open_ingest
from serving.http.app import create_app
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from tests.bars_oracle import Oracle
from tests.beam_world import ROOT, World, kafka_world, settle, speed_running
from tests.forked import call
from tests.ingest_kit import letters

pytestmark = pytest.mark.broker

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
MINUTE_US = 60_000_000
FORTY_MINUTES_S = 2400.0


class LateClock:
    """This machine's clock, ahead by as much as the test says."""

    ahead_s = 0.0

    def now_us(self) -> int:
        return time.time_ns() // 1000 + round(self.ahead_s * 1e6)

    def elapsed_s(self) -> float:
        return time.monotonic() + self.ahead_s

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class House:
    """The whole way of a trade, and what every answer must be: `old` went below the cut, `new` came since."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = LateClock()
        self.app = create_app(world.log, world.names, world.store)
        self.old: list[bytes] = []
        self.new: list[bytes] = []
        self._began_us = time.time_ns() // 1000 - 3_600_000_000

    @contextmanager
    def writer(self) -> Iterator[IngestWriter]:
        with open_ingest(TRADES, self.world.log, self.world.names, self.world.store, self.clock) as writer:
            yield writer

    def line(self, trade_id: int, price: str = "100.5") -> bytes:
        """One trade a second, of each symbol in turn, an hour ago."""
        event = {
            "venue": "x",
            "symbol": SYMBOLS[trade_id % len(SYMBOLS)],
            "trade_id": trade_id,
            "time": self._began_us + trade_id * 1_000_000,
            "price": price,
            "quantity": "0.25",
            "side": "sell" if trade_id % 2 else "buy",
        }
        return json.dumps(event, separators=(",", ":")).encode()

    def lines(self, first: int, upto: int) -> list[bytes]:
        return [self.line(i) for i in range(first, upto)]

    def batch(self) -> Manifest:
        """A batch run absorbs what came since the last one."""
        manifest = self.world.batch()
        self.old, self.new = self.old + self.new, []
        return manifest

    def get(self, url: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get(url)

        return asyncio.run(ask())

    def answer(self, symbol: str, layer: str) -> Any:
        return self.get(f"/v1/bars?venue=x&symbol={symbol}&layer={layer}&limit=10000").json()

    def check(self) -> None:
        """Wait until all that the log holds is applied; then every layer of every instrument equals the oracle."""
        version, ends = self.world.store.pointer().version, self.world.ends

        def there(symbol: str) -> bool:
            about = self.answer(symbol, "merged").get("meta", {"version": -1})
            return about["version"] == version and all(ends[int(p)] <= at for p, at in about["applied"].items())

        for symbol in SYMBOLS:
            settle(lambda symbol=symbol: there(symbol))  # type: ignore[misc]
            for layer, lines in (("merged", self.old + self.new), ("batch", self.old), ("speed", self.new)):
                assert _bars(self.answer(symbol, layer)["bars"]) == _bars(expected(lines, symbol)), (symbol, layer)
        assert self.answer(SYMBOLS[0], "merged")["bars"] == expected(self.old + self.new, SYMBOLS[0])  # `closed`, too


def expected(lines: Sequence[bytes], symbol: str) -> list[dict[str, Any]]:
    oracle = Oracle([MINUTE_US])
    for line in lines:
        oracle.record(line, time.time_ns() // 1_000_000)
    return [dict(bar) for bar in oracle.bars("x", symbol, MINUTE_US)]


def _bars(bars: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without `closed`, which is a word about the whole log, not about one layer's part."""
    return [{name: value for name, value in bar.items() if name != "closed"} for bar in bars]


@pytest.fixture
def house(broker: str, tmp_path: Path) -> Iterator[House]:
    with kafka_world(broker, tmp_path / "home", partitions=4) as world:
        found = House(world)
        service = found.app.state.service
        service.start()
        try:
            with speed_running(world.source()):
                yield found
        finally:
            service.stop()


def take(house: House, writer: IngestWriter, lines: Sequence[bytes]) -> Summary:
    """What ingest says of these lines alone, whether they came one by one or together."""
    before = writer.summary()
    half = len(lines) // 2
    for line in lines[:half]:
        writer.accept(of_lines("one by one", [line]))
    writer.accept(of_lines("together", list(lines[half:])))
    writer.flush()
    after = writer.summary()
    return Summary(
        after.accepted - before.accepted, after.duplicates - before.duplicates, after.conflicts - before.conflicts
    )


def test_the_same_trade_counts_once_whenever_it_comes_again(house: House) -> None:
    first, dearer = house.lines(0, 120), [house.line(i, "7") for i in range(0, 120, 10)]
    with house.writer() as writer:
        writer.accept(of_lines("twice in a row", [line for line in first for _ in range(2)]))
        assert (writer.summary().accepted, writer.summary().duplicates) == (120, 120)
        house.new += first
        assert take(house, writer, first) == Summary(0, 120, 0)
        assert take(house, writer, dearer) == Summary(0, 0, 12)
        house.check()

        house.clock.ahead_s += FORTY_MINUTES_S
        more = house.lines(120, 180)
        assert take(house, writer, [*first, *more]) == Summary(60, 120, 0)
        house.new += more
        house.check()

        manifest = house.batch()
        settle(lambda: writer.accept(of_lines("nothing", [])) or len(writer.filter.known) == 0)  # absorbed
        assert take(house, writer, [*first, *more]) == Summary(0, 180, 0)
        assert take(house, writer, dearer) == Summary(0, 0, 12)
        since = house.lines(180, 200)
        assert take(house, writer, since) == Summary(20, 0, 0)
        house.new += since
        house.check()
        closing = writer
    assert closing.summary() == Summary(200, 120 + 120 + 120 + 180, 24, {}, closing.summary().records)

    with house.writer() as writer:  # a restart: the log since the cut is read again
        assert take(house, writer, [*first, *more, *since]) == Summary(0, 200, 0)
        assert take(house, writer, dearer) == Summary(0, 0, 12)
    house.batch()
    with house.writer() as writer:  # and with nothing but the archive
        assert take(house, writer, [*first, *more, *since, house.line(200)]) == Summary(1, 200, 0)
        assert take(house, writer, [*dearer, house.line(199, "7")]) == Summary(0, 0, 13)
    house.new.append(house.line(200))
    house.check()

    conflicts = letters(house.world.log, house.world.names)
    assert {headers["reason"] for headers, _ in conflicts} == {"conflict"}
    assert sorted(value for _, value in conflicts) == sorted([*dearer * 4, house.line(199, "7")])
    assert manifest.count("duplicates") == 0 and house.world.store.current().count("duplicates") == 0  # type: ignore[union-attr]


@pytest.mark.crash
def test_an_ingest_that_was_killed_and_begins_again_counts_each_trade_once(house: House, tmp_path: Path) -> None:
    lines = house.lines(0, 3000)
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    once.write_bytes(b"\n".join(lines))
    twice.write_bytes(b"\n".join([*lines, *lines, house.line(5, "7")]))
    with subprocess.Popen(
        [sys.executable, "-m", "ops", "ingest", "-"], cwd=ROOT, env=house.world.environ(), stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(b"\n".join(lines[:1500]) + b"\n")
            process.stdin.flush()
            settle(lambda: sum(house.world.ends.values()) > 0)  # somewhere in the stream
        finally:
            process.kill()
    for path, count, conflicts in ((once, 3000, 0), (twice, 6000, 1)):
        done = call("ingest", str(path), "--json", environ=house.world.environ())
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["accepted"] + facts["duplicates"] == count
        assert facts["duplicates"] > 0 and (facts["accepted"] > 0) == (path == once)
        assert (facts["conflicts"], facts["refused"]) == (conflicts, {})
    house.new += lines
    house.check()
    house.batch()
    house.check()


def test_a_foreign_writers_duplicates_count_as_they_stand_and_are_shown(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("ingest", house.lines(0, 60)))
    house.new += house.lines(0, 60)
    again = [house.line(0), house.line(0), house.line(3, "250"), house.line(1)]  # of BTC three, of ETH one
    writer = house.world.log.writer()
    for line in again:
        symbol = json.loads(line)["symbol"]
        at = house.world.log.partition_of(f"x:{symbol}".encode(), 4)
        writer.append(house.world.names.topic("trades"), at, b"k", line).offset()
    writer.close()
    house.new += again
    house.check()  # the speed layer alone
    manifest = house.batch()
    house.check()
    assert manifest.counts == {
        "trades": {"events": 64, "refused": 0, "new_events": 64, "corrected": 0, "duplicates": 4}
    }

    with house.writer() as writer:  # ingest knows all that is there
        assert take(house, writer, [*house.lines(0, 60), house.line(3, "250")]) == Summary(0, 61, 0)
    shown = {i["symbol"]: i["duplicates"] for i in house.get("/v1/instruments").json()["instruments"]}
    assert shown == {"BTC-USD": 3, "ETH-USD": 1, "SOL-USD": 0}
    assert house.get(f"/v1/versions/{manifest.version}").json()["duplicates"] == [
        {"stream": "trades", "entity": ["x", "BTC-USD"], "events": 3},
        {"stream": "trades", "entity": ["x", "ETH-USD"], "events": 1},
    ]
    metrics = house.get("/metrics").text
    assert "slackwater_batch_duplicates 4.0" in metrics and "slackwater_batch_events 64.0" in metrics
    assert 'slackwater_entity_duplicates{entity="x:BTC-USD",stream="trades"} 3.0' in metrics
    listed = json.loads(call("batch", "list", "--json", environ=house.world.environ()).stdout)
    assert listed["versions"][0]["counts"]["trades"]["duplicates"] == 4

    later = house.line(2)  # and again, above the cut
    at = house.world.log.partition_of(b"x:SOL-USD", 4)
    writer = house.world.log.writer()
    writer.append(house.world.names.topic("trades"), at, b"k", later).offset()
    writer.close()
    house.new.append(later)
    house.check()
    assert house.batch().count("duplicates") == 5
    house.check()
