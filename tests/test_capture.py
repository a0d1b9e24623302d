"""Capture on real sockets of this machine: the recorded frames, faults one by one, schedules, recording and replay."""

import asyncio
import errno
import gzip
import io
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from ingest import handed
from ingest.capture.bucket import Bucket
from ingest.capture.intake import Intake
from ingest.capture.options import Address, CaptureOptions, KnownIds
from ingest.capture.recording import Frame, Recorder, frames_of, recordings, venue_of
from ingest.capture.replayed import Replayed
from ingest.capture.run import Capture, capturing
from ingest.capture.session import Session
from ingest.capture.smoke import Smoke, smoke_all
from ingest.capture.state import VenueState
from ingest.capture.timing import TIMING, Timing
from ingest.capture.tracker import Tracker
from ingest.chunk import Source
from ingest.errors import SourceError, UnreadableFileError
from ingest.feeds.feed import Budget, Feed
from ingest.feeds.registry import FEEDS
from ingest.sample_data import open_sample
from ops.cli import main
from slackwater.core.clock import SystemClock
from slackwater.streams.compact import plain
from slackwater.streams.decode import decode_lines
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.rows import event_lines
from slackwater.streams.trades import TRADES
from tests.feeds.dialects import DIALECTS, Binance, Bitstamp, Coinbase, Deribit, Told
from tests.feeds.schedule import FAST, START_US, check, play, told
from tests.feeds.venue import Faults, Running, Venue, running
from tests.ingest_kit import HandClock
from tests.live_service import until

FRAMES = Path(__file__).parent / "feed_frames"
DRAW = random.Random(16)


def events(source: Source) -> list[bytes]:
    """The lines that a source gives until it has nothing more for a moment; faults raise."""
    found: list[bytes] = []
    while (chunk := source.read(0.0)) is not None and chunk.lines:
        assert not chunk.faults, chunk.faults
        found += chunk.lines
    return found


def canonical(lines: list[bytes]) -> list[bytes]:
    """Lines as the event log has them."""
    table, _, bad = decode_lines(TRADES, lines, np.full(len(lines), MAX_ID))
    assert not bad
    return event_lines(TRADES, plain(TRADES, table))


def ids(lines: list[bytes]) -> list[int]:
    return [orjson.loads(line)["trade_id"] for line in lines]


@contextmanager
def live(
    run: Running, feed: Feed, known: dict[str, KnownIds] | None = None, timing: Timing = FAST, **more: Any
) -> Iterator[Capture]:
    """One symbol of a feed, captured from a venue of this machine."""
    address = run.venue.address
    options = CaptureOptions({feed.venue: address}, timing=timing, **more)
    with capturing([(feed, [run.venue.dialect.symbol])], options, SystemClock(), lambda _: known or {}) as capture:
        yield capture


def venue_of_kind(name: str, **more: Any) -> tuple[Feed, Venue, Callable[[int], Told]]:
    """A feed, its venue, and what makes the trade of a number."""
    feed = FEEDS[name]
    dialect = DIALECTS[name](name, feed.symbols[0])
    made = lambda number: told(dialect.symbol, number, START_US + number * 10_000, DRAW, dialect.unit_us)  # noqa: E731
    return feed, Venue(dialect, **more), made


def test_recorded_frames_are_the_sample_read_from_files_and_through_sockets(tmp_path: Path) -> None:
    """All 78,638 trades, byte by byte; a frame says its unit, which the file of the sample does not."""
    wanted = sorted(canonical(events(open_sample())))
    files = [(FEEDS[venue_of(path)], path) for path in recordings(FRAMES)]
    source = Replayed(files, SystemClock())
    replayed: list[bytes] = []
    while (chunk := source.read(0.0)) is not None:
        assert not chunk.faults
        replayed += chunk.lines
    assert sorted(without_unit(replayed)) == wanted and len(wanted) == 78_638
    assert source.done > len(replayed) + 2_000  # books and tickers are among the frames
    assert {state.missing for state in source.states.values()} == {0}

    found: list[bytes] = []
    with ExitStack() as stack:
        venues = []
        for feed, path in files:
            symbols = feed.symbols
            venue = Venue(Anything(feed.venue, symbols[0]))
            venues.append((stack.enter_context(running(venue)), feed, [*frames_of(path)]))
        options = CaptureOptions(
            {feed.venue: run.venue.address for run, feed, _ in venues},
            record=tmp_path,
        )
        wanted_feeds = [(feed, feed.symbols) for _, feed, _ in venues]
        capture = stack.enter_context(capturing(wanted_feeds, options, SystemClock()))
        until(lambda: all(run.venue.listeners for run, _, _ in venues), "nobody listens")
        for run, _, frames in venues:
            run.start(lambda run=run, frames=frames: said(run.venue, frames))
        until(lambda: found.extend(events(capture.intake)) or len(found) >= len(wanted), "not all came")
    assert sorted(without_unit(found)) == wanted
    recorded = {venue_of(path): [frame.data for frame in frames_of(path)][1:] for path in recordings(tmp_path)}
    assert recorded == {feed.venue: [frame.data for frame in frames] for _, feed, frames in venues}


