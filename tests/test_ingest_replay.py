"""Replays keep the time of the events; the live loop is a pure function of the pass, so a restart repeats itself.

event time   0      1 s        5 s          the clock is turned by the sleeps of the code itself
at 2x        0      0.5 s      2.5 s
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import replay as module
from ingest.chunk import Chunk, Source
from ingest.errors import SpeedError
from ingest.files.sources import open_source
from ingest.live import Live, Loop, make_loop, pass_at, pass_events
from ingest.replay import Replay, parse_speed
from ingest.sample_data import open_sample
from slackwater.streams.trades import TRADES
from tests.ingest_kit import T0, HandClock, all_lines, ids, line, memory_house, reasons, rows
from tests.profiles import examples

SECOND = 1_000_000


def source(tmp_path: Path, lines: list[bytes]) -> Source:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    return open_source(TRADES, str(path))


def timed(replay: Replay, clock: HandClock) -> list[tuple[float, bytes]]:
    """Each line with the seconds after which it came."""
    start, found = clock.elapsed_s(), []
    while (chunk := replay.read(0.25)) is not None:
        found += [(round(clock.elapsed_s() - start, 6), one) for one in chunk.lines]
    return found


def times(lines: list[bytes]) -> list[int]:
    return [json.loads(one)["time"] for one in lines]


# -------------------------------------------------------------------------------------------------------------- replay


def test_speeds() -> None:
    assert [parse_speed(text) for text in ("max", "1x", "10x", "0.5x")] == [None, 1.0, 10.0, 0.5]
    for text in ("", "x", "0x", "-1x", "1", "fast", "nanx", "1e3x"):
        with pytest.raises(SpeedError, match="1x, 10x"):
            parse_speed(text)


@pytest.mark.parametrize("speed", [1.0, 10.0, 0.5])
def test_a_replay_keeps_the_time_of_the_events(speed: float, tmp_path: Path) -> None:
    after = [0, 1.0, 1.0, 1.5, 60.0]
    lines = [line(i, time=T0 + round(s * SECOND)) for i, s in enumerate(after)]
    clock = HandClock()
    found = timed(Replay(TRADES, source(tmp_path, lines), speed, clock), clock)
    assert [one for _, one in found] == lines
    assert [at for at, _ in found] == pytest.approx([s / speed for s in after], abs=1e-4)
    assert max(clock.slept) <= 0.25


def test_a_replay_is_in_order_of_time_across_streams_and_stable(tmp_path: Path) -> None:
    lines = [
        line(1, time=T0 + 5),
        line(2, time=T0 + 9),
        line(3, time=T0),
        line(4, time=T0 + 5),
        b"bad",
        line(5, time=T0),
    ]
    replay = Replay(TRADES, source(tmp_path, lines), None, HandClock())
    (chunk,) = [one for one in [replay.read(1.0)] if one is not None]
    assert [chunk.position(i) for i in range(6)] == ["line 3", "line 6", "line 1", "line 4", "line 5", "line 2"]
    assert chunk.original(4) == b"bad"
    assert replay.read(1.0) is None


def test_a_replay_of_nothing_good_still_refuses_it(tmp_path: Path) -> None:
    house = memory_house(tmp_path / "home")
    with house.writer() as writer:
        summary = writer.ingest(Replay(TRADES, source(tmp_path, [b"bad", b"worse"]), 1.0, house.clock))
    assert summary.refused == {"not-json": 2} and reasons(house.log) == ["not-json"] * 2


def test_faults_of_the_source_go_through_a_replay(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("venue,symbol,trade_id,time,price,quantity,side\nx,A\nx,A,1,2025-10-06T00:00:00Z,1,1,buy\n")
    house = memory_house(tmp_path / "home")
    with house.writer() as writer:
        summary = writer.ingest(Replay(TRADES, open_source(TRADES, str(path)), 1.0, house.clock))
    assert (summary.accepted, summary.refused) == (1, {"bad-row": 1})


def test_a_replay_that_memory_would_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 3)
    with pytest.raises(SpeedError, match="more than 3 lines"):
        Replay(TRADES, source(tmp_path, [line(i) for i in range(4)]), 1.0, HandClock())


def test_a_replay_by_ingest_counts_everything(tmp_path: Path) -> None:
    house = memory_house(tmp_path / "home")
    lines = [line(i, time=T0 + i * 50_000) for i in range(200)]
    with house.writer() as writer:
        summary = writer.ingest(Replay(TRADES, source(tmp_path, lines), 10.0, house.clock))
    assert summary.accepted == 200 and summary.records == 200  # 5 ms apart: one trade a record
    assert ids(house.log) == list(range(200))


def test_the_sample_in_order_of_time_is_the_sample(tmp_path: Path) -> None:
    plain = all_lines(open_sample())
    ordered = all_lines(Replay(TRADES, open_sample(), None, HandClock()))
    assert sorted(plain) == sorted(ordered)
    assert times(ordered) == sorted(times(plain))


# ---------------------------------------------------------------------------------------------------------------- live


@pytest.fixture(scope="module")
def loop() -> Loop:
    return make_loop(open_sample())


def test_a_pass_is_the_sample_moved_by_whole_spans_and_by_whole_id_ranges(loop: Loop) -> None:
    assert loop.span_us % SECOND == 0 and loop.start_us % SECOND == 0
    assert loop.span_us == 651 * SECOND
    zero, seven = pass_events(loop, 0), pass_events(loop, 7)
    assert zero == loop.events
    moved = seven.column("time").to_numpy() - zero.column("time").to_numpy()
    assert set(moved.tolist()) == {7 * loop.span_us}
    for name in ("venue", "symbol", "price", "quantity", "side"):
        assert seven.column(name) == zero.column(name)


@given(number=st.integers(0, 10**6))
@examples(20)
def test_passes_follow_each_other_without_a_common_id_or_second(loop: Loop, number: int) -> None:
    this, after = pass_events(loop, number), pass_events(loop, number + 1)
    assert this == pass_events(loop, number)
    assert this.column("time").to_numpy().max() // SECOND < after.column("time").to_numpy().min() // SECOND + 1
    assert {pass_at(loop, t) for t in (int(this.column("time")[0].as_py()), int(this.column("time")[-1].as_py()))} == {
        number
    }
    symbols = np.array([f"{v}:{s}" for v, s in zip(this["venue"].to_pylist(), this["symbol"].to_pylist(), strict=True)])
    for symbol in set(symbols.tolist()):
        here = symbols == symbol
        ids = this.column("trade_id").to_numpy()[here]
        assert len(set(ids.tolist())) == len(ids)
        assert ids.max() < after.column("trade_id").to_numpy()[here].min()


def test_no_stream_falls_silent_before_a_pass_ends(loop: Loop) -> None:
    names = np.array(
        [f"{v}:{s}" for v, s in zip(loop.events["venue"].to_pylist(), loop.events["symbol"].to_pylist(), strict=True)]
    )
    times = loop.events.column("time").to_numpy()
    for name in sorted(set(names.tolist())):
        assert loop.start_us + loop.span_us - times[names == name].max() < 10 * SECOND, name


def clock_in(loop: Loop, number: int, after_s: float) -> HandClock:
    """A clock `after_s` seconds into a pass."""
    return HandClock(wall_us=loop.start_us + number * loop.span_us + round(after_s * SECOND))


def drawn(live: Live, upto_us: int, clock: HandClock) -> list[Chunk]:
    found = []
    while clock.now_us() < upto_us:
        found.append(live.read(0.25))
    return found


def test_live_begins_with_the_whole_pass_before_and_then_keeps_time(loop: Loop) -> None:
    clock = clock_in(loop, 100_000, 300.0)
    live = Live(loop, clock)
    before = len(loop.events)
    passed = pass_events(loop, 100_000).column("time").to_numpy()
    already = int(np.searchsorted(passed, clock.now_us(), side="right"))
    history: list[bytes] = []
    while len(history) < before + already:
        history += live.read(0.25).lines
    assert clock.slept == []
    assert times(history) == [*pass_events(loop, 99_999).column("time").to_pylist(), *passed[:already].tolist()]
    later = drawn(live, clock.now_us() + 20 * SECOND, clock)
    for chunk in later:
        assert all(t <= clock.now_us() for t in times(chunk.lines))
    came = [t for chunk in later for t in times(chunk.lines)]
    assert came == passed[already : already + len(came)].tolist() and came


def test_live_never_ends(loop: Loop) -> None:
    clock = clock_in(loop, 5, loop.span_us / SECOND - 1.0)
    live = Live(loop, clock)
    chunks = drawn(live, clock.now_us() + 8 * SECOND, clock)
    found = [t for chunk in chunks for t in times(chunk.lines)]
    assert {pass_at(loop, t) for t in found} == {4, 5, 6}
    assert found == sorted(found)


@pytest.mark.crash
def test_a_restart_of_live_sends_the_same_events_and_they_are_dropped(loop: Loop, tmp_path: Path) -> None:
    house = memory_house(tmp_path)
    clock = house.clock = clock_in(loop, 100_000, 3.0)
    house.log.now_ms = clock.now_us() // 1000
    start = clock.now_us()
    for stopped_at_s in (2.0, 6.0):
        with house.writer() as writer:
            writer.ingest(Live(loop, clock), stop=lambda: clock.now_us() >= start + stopped_at_s * SECOND)  # noqa: B023
    now = clock.now_us()
    expected = [
        event
        for number in (99_999, 100_000)
        for event in zip(
            *(pass_events(loop, number).column(c).to_pylist() for c in ("symbol", "venue", "trade_id", "time")),
            strict=True,
        )
        if event[3] <= now
    ]
    found = [(row["symbol"], row["venue"], row["trade_id"], row["time"]) for row in rows(house.log)]
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(expected)
    assert writer.summary().duplicates >= len(loop.events) and writer.summary().conflicts == 0
    assert reasons(house.log) == []
