"""`slackwater swaps`: versions are swapped one after the other under load; no answer fails, tears or goes backwards.

    two real batch runs  ->  versions 1 and 2, whole folders
    then N times         ->  a new number with the files of one of them, published as always; a trade now and then
    meanwhile            ->  real clients of the real service, on connections that stay open (`bench.swap_clients`)
    at the end           ->  every different answer against the oracle at its own positions, to the byte

Publications are cheap so that there are many of them; each is waited for until the service has swapped.
"""

import json
import re
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
from rich.table import Table

from bench.house import BenchError, House, Room
from ops.context import CLOCK
from ops.output import console
from ops.services import services
from slackwater.log.log import Log, read_range
from slackwater.log.mark import mark_of
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.interval import parse_interval
from verify.definition import read_view
from verify.oracle import Oracle

READY_S = 90.0
SWAP_S = 60.0
SECOND_US = 1_000_000
VENUE = "swaps"
SYMBOLS = ("S0", "S1", "S2", "S3", "S4", "S5")
OF_BARS = read_view(BARS)
INTERVALS = tuple(parse_interval(text) for text in ("1s", "5m", "1h"))
NEWER_EVERY = 5
"""Swaps between two trades that arrive meanwhile."""

_BARS_ANSWERED = re.compile(r'^slackwater_requests_total\{route="/v1/bars",[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


class Swaps(NamedTuple):
    """How much."""

    swaps: int = 1000
    rate: int = 500
    clients: int = 4
    connections: int = 2
    trades: int = 600


def run_swaps(plan: Swaps, quiet: bool) -> dict[str, Any]:
    """Run it on a broker and a home of its own; the figures.

    Raises:
        BenchError: a process ended, or a version was not swapped to in time.
    """
    with House((lambda _: None) if quiet else lambda text: console.print(text, style="dim")) as house:
        room = house.room("swaps")
        known = {service.name: service for service in services(room.context.settings)}
        room.start(known["speed"])
        room.start(known["serving"])
        feed = _Feed(room)
        bases = []
        for _ in range(2):
            feed.send(plan.trades)
            room.job("batch").finish(tell=False)
            bases.append(_current(room))
        feed.send(plan.trades // 4)
        room.wait(lambda: _serves(room, bases[-1].version) and _caught_up(room), "the service", READY_S)
        asked = _asked(feed)
        given = {"paths": asked, **plan._asdict()}
        before = _answered(room)
        clients = room.job("ask", given, "clients")
        room.wait(lambda: _answered(room) > before, "the clients' first answers", READY_S)
        began = CLOCK.elapsed_s()
        published = _swap(room, plan.swaps, bases, feed)
        seconds = CLOCK.elapsed_s() - began
        found = clients.finish()
        feed.close()
        torn = _torn(room, found, {manifest.version: manifest for manifest in published})
        room.stop()
    answers = found.pop("answers")
    del found["cuts"]
    statuses = {int(status): count for status, count in found.pop("statuses").items()}
    return {
        "swaps": len(published),
        "swap_seconds": round(seconds, 1),
        **found,
        "seconds": round(found["seconds"], 1),
        "per_s": round(found["requests"] / found["seconds"]),
        "not_2xx": sum(count for status, count in statuses.items() if not 200 <= status < 300),
        "different_answers": len(answers),
        "torn": torn,
    }


def holds(found: dict[str, Any]) -> bool:
    """Whether nothing failed, tore, was refused or went backwards."""
    bad = ("not_2xx", "torn", "refused", "version_backwards", "applied_backwards")
    return found["requests"] > 0 and not any(found[name] for name in bad)


def show_swaps(found: dict[str, Any]) -> None:
    """The figures, for a person."""
    table = Table("what", "measured", "target", box=None, padding=(0, 2))
    for what, measured, target in (
        ("version swaps", f"{found['swaps']:,} in {found['swap_seconds']:.0f} s", "1,000"),
        ("requests", f"{found['requests']:,}, {found['per_s']:,} a second", "500 a second"),
        ("not 2xx", f"{found['not_2xx']:,}", "0"),
        ("torn: not the oracle's bars, or another version's cut", f"{found['torn']:,}", "0"),
        ("refused or incomplete", f"{found['refused']:,}", "0"),
        (
            "backwards for a client: version, applied",
            f"{found['version_backwards']:,}, {found['applied_backwards']:,}",
            "0",
        ),
        ("different answers, each compared", f"{found['different_answers']:,}", ""),
        ("an answer", "p50 {p50:.1f}, p99 {p99:.1f}, max {max:.0f} ms".format(**found["ms"]), ""),
    ):
        table.add_row(what, measured, target)
    console.print(table)


class _Feed:
    """Trades with ids and times that grow, but for every seventh, which is late."""

    def __init__(self, room: Room) -> None:
        context = room.context
        self._topic = context.names.topic("trades")
        self._partitions = {
            symbol: context.log.partition_of(f"{VENUE}:{symbol}".encode(), context.settings.partitions)
            for symbol in SYMBOLS
        }
        self._writer = context.log.writer()
        self._number = 0
        self.base_us = (CLOCK.now_us() // (3600 * SECOND_US) - 3) * 3600 * SECOND_US
        self.cuts_us: list[int] = []

    def send(self, trades: int) -> None:
        """Append trades, each a record, and wait until they are there."""
        for _ in range(trades):
            symbol = SYMBOLS[self._number % len(SYMBOLS)]
            late_us = 40 * SECOND_US if self._number % 7 == 0 else 0
            event = {
                "venue": VENUE,
                "symbol": symbol,
                "trade_id": self._number,
                "time": self.base_us + self._number * SECOND_US * 3 // 2 - late_us,
                "price": f"{100 + self._number % 13}.{self._number % 97:02d}",
                "quantity": f"0.{self._number % 89 + 1:03d}",
                "side": "buy" if self._number % 2 else "sell",
            }
            value = json.dumps(event, separators=(",", ":")).encode()
            self._writer.append(self._topic, self._partitions[symbol], f"{VENUE}:{symbol}".encode(), value)
            self._number += 1
        self._writer.flush()
        self.cuts_us.append(self.base_us + self._number * SECOND_US * 3 // 2)

    def close(self) -> None:
        """Release the producer."""
        self._writer.close()


def _asked(feed: _Feed) -> list[str]:
    """Ranges across both cuts and at the end, of every instrument and interval."""
    paths = []
    for at_us in feed.cuts_us[:3]:
        for interval in INTERVALS:
            start, end = at_us - 20 * interval.us - 1, at_us + 20 * interval.us + 1
            for symbol in SYMBOLS:
                query = f"venue={VENUE}&symbol={symbol}&interval={interval.text}&start={start}&end={end}"
                paths.append(f"/v1/bars?{query}")
    return paths


def _current(room: Room) -> Manifest:
    found = room.context.store.current()
    if found is None:
        raise BenchError("The batch run published nothing.")
    return found


def _serves(room: Room, version: int) -> bool:
    try:
        found = httpx.get(f"{room.context.url}/health/ready", timeout=5.0)
    except httpx.HTTPError:
        return False
    return found.status_code == httpx.codes.OK and found.json()["version"] == version


def _answered(room: Room) -> int:
    """How many questions for bars the service has answered so far."""
    text = httpx.get(f"{room.context.url}/metrics", timeout=5.0).text
    return sum(int(float(count)) for count in _BARS_ANSWERED.findall(text))


def _caught_up(room: Room) -> bool:
    ends = {p: bounds.end for p, bounds in room.context.log.bounds(room.context.names.topic("trades")).items()}
    for symbol in SYMBOLS:
        found = httpx.get(f"{room.context.url}/v1/bars", params={"venue": VENUE, "symbol": symbol}, timeout=5.0)
        if found.status_code != httpx.codes.OK:
            return False
        if any(ends[int(p)] > at for p, at in found.json()["meta"]["applied"].items()):
            return False
    return True


def _swap(room: Room, swaps: int, bases: list[Manifest], feed: _Feed) -> list[Manifest]:
    """Publish so many versions, each when the one before is served; all that were."""
    store, published = room.context.store, list(bases)
    with httpx.Client(base_url=room.context.url, timeout=5.0) as service:
        for number in range(swaps):
            base = bases[number % len(bases)]
            manifest = replace(base, version=store.reserve(), parent=published[-1].version, created_us=CLOCK.now_us())
            store.publish(manifest)
            published.append(manifest)
            if number % NEWER_EVERY == 0:
                feed.send(1)
            room.wait(
                lambda version=manifest.version: service.get("/health/ready").json()["version"] == version,  # type: ignore[misc]
                f"version {manifest.version}",
                SWAP_S,
                every_s=0.01,
            )
    return published[len(bases) :]


def _torn(room: Room, found: dict[str, Any], published: dict[int, Manifest]) -> int:
    """Answers whose bars are not the oracle's at their own positions, or whose cut is not their version's."""
    store = room.context.store
    torn = 0
    for version, partition, at in found["cuts"]:
        manifest = published.get(version) or store.manifest(version)
        torn += manifest.cut(TRADES)[int(partition)] != at
    waiting = []
    for answer in found["answers"]:
        body = json.loads(answer["body"])
        ((partition, applied),) = body["applied"].items()
        waiting.append((int(partition), applied, answer["path"], answer["body"], answer["times"]))
    waiting.sort()
    for partition in sorted({one[0] for one in waiting}):
        torn += _compare(
            room.context.log, room.context.names.topic("trades"), [one for one in waiting if one[0] == partition]
        )
    return torn


def _compare(log: Log, topic: str, waiting: list[tuple[int, int, str, str, int]]) -> int:
    """Compare the answers of one partition, in the order of their positions, while the oracle walks its log."""
    oracle = Oracle(OF_BARS.stream, [OF_BARS])
    torn = 0
    partition, upto = waiting[0][0], waiting[-1][1]
    for piece in read_range(log, topic, {partition: 0}, {partition: upto}):
        for record in piece.records:
            while waiting and waiting[0][1] <= record.offset:
                torn += _differs(oracle, *waiting.pop(0)[2:])
            if mark_of(record) is None:
                oracle.record(record.value, record.append_time_ms)
    return torn + sum(_differs(oracle, path, body, times) for _, _, path, body, times in waiting)


def _differs(oracle: Oracle, path: str, body: str, times: int) -> int:
    query = httpx.URL(path).params
    interval = parse_interval(query["interval"])
    low = int(query["start"])
    instrument = query["venue"], query["symbol"]
    expected = oracle.rows(OF_BARS.definition, instrument, interval.text, low, int(query["end"]))
    text = json.dumps(expected, separators=(",", ":"))
    return 0 if body.startswith(f'{{"bars":{text},"next":null,') else times