class Anything(Binance):
    """Takes any subscription."""

    def answer(self, message: str) -> str | None:
        return '{"result":null,"id":1}'


async def said(venue: Venue, frames: list[Frame]) -> None:
    for frame in frames:
        await venue.say(frame.data.decode())


def without_unit(lines: list[bytes]) -> list[bytes]:
    """Canonical lines whose times are in milliseconds, as if they did not say so."""
    unit = b',"time_unit":"ms"'
    assert all(unit in line for line in lines)
    return [line.replace(unit, b"") for line in canonical(lines)]


@pytest.mark.parametrize("venue", FEEDS)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_goes_wrong_every_trade_is_there_in_the_end(venue: str, seed: int) -> None:
    check(FEEDS[venue], play(venue, seed))


DENSE = [name for name, feed in FEEDS.items() if feed.dense_ids]


@pytest.mark.parametrize("name", DENSE)
def test_what_was_missed_while_nothing_ran_is_asked_for(name: str) -> None:
    feed, venue, made = venue_of_kind(name)
    with running(venue) as run:
        run.tell(*map(made, range(1, 50)))
        with live(run, feed, {venue.dialect.symbol: KnownIds(30, [(10, 12)])}) as capture:
            found: list[bytes] = []
            until(lambda: venue.listeners > 0, "nobody listens")
            run.tell(made(50))
            # Of 10..12 no times are known: where REST is asked by time, nobody can ask for them.
            wanted = {*range(31, 51)} | (set() if feed.rest.by_time else {10, 11, 12})
            until(lambda: found.extend(events(capture.intake)) or {*ids(found)} >= wanted, "they did not come")
            state = capture.states[name]
            until(lambda: not state.missing, "something is still asked for")
            assert state.lost == (3 if feed.rest.by_time else 0)


@pytest.mark.parametrize("name", sorted(FEEDS.keys() - {*DENSE}))
def test_what_happened_before_it_began_is_taken_as_far_as_one_answer_shows_it(name: str) -> None:
    """Nothing is known of trades from before, where ids do not count them."""
    feed, venue, made = venue_of_kind(name)
    with running(venue) as run:
        run.tell(*map(made, range(1, 50)))
        with live(run, feed, {venue.dialect.symbol: KnownIds(30, [(10, 12)])}) as capture:
            found: list[bytes] = []
            wanted = {venue.dialect.identity(n) for n in range(max(1, 50 - venue.dialect.page), 50)}
            until(
                lambda: found.extend(events(capture.intake)) or {*map(str, ids(found))} >= wanted, "they did not come"
            )
            until(lambda: not capture.states[name].breaks, "it does not know that it has begun")
            assert (capture.states[name].missing, capture.states[name].suspects) == (0, [])
            assert {*map(str, ids(found))} == wanted


@pytest.mark.parametrize("fault", ["freeze_all", "cut_all"])
def test_a_dead_connection_is_noticed_and_made_again(fault: str) -> None:
    feed, venue, made = venue_of_kind("coinbase")
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(*map(made, range(1, 5)))
        run.call(getattr(venue, fault))
        run.tell(*map(made, range(5, 8)))  # nobody hears of these
        found: list[bytes] = []
        until(lambda: venue.listeners > 0, "it was not noticed")
        run.tell(made(8))
        until(lambda: found.extend(events(capture.intake)) or {*ids(found)} >= {*range(1, 9)}, "they did not come")
        assert capture.states["coinbase"].connections == 2


