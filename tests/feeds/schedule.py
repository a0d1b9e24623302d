"""One seeded schedule of a feed: trades happen, things go wrong, and in the end every trade is there.

Where ids are not dense, nothing tells that a venue left a frame out of a connection that lives, and no connection loses
one: there none is dropped. And what the venue's REST interface cannot show any more, by however many requests, may be
gone, if capture lists a suspect span that holds its time. That is claimed from the first trade on that capture took.

The seed decides what happens and how often things go wrong; when they do depends on the machine, too: the sockets are
real.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import orjson

from ingest.capture.options import CaptureOptions, KnownIds
from ingest.capture.run import capturing
from ingest.capture.state import Suspect, VenueState
from ingest.capture.timing import TIMING, Timing
from ingest.feeds.feed import Feed
from ingest.feeds.registry import FEEDS
from slackwater.core.clock import SystemClock
from slackwater.streams.order import UNIT_US
from tests.feeds.dialects import DIALECTS, Bitstamp, Dialect, Told
from tests.feeds.venue import Faults, Running, Venue, running

FAST = TIMING.faster(40)._replace(open_s=5.0, pong_s=0.5, ping_s=0.3, subscribe_s=2.0, look_s=0.01, overlap_s=0.3)
"""Waits of capture in these tests: seconds become hundredths."""

SESSION_S = 0.5
"""The age at which a venue ends a connection, where it does."""

VOIDS = 0.05
DEADLINE_S = 30.0
START_US = 1_764_576_000_000_000


class Outcome(NamedTuple):
    """What came out: the lines of each id, the venue's truth by id and what of it was claimed, the ids that it cannot
    show any more, spans and gaps that were listed, and what went wrong.
    """

    dialect: Dialect
    lines: dict[str, list[bytes]]
    truth: dict[str, Told]
    claimed: int
    unshown: set[str]
    suspects: list[Suspect]
    lost: set[int]
    faults: dict[str, int]
    refused: list[bytes]


def told(symbol: str, number: int, time_us: int, draw: random.Random, unit_us: int, void: bool = False) -> Told:
    """A trade of some values."""
    price = f"{draw.randrange(1, 10**7)}.{draw.randrange(10**8):08d}".rstrip("0")
    price += "0" if price.endswith(".") else ""
    quantity = f"{draw.randrange(10**3)}.{draw.randrange(1, 10**8):08d}"
    return Told(symbol, number, time_us // unit_us * unit_us, price, quantity, draw.choice(["buy", "sell"]), void)


def play(venue_name: str, seed: int, trades: int = 60, timing: Timing = FAST) -> Outcome:
    """Play a schedule to its end. Raises AssertionError where it does not come to one."""
    draw = random.Random(f"{venue_name} {seed}")
    feed = replace(FEEDS[venue_name], session_s=draw.choice([0.0, 0.0, SESSION_S]))
    symbol = feed.symbols[0]
    dialect = DIALECTS[venue_name](venue_name, symbol)
    if not feed.dense:
        dialect.page = draw.choice([5, 20, dialect.page])
    if isinstance(dialect, Bitstamp):
        dialect.hour_us, dialect.day_us = draw.choice([(3_000_000, 10_000_000), (dialect.hour_us, dialect.day_us)])
    faults = _faults(draw) if feed.dense else replace(_faults(draw), drop=0.0)
    venue = Venue(dialect, faults, draw, snapshot=draw.choice([0, 0, 1, 20]) if "binance" not in venue_name else 0)
    number, at_us = draw.randrange(1, 10**9), START_US
    venue.session_s = feed.session_s
    voids = "binance" in venue_name and not venue_name.endswith("_agg") and "spot" not in venue_name

    def more(count: int) -> list[Told]:
        nonlocal number, at_us
        made = []
        for _ in range(count):
            number += 1
            at_us += draw.choice([0, 1, 500, 1_000, 250_000, 3_000_000])
            jitter = draw.randrange(999) if feed.dense else 0
            void = voids and draw.random() < VOIDS
            made.append(told(symbol, number, at_us + jitter, draw, dialect.unit_us, void))
        return made

    with running(venue) as run:
        run.tell(*more(draw.randrange(1, 40)))  # before anyone listens
        before = venue.truth[-1].number
        options = CaptureOptions({venue_name: venue.address}, timing=timing)
        known = {symbol: KnownIds(before)}
        claimed = before if feed.dense_ids else None
        lines: dict[str, list[bytes]] = {}
        refused: list[bytes] = []

        with capturing([(feed, [symbol])], options, SystemClock(), lambda _: known) as live:
            take = _taker(live.intake, lines, refused)
            state = live.states[venue_name]
            for _ in range(trades // 6):
                if draw.random() < 0.7:  # else it all happens while nobody listens
                    _until(lambda: venue.accepted > 0, lambda: f"{venue_name} {seed}: nobody listens; {state.why}")
                run.tell(*more(draw.randrange(1, 12)))
                if claimed is None and lines:
                    claimed = venue.truth[-1].number
                take()
                fate = draw.random()
                if fate < 0.1:
                    run.call(venue.cut_all)
                elif fate < 0.15:
                    run.call(venue.freeze_all)
            venue.faults = Faults()  # the weather clears up, and something more is traded

            def settled() -> bool:
                run.tell(*more(1))
                take()
                newest = venue.truth[-1].number
                return venue.listeners > 0 and (
                    _has_all(state, symbol, newest) if feed.dense else _is_whole(state, dialect.identity(newest), lines)
                )

            _until(
                settled, lambda: f"{venue_name} {seed}: {state.state} {state.why} {state.trackers[symbol].holes[:3]}"
            )
            take()
            lost = {n for one in state.trackers[symbol].lost for n in range(one.first, one.last + 1)}
            suspects = [*state.suspects]
        take()
    named = {dialect.identity(trade.number): trade for trade in venue.truth}
    unshown = named.keys() - {dialect.identity(trade.number) for trade in dialect.shows(venue.truth)}
    truth = {one: trade for one, trade in named.items() if trade.number > before and not trade.void}
    claimed = number if claimed is None else claimed
    return Outcome(dialect, lines, truth, claimed, unshown, suspects, lost, dict(venue.counts), refused)


def check(feed: Feed, outcome: Outcome) -> None:
    """Every trade is there with its values, none is twice with two contents, and only voids are given up."""
    for identity, trade in outcome.truth.items():
        if identity in outcome.lines or trade.number <= outcome.claimed:
            continue
        listed = any(
            one.symbol == trade.symbol and one.after_us <= trade.time_us <= one.before_us for one in outcome.suspects
        )
        given_up = "given up" if trade.number in outcome.lost else "suspected" if listed else "not listed"
        allowed = listed and not feed.dense and identity in outcome.unshown
        assert allowed, f"{trade.number} is gone: {given_up}; {outcome.suspects}"
    for identity, lines in outcome.lines.items():
        if identity not in outcome.truth:
            continue  # from before it began
        trade = outcome.truth[identity]
        for facts in map(orjson.loads, {*lines}):
            unit_us = UNIT_US[facts.get("time_unit", "us")]
            assert facts["time"] == trade.time_us // unit_us * unit_us
            assert (facts["venue"], facts["symbol"], str(facts["trade_id"])) == (feed.venue, trade.symbol, identity)
            assert facts.get("sequence") == outcome.dialect.sequence(trade.number)
            assert (facts["side"], facts["price"], facts["quantity"]) == (trade.taker, trade.price, trade.quantity)


def _has_all(state: VenueState, symbol: str, newest: int) -> bool:
    tracker = state.trackers[symbol]
    return tracker.last == newest and not tracker.missing


def _is_whole(state: VenueState, newest: str, lines: dict[str, list[bytes]]) -> bool:
    return newest in lines and not state.breaks and not state.doubts


def _taker(intake: object, lines: dict[str, list[bytes]], refused: list[bytes]) -> Callable[[], None]:
    def take() -> None:
        while (chunk := intake.read(0.0)) is not None and chunk.lines:  # type: ignore[attr-defined]
            for i, line in enumerate(chunk.lines):
                if i in chunk.faults:
                    refused.append(chunk.original(i))
                else:
                    lines.setdefault(str(orjson.loads(line)["trade_id"]), []).append(line)

    return take


def _until(true: Callable[[], bool], text: Callable[[], str]) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < until_s, text()
        time.sleep(0.01)


def _faults(draw: random.Random) -> Faults:
    def some(most: float) -> float:
        return draw.choice([0.0, 0.0, draw.random() * most])

    return Faults(
        drop=some(0.3),
        duplicate=some(0.3),
        swap=some(0.3),
        cut=some(0.1),
        nonsense=some(0.1),
        abort=some(0.05),
        close=some(0.05),
        mute=some(0.3),
        deaf=some(0.05),
        busy=some(0.4),
        broken=some(0.4),
        retry_after=draw.choice(["0", None]),
    )


__all__ = ["FAST", "Outcome", "Running", "check", "play", "told"]
