"""Frames and lines that are broken at random, through the decoder and the writer, into the log or the dead letters.

`python -m tests.feeds.mutated --count 100000` plays so many; a test plays some thousands.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ingest.capture.recording import Recorder, recordings, venue_of
from ingest.capture.replayed import Replayed
from ingest.chunk import of_lines
from ingest.feeds.feed import Feed
from ingest.feeds.registry import FEEDS
from slackwater.core.clock import SystemClock
from tests.ingest_kit import House, letters, line, memory_house, rows
from tests.test_feed_fixtures import FILES, messages

WORDS = [b"null", b"-1", b"1e999", b"true", b"[]", b"{}", b'"', b"9" * 40, b"\\u0000", b"0x1", b"NaN", b"\xff", b","]
SOCKET = {"trade", "agg_trade", "last_trade", "snapshot", "trade_placeholder", "subscribed", "error", "heartbeat"}


class Played(NamedTuple):
    """How many were given, what became of their trades, and the reasons of the letters."""

    frames: int
    lines: int
    accepted: int
    duplicates: int
    refused: int
    reasons: Counter[str]


def mutated(text: bytes, draw: random.Random) -> bytes:
    """The same with one to three mistakes in it."""
    found = bytearray(text)
    for _ in range(draw.randrange(1, 4)):
        if not found:
            break
        at, kind = draw.randrange(len(found)), draw.choice([0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5])
        if kind == 5:
            digits = [i for i, byte in enumerate(found) if chr(byte).isdigit()]
            if digits:
                found[draw.choice(digits)] = draw.choice(b"0123456789.-e")
        elif kind == 0:
            found[at] = draw.randrange(256)
        elif kind == 1:
            del found[at : at + draw.randrange(1, 20)]
        elif kind == 2:
            found[at:at] = found[at : at + draw.randrange(1, 20)]
        elif kind == 3:
            found[at:at] = draw.choice(WORDS)
        else:
            del found[at:]
    return bytes(found)


def frames() -> list[tuple[Feed, bytes]]:
    """Every message of a socket that is known of a feed."""
    found = []
    for path in FILES:
        for message in messages(path):
            venue = path.stem + ("_agg" if message["kind"] == "agg_trade" else "")
            if venue in FEEDS and message["kind"] in SOCKET:
                found.append((FEEDS[venue], message["text"].encode()))
    return found


def play(count: int, seed: int, folder: Path) -> Played:
    """Half of `count` as frames, half as lines. Raises AssertionError where one is lost, or has no letter."""
    draw, clock = random.Random(seed), SystemClock()
    house: House = memory_house(folder / "home")
    house.clock = clock  # type: ignore[assignment]
    house.log.now_ms = clock.now_us() // 1000  # type: ignore[attr-defined]
    recorders: dict[str, Recorder] = {}
    known = frames()
    for number in range(count // 2):
        feed, text = draw.choice(known)
        if feed.venue not in recorders:
            recorders[feed.venue] = Recorder(folder / "raw", feed.venue, clock)
        recorders[feed.venue].write(number, mutated(text, draw))
    for recorder in recorders.values():
        recorder.close()
    given = 0
    with house.writer() as writer:
        source = Replayed([(FEEDS[venue_of(path)], path) for path in recordings(folder / "raw")], clock)
        while (chunk := source.read(0.0)) is not None:
            given += len(chunk.lines)
            if chunk.lines:
                writer.accept(chunk)
        left = count - count // 2
        while left:
            some = [mutated(line(draw.randrange(10**6)), draw) for _ in range(min(5000, left))]
            left -= len(some)
            given += len(some)
            writer.accept(of_lines("mutated lines", some))
        writer.flush()
        done = writer.summary()
    refused = sum(done.refused.values()) + done.conflicts
    kept = letters(house.log)
    assert done.accepted + done.duplicates + refused == given
    assert len(kept) == refused
    assert all(headers["reason"] and headers["error"] and headers["source"] for headers, _ in kept)
    assert len(rows(house.log)) == done.accepted
    reasons = Counter(headers["reason"] for headers, _ in kept)
    return Played(source.done, count - count // 2, done.accepted, done.duplicates, refused, reasons)


def main(arguments: list[str]) -> int:
    """Play them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = play(given.count, given.seed, Path(folder))
    took_s = time.monotonic() - began
    print(f"{found.frames:,} frames and {found.lines:,} lines in {took_s:.0f} s: {found.accepted:,} events,")
    print(f"{found.duplicates:,} duplicates, {found.refused:,} refused, each in the dead letters once:")
    print(", ".join(f"{reason} {count:,}" for reason, count in found.reasons.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