def test_acknowledged_silence_is_looked_into_by_rest() -> None:
    feed, venue, made = venue_of_kind("binance_usdm_agg")
    with running(venue) as run, live(run, feed, {"BTCUSDT": KnownIds(1)}) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        venue.faults.mute = 1.0
        run.call(venue.cut_all)
        until(lambda: venue.counts["mute"] > 0, "it was not connected again")
        run.tell(made(1), made(2), made(3))
        venue.faults.mute = 0.0
        found: list[bytes] = []
        until(lambda: found.extend(events(capture.intake)) or {*ids(found)} >= {2, 3}, "they did not come")
        until(lambda: venue.listeners > 0, "it did not connect again")
        assert capture.states["binance_usdm_agg"].connections >= 3


SPARSE = [name for name, feed in FEEDS.items() if not feed.dense]


@pytest.mark.parametrize("name", SPARSE)
def test_a_break_in_sparse_ids_is_closed_as_far_as_the_venue_shows_it_and_else_listed(name: str) -> None:
    feed, venue, made = venue_of_kind(name)
    if isinstance(venue.dialect, Bitstamp):
        venue.dialect.hour_us, venue.dialect.day_us = 50_000, 100_000  # five trades, ten trades
    else:
        venue.dialect.page = 10
    identity = venue.dialect.identity
    with running(venue) as run, live(run, feed) as capture:
        state = capture.states[name]
        found: list[bytes] = []

        def come(*numbers: int) -> bool:
            found.extend(events(capture.intake))
            return {*map(str, ids(found))} >= {identity(number) for number in numbers} and not state.breaks

        until(lambda: venue.listeners > 0 and come(), "nobody listens")
        run.tell(*map(made, range(1, 5)))
        until(lambda: come(*range(1, 5)), "they did not come")
        run.call(venue.cut_all)
        run.tell(*map(made, range(5, 12)))  # nobody hears of these
        until(lambda: venue.listeners > 0 and come(*range(1, 12)), "they were not asked for")
        assert not state.suspects
        run.call(venue.cut_all)
        run.tell(*map(made, range(12, 40)))
        until(lambda: venue.listeners > 0 and come(*range(30, 40)), "they were not asked for")
        if name == "okx":  # it goes back page by page
            until(lambda: come(*range(1, 40)), "they were not asked for")
            assert not state.suspects
            return
        (suspect,) = state.suspects
        gone = [made(n).time_us for n in range(12, 30)]
        assert suspect.after_us <= gone[0] and gone[-1] <= suspect.before_us
        assert suspect.symbol == venue.dialect.symbol


def test_what_cannot_be_read_may_have_been_trades_so_they_are_asked_for() -> None:
    feed, venue, made = venue_of_kind("bitstamp")
    with running(venue) as run, live(run, feed) as capture:
        state = capture.states["bitstamp"]
        until(lambda: venue.listeners > 0 and not state.breaks, "nobody listens")
        run.tell(made(1))
        venue.truth.append(made(2))
        run.do(lambda: venue.say('{"data":{"id":4,'))
        found: list[int] = []

        def come() -> bool:
            chunk = capture.intake.read(0.0)
            if chunk is not None:
                found.extend(orjson.loads(line)["trade_id"] for line in chunk.lines if line)
            return {*found} == {2, 4}

        until(come, "it was not asked for")
        until(lambda: not state.breaks, "it still doubts")
        assert (state.connections, state.bad_frames, state.suspects) == (1, 1, [])


def test_texts_that_keep_a_connection_alive_are_sent() -> None:
    feed, venue, _ = venue_of_kind("okx")
    heard: list[str] = []
    answer = venue.dialect.answer
    venue.dialect.answer = lambda message: heard.append(message) or answer(message)  # type: ignore[method-assign,func-returns-value]
    with running(venue) as run, live(run, replace(feed, ping_s=0.01)) as capture:
        until(lambda: heard.count("ping") >= 3, "it does not ping")
        assert (capture.states["okx"].bad_frames, capture.states["okx"].connections) == (0, 1)


def test_a_sign_of_life_is_given_when_the_venue_asks_for_it() -> None:
    feed, venue, _ = venue_of_kind("deribit")
    assert isinstance(venue.dialect, Deribit)
    heard: list[str] = []
    answer = venue.dialect.answer
    venue.dialect.answer = lambda message: heard.append(message) or answer(message)  # type: ignore[method-assign,func-returns-value]
    request = venue.dialect.test_request()
    with running(venue) as run, live(run, feed):
        until(lambda: venue.listeners > 0, "nobody listens")
        assert not any("public/test" in message for message in heard)
        run.do(lambda: venue.say(request))
        until(lambda: any("public/test" in message for message in heard), "it does not answer")


def test_a_venue_that_asks_for_a_new_connection_gets_one() -> None:
    feed, venue, made = venue_of_kind("bitstamp")
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.do(lambda: venue.say('{"event":"bts:request_reconnect","channel":"","data":""}'))
        until(lambda: capture.states["bitstamp"].connections == 2 and venue.listeners == 1, "it stays")
        run.tell(made(1))
        found: list[bytes] = []
        until(lambda: found.extend(events(capture.intake)) or ids(found) == [2], "it did not come")


def test_what_a_venue_will_never_show_is_not_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    feed, venue, made = venue_of_kind("okx")
    final = b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'
    venue.dialect.rest = lambda path, asked, truth: final  # type: ignore[method-assign]
    with running(venue) as run, live(run, feed) as capture:
        state = capture.states["okx"]
        until(lambda: venue.listeners > 0 and state.requests > 0, "it never asked")
        run.tell(made(1))
        found: list[bytes] = []
        until(lambda: found.extend(events(capture.intake)) or ids(found) == [1], "it did not come")
        run.call(venue.cut_all)
        until(lambda: len(state.suspects) == 1, "what it may have missed is not listed")
        asked = state.requests
        run.tell(made(2))
        until(lambda: found.extend(events(capture.intake)) or 2 in ids(found), "it did not come")
        until(lambda: not state.breaks, "it still doubts")
        assert state.requests == asked
    assert "51001" in caplog.text


def test_prices_that_are_too_fine_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    feed, venue, made = venue_of_kind("okx")
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(*(made(n)._replace(price="0.000000000123") for n in range(1, 9)))
        until(lambda: capture.states["okx"].trades >= 8, "they did not come")
    told_once = [record for record in caplog.records if "12 digits behind the point" in record.getMessage()]
    assert len(told_once) == 1 and "BTC-USDT" in told_once[0].getMessage()


def test_an_instrument_that_a_subscription_leaves_out_is_told(caplog: pytest.LogCaptureFixture) -> None:
    feed, venue, _ = venue_of_kind("deribit")
    venue.dialect.answer = (  # type: ignore[method-assign]
        lambda message: '{"jsonrpc":"2.0","id":1,"result":["trades.A.100ms"]}' if "subscribe" in message else None
    )
    options = CaptureOptions(timing=FAST)
    with running(venue):
        options = replace(options, addresses={"deribit": venue.address})
        with capturing([(feed, ["A", "B"])], options, SystemClock()):
            until(lambda: "does not serve B" in caplog.text, "it is not told")
    assert "does not serve A" not in caplog.text


def test_silence_from_the_start_is_looked_into_where_nothing_is_known() -> None:
    feed, venue, made = venue_of_kind("binance_usdm_agg")
    venue.faults.mute = 1.0
    with running(venue) as run:
        run.tell(made(1))
        with live(run, feed) as capture:
            until(lambda: venue.counts["mute"] > 0, "nobody subscribed")
            numbers, found = iter(range(2, 10_000)), list[bytes]()

            def noticed() -> bool:
                run.tell(made(next(numbers)))
                found.extend(events(capture.intake))
                return venue.counts["mute"] >= 2 and bool(found)

            until(noticed, "nobody noticed")


def test_silence_is_looked_into_while_a_hole_is_asked_for_in_vain() -> None:
    feed, venue, made = venue_of_kind("binance_usdm_agg")
    rest = venue.dialect.rest

    def answer(path: str, asked: dict[str, str], shown: list[Told]) -> bytes:
        if "fromId" in asked:
            raise ConnectionError  # the server answers with 500
        return rest(path, asked, shown)

    venue.dialect.rest = answer  # type: ignore[method-assign]
    with running(venue) as run, live(run, feed, {"BTCUSDT": KnownIds(9, [(4, 5)])}) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.call(venue.deafen_all)
        run.tell(made(10), made(11))
        until(lambda: capture.states["binance_usdm_agg"].connections >= 2, "nobody noticed")


def test_who_was_told_that_it_is_too_much_keeps_all_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()

    async def passed(seconds: float) -> None:
        clock.sleep(seconds)

    async def play_it() -> None:
        bucket = Bucket(Budget(10, 1), clock)
        await bucket.take()
        bucket.pause(60.0)
        monkeypatch.setattr("ingest.capture.bucket.asyncio.sleep", passed)
        for _ in range(3):
            await bucket.take()

    asyncio.run(play_it())
    assert sum(clock.slept) == pytest.approx(60.3, abs=0.01)


def test_an_answer_that_is_never_any_does_not_stop_the_asking_for_the_rest() -> None:
    feed, venue, made = venue_of_kind("coinbase")
    rest = venue.dialect.rest
    venue.dialect.rest = (  # type: ignore[method-assign]
        lambda path, asked, shown: b"<html>" if asked.get("after") == "4" else rest(path, asked, shown)
    )
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(made(1), made(2))
        venue.truth.append(made(3))
        run.tell(made(4))
        venue.truth.append(made(5))
        run.tell(made(6))
        found: list[int] = []
        bad: list[bytes] = []

        def filled() -> bool:
            while (chunk := capture.intake.read(0.0)) is not None and chunk.lines:
                bad.extend(chunk.original(i) for i in chunk.faults)
                found.extend(ids([line for line in chunk.lines if line]))
            return 5 in found and capture.states["coinbase"].lost == 1

        until(filled, "5 did not come")
        assert bad == [b"<html>"]  # the same is told once


def test_a_session_ends_when_it_is_told_to_while_a_frame_comes() -> None:
    async def play_it() -> None:
        feed = FEEDS["kraken"]
        intake = Intake(asyncio.get_running_loop())
        state = VenueState(feed, feed.symbols)
        session = Session(state, "ws://venue", feed.symbols, intake, TIMING, SystemClock(), print)
        socket = OneFrame()
        listening = asyncio.create_task(session._listen(socket))  # type: ignore[arg-type]
        await socket.asked.wait()
        socket.frame.set_result(b'{"channel":"heartbeat"}')
        listening.cancel()
        done, _ = await asyncio.wait({listening}, timeout=5)
        listening.cancel()
        assert done and listening.cancelled()

    asyncio.run(play_it())


class OneFrame:
    """A socket that has one frame, once somebody gives it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.frame = asyncio.get_running_loop().create_future()

    async def recv(self, decode: bool) -> bytes:
        if self.asked.is_set():
            await asyncio.Event().wait()
        self.asked.set()
        return bytes(await self.frame)


def test_a_quiet_market_is_no_reason_to_connect_again() -> None:
    feed, venue, made = venue_of_kind("kraken", snapshot=5)
    with running(venue) as run:
        run.tell(*map(made, range(1, 9)))
        with live(run, feed) as capture:
            until(lambda: capture.states["kraken"].requests >= 2, "it never asked")
            assert capture.states["kraken"].connections == 1


def test_the_next_connection_begins_before_the_venue_ends_one() -> None:
    feed, venue, made = venue_of_kind("binance_spot", session_s=0.6)
    with running(venue) as run, live(run, replace(feed, session_s=0.6)) as capture:
        numbers = iter(range(1, 10_000))
        found: list[bytes] = []

        def handed_over() -> bool:
            run.tell(made(next(numbers)))
            found.extend(events(capture.intake))
            return venue.counts["connections"] >= 4

        until(handed_over, "it did not connect again")
        until(lambda: found.extend(events(capture.intake)) or ids(found)[-1] == venue.truth[-1].number, "not all came")
        state = capture.states["binance_spot"]
        first = min(ids(found))
        assert {*ids(found)} == {*range(first, venue.truth[-1].number + 1)}
        assert (state.refilled, state.state) == (0, "live")  # nothing was missed meanwhile


def test_what_the_venue_does_not_show_is_listed_as_lost() -> None:
    feed, venue, made = venue_of_kind("binance_spot", hidden={5, 6})
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(*map(made, range(1, 5)))
        venue.truth += [made(5), made(6)]
        run.tell(made(7))
        state = capture.states["binance_spot"]
        until(lambda: state.lost == 2, "it was not given up")
        assert state.missing == 0
        # It comes all the same: then it is not missing any more.
        run.do(lambda: venue.say(venue.dialect.frame(made(5), False)))
        until(lambda: state.lost == 1, "it is still missed")


def test_an_id_that_no_market_trade_has_is_no_gap() -> None:
    feed, venue, made = venue_of_kind("binance_usdm")
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(made(1), made(2)._replace(void=True), made(3))
        found: list[bytes] = []
        until(lambda: found.extend(events(capture.intake)) or len(found) == 2, "they did not come")
        state = capture.states["binance_usdm"]
        assert (ids(found), state.missing, state.lost) == ([1, 3], 0, 0)
        assert [(void.number, void.why) for void in state.voids] == [(2, "NA")]


def test_a_heartbeat_shows_what_a_quiet_socket_did_not() -> None:
    feed, venue, made = venue_of_kind("coinbase")
    assert isinstance(venue.dialect, Coinbase)
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.tell(made(1))
        venue.truth += [made(2), made(3)]
        beat = venue.dialect.heartbeat(3)
        run.do(lambda: venue.say(beat))
        found: list[bytes] = []
        until(lambda: found.extend(events(capture.intake)) or {*ids(found)} == {1, 2, 3}, "they did not come")


def test_a_symbol_that_is_refused_is_told_and_tried_again() -> None:
    feed, venue, _ = venue_of_kind("kraken")
    venue.dialect.answer = (  # type: ignore[method-assign]
        lambda _: '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false}'
    )
    with running(venue) as run, live(run, feed, timing=FAST._replace(subscribe_s=0.2)) as capture:
        state = capture.states["kraken"]
        until(lambda: state.connections >= 2, "it was not tried again")
        assert state.state in {"denied", "connecting"}


def test_frames_that_are_none_are_handed_on_with_their_bytes() -> None:
    feed, venue, made = venue_of_kind("coinbase")
    with running(venue) as run, live(run, feed) as capture:
        until(lambda: venue.listeners > 0, "nobody listens")
        run.do(lambda: venue.say("<html>"))
        run.tell(made(1))
        chunks = []

        def both() -> bool:
            chunk = capture.intake.read(0.0)
            if chunk is not None and chunk.lines:
                chunks.append(chunk)
            return sum(len(each.lines) for each in chunks) == 2

        until(both, "they did not come")
        ((fault, original, source),) = [
            (chunk.faults[i].reason, chunk.original(i), chunk.source) for chunk in chunks for i in chunk.faults
        ]
        assert (fault, original, source) == ("not-json", b"<html>", "capture coinbase")


def test_a_writer_that_waits_makes_the_venue_wait() -> None:
    async def play_it() -> None:
        intake = Intake(asyncio.get_running_loop(), most_bytes=13)
        await intake.put("x", "frame 1", b"0123456789", [b"one"])
        second = asyncio.create_task(intake.put("x", "frame 2", b"01", [b"two"]))
        await asyncio.sleep(0)
        assert not second.done() and intake.waiting_bytes == 13
        chunk = await asyncio.to_thread(intake.read, 0.0)
        assert chunk is not None and chunk.lines == [b"one"]
        await asyncio.wait_for(second, 10)
        intake.end()
        chunk = intake.read(0.0)
        assert chunk is not None and (chunk.lines, chunk.position(0)) == ([b"two"], "frame 2")
        assert intake.read(0.0) is None

    asyncio.run(play_it())


def test_what_rest_answers_showed_is_bounded_too_and_is_its_own_original() -> None:
    async def play_it() -> None:
        intake = Intake(asyncio.get_running_loop(), most_bytes=6)
        await intake.put("x", "refill of A 1..2", b"", [b"one", b"two"])
        assert intake.waiting_bytes == 6
        more = asyncio.create_task(intake.put("x", "refill of A 3..3", b"", [b"three"]))
        await asyncio.sleep(0)
        assert not more.done()
        chunk = await asyncio.to_thread(intake.read, 0.0)
        assert chunk is not None and [chunk.original(i) for i in range(2)] == [b"one", b"two"]
        await asyncio.wait_for(more, 10)

    asyncio.run(play_it())


def test_a_frame_of_many_trades_is_not_handed_over_once_for_each() -> None:
    async def play_it() -> None:
        intake = Intake(asyncio.get_running_loop())
        lines = [b"%0150d" % number for number in range(1_000)]
        await intake.put("x", "frame 1", b",".join(lines), lines)
        await intake.put("x", "frame 2", b"a frame", [b"one", b"two"])
        chunk = intake.read(0.0)
        assert chunk is not None and chunk.original(3) == lines[3]
        assert chunk.original(1_001) == b"a frame"
        assert len(handed.encode(chunk)) < 1_000_000

    asyncio.run(play_it())


def test_a_tracker_knows_what_is_missing() -> None:
    tracker = Tracker("A")
    for number in (5, 6, 9, 3):
        tracker.hear(number, number, now_s=number)
    assert [(hole.first, hole.last, hole.after_us, hole.before_us) for hole in tracker.due(10, 1)] == [(7, 8, 6, 9)]
    assert not tracker.due(9.5, 1)
    assert tracker.hear(8, 8, 10) and not tracker.hear(8, 8, 10)
    assert tracker.missing == 1
    assert tracker.lose(1, 100) == 1 and tracker.missing == 0 and tracker.lost[0].first == 7
    tracker.newest(12, 11)
    assert [(hole.first, hole.last) for hole in tracker.due(20, 1)] == [(10, 12)]


@pytest.mark.parametrize("seed", range(20))
def test_a_tracker_is_right_whatever_the_order(seed: int) -> None:
    draw = random.Random(seed)
    numbers = [number for number in range(1, 60) if draw.random() < 0.8]
    order = sorted(numbers, key=lambda number: number + draw.random() * 10)
    tracker, heard = Tracker("A"), set[int]()
    tracker.know(0, [], 0)
    for number in order:
        tracker.hear(number, number, 0)
        heard.add(number)
        missing = {n for one in tracker.holes for n in range(one.first, one.last + 1)}
        assert missing == set(range(1, max(heard) + 1)) - heard
        assert all(a.last + 1 < b.first for a, b in zip(tracker.holes, tracker.holes[1:], strict=False))


def test_a_recording_without_its_end_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "kraken-20261201T000000Z-0001.gz"
    data = gzip.compress(b"".join(b'%d {"channel":"heartbeat"}\n' % n for n in range(1, 2000)))
    path.write_bytes(data[:-12])
    found = [frame.at_ns for frame in frames_of(path)]
    assert found and found == [*range(1, len(found) + 1)]
    path.write_bytes(gzip.compress(b"hello\n"))
    with pytest.raises(UnreadableFileError, match="line 1"):
        list(frames_of(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(UnreadableFileError):
        list(frames_of(path))
    with pytest.raises(SourceError, match="no recording"):
        recordings(tmp_path / "nothing")


def test_a_disk_that_is_full_ends_a_recording_for_a_while_and_not_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    recorder = Recorder(tmp_path, "kraken", clock)
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda *_: Full())
        recorder.write(1, b"one")
        recorder.flush()
        recorder.write(2, b"two")
        assert recorder.left_out == 2
    clock.passed_s += 60
    recorder.write(3, b"three")
    recorder.close()
    (file,) = recordings(tmp_path)
    assert [frame.data for frame in frames_of(file)] == [b"three"]


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_symbols_that_nobody_asked_for_are_taken() -> None:
    state = VenueState(FEEDS["binance_spot"], ["BTCUSDT"])
    frame = b'{"data":{"e":"trade","s":"ETHUSDT","t":1,"p":"1","q":"1","T":1790649901913,"m":true}}'
    assert len(state.take(FEEDS["binance_spot"].parse(frame), 0)) == 1
    assert [*state.trackers] == ["BTCUSDT", "ETHUSDT"]


# ------------------------------------------------------------------------------------------------------------- smoke


def look(venue: Venue, feed: Feed, change: Callable[[str], str] = lambda frame: frame, first: str = "") -> Smoke:
    """At a venue that says a trade again and again, and `first` before all."""
    number = iter(range(1, 10**6))
    frame = venue.dialect.frame

    async def smoked() -> Smoke:
        async with venue.serve():

            async def say() -> None:
                while not venue.listeners:
                    await asyncio.sleep(0.001)
                if first:
                    await venue.say(first)
                while True:
                    n = next(number)
                    trade = told(feed.symbols[0], n, START_US + n * 1000, DRAW, venue.dialect.unit_us)
                    venue.truth.append(trade)
                    await venue.say(change(frame(trade, False)))
                    await asyncio.sleep(0.01)

            saying = asyncio.create_task(say())
            options = CaptureOptions({feed.venue: venue.address}, timing=FAST)
            (found,) = await smoke_all([replace(feed, symbols=feed.symbols[:1])], options, SystemClock(), 0.5)
            saying.cancel()
            return found

    return asyncio.run(smoked())


def test_a_venue_that_speaks_as_it_did_shows_no_difference() -> None:
    for name in ("okx", "hyperliquid", "bybit_linear", "kraken"):
        feed, venue, _ = venue_of_kind(name)
        rows = {"bybit_linear": '"L":"PlusTick",'}.get(name, "")
        found = look(venue, feed, lambda frame, rows=rows: frame.replace('"BT"', rows + '"BT"'))
        assert found.differs == [] and found.trades > 1 and found.frames > found.trades and found.rest, found
        assert found.kinds.keys() >= {"subscribed", "trade"}


def test_what_a_venue_says_otherwise_is_told() -> None:
    feed, venue, _ = venue_of_kind("okx")
    found = look(venue, feed, lambda frame: frame.replace('"px"', '"note": 1, "px"'), "<html>")
    assert (found.added, found.lacking, found.unread) == ({"note"}, set(), 1)
    assert found.first_unread is not None and found.first_unread[1] == "<html>"
    assert [text.partition(":")[0] for text in found.differs] == [
        "1 frames cannot be read, the first",
        "trade frames have members that are new",
    ]
    feed, venue, _ = venue_of_kind("kraken")
    found = look(venue, feed, lambda frame: frame.replace('"ord_type":"market",', ""))
    assert found.differs == ["trade frames lack: ord_type"]


def test_a_venue_that_does_not_answer_is_told() -> None:
    feed, venue, _ = venue_of_kind("coinbase", faults=Faults(broken=1.0, mute=1.0))
    venue.dialect.answer = lambda _: '{"type":"error","message":"no","reason":"it is closed"}'  # type: ignore[method-assign]
    found = look(venue, feed)
    assert not found.subscribed and found.rest is None
    assert found.differs == [
        "it refuses: no: it is closed",
        "the subscription was not taken",
        "REST: it answers 502: <html>",
    ]
    nobody = CaptureOptions({"kraken": Address("ws://127.0.0.1:1", "http://127.0.0.1:1")}, timing=FAST)
    (found,) = asyncio.run(smoke_all([FEEDS["kraken"]], nobody, SystemClock(), 1.0))
    assert "the connection ended: no connection" in found.differs[0] and len(found.differs) == 3


def test_smoke_is_a_command_whose_exit_code_says_whether_something_differs() -> None:
    _, venue, made = venue_of_kind("kraken", snapshot=3)
    with running(venue) as run:
        run.tell(*map(made, range(1, 5)))
        urls = f"kraken={venue.address.socket},kraken.rest={venue.address.rest}"
        words = ["capture", "smoke", "kraken", "--seconds", "1", "--json"]
        venue.dialect.answer = lambda _: '{"method":"subscribe","success":true}'  # type: ignore[method-assign]
        result = CliRunner().invoke(main, words, env={"SLACKWATER_FEED_URLS": urls})
        assert result.exit_code == 0, result.output
        (facts,) = orjson.loads(result.stdout)["venues"]
        assert (facts["differs"], facts["trades"], facts["rest"]) == ([], 3, 4)
        venue.dialect.answer = lambda _: '{"method":"subscribe","success":false,"error":"no"}'  # type: ignore[method-assign]
        result = CliRunner().invoke(main, words[:-1], env={"SLACKWATER_FEED_URLS": urls})
        assert result.exit_code == 1 and "it refuses: no" in result.output


def test_a_mistake_in_one_venue_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    good, venue, made = venue_of_kind("coinbase")
    bad, other, _ = venue_of_kind("kraken")
    frames: list[bytes] = []

    def broken(frame: bytes) -> list[Any]:
        frames.append(frame)
        raise ZeroDivisionError

    bad = replace(bad, parse=broken)
    with running(venue) as run, running(other):
        addresses = {good.venue: venue.address, bad.venue: other.address}
        options = CaptureOptions(addresses, timing=FAST)
        wanted = [(good, [venue.dialect.symbol]), (bad, [other.dialect.symbol])]
        with capturing(wanted, options, SystemClock()) as capture:
            until(lambda: len(frames) >= 2, "it did not begin again")
            run.tell(made(1))
            found: list[bytes] = []
            until(lambda: found.extend(events(capture.intake)) or ids(found) == [1], "the other venue ended")
            assert capture.states["kraken"].why == "ended by ExceptionGroup"
            assert capture.states["coinbase"].connections == 1
