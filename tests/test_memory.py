"""What the service keeps in memory is bounded by bytes, and what many odd requests leave behind has an end.

A process of its own serves a world; its resident size is what the kernel says of it. The bounds are made small, so that
a few thousand requests fill them; `crash` marks the run of 50,000 requests, with larger ones.
"""

import gc
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil
import pytest

from serving.query.answer import EncodedBars
from serving.store.fold import Ends
from serving.store.row_cache import row_bytes, rows_bytes
from slackwater.core.heap import give_back
from slackwater.deltas.cell import Cell
from slackwater.views.bars import BARS
from slackwater.views.rows import Row
from tests.odd_requests import draw, fill, send
from tests.serving_world import NOON, World

MB = 1 << 20


@contextmanager
def served(trades: int, *arguments: str) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a service in a process of its own, and the process."""
    command = [sys.executable, "-m", "tests.odd_requests", str(trades), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.stdin.close()


def caches(port: int) -> dict[str, tuple[int, int]]:
    """By cache: what it takes, and its bound, as /metrics says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {"": {}, "_limit": {}}
    for which, name, value in re.findall(
        r'^slackwater_cache(_limit)?_bytes\{cache="(\w+)"\} (\S+)', text, re.MULTILINE
    ):
        found[which][name] = float(value)
    return {name: (int(size), int(found["_limit"][name])) for name, size in found[""].items()}


def rounds(port: int, process: psutil.Process, count: int, seeds: list[int]) -> list[int]:
    """Resident MB after each round of `count` requests; every cache keeps its bound meanwhile."""
    sizes = []
    for seed in seeds:
        statuses = send(port, draw(seed, count))
        assert max(statuses) < 500, statuses
        held = caches(port)
        assert held.keys() == {"rows", "replies", "encoded", "cursors"}
        assert all(size <= most for size, most in held.values()), held
        sizes.append(process.memory_info().rss // MB)
    return sizes


def test_after_the_caches_are_full_requests_leave_nothing_behind() -> None:
    """The last rounds, of new requests and of the same again, do not all take more than those before them did.

    A heap breathes by some MB from round to round; what is held is held in each.
    """
    with served(600, "4") as (port, process):
        sizes = rounds(port, process, 700, [1, 2, 3, 4, 5, 6, 6])
        filled = caches(port)
    assert filled["replies"][0] > filled["replies"][1] // 2, "the rounds are too short to say anything"
    assert min(sizes[4:]) - max(sizes[2:4]) <= 4, sizes


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_fifty_thousand_odd_requests_show_a_plateau() -> None:
    """Ten rounds of 5,000, the last three the same, with bounds that the first round fills; the figures are printed."""
    with served(12_000, "16") as (port, process):
        sizes = [process.memory_info().rss // MB, *rounds(port, process, 5_000, [*range(1, 9), 8, 8])]
        held = caches(port)
    print("resident MB at first and after each 5,000 requests:", *sizes)
    print("kept:", {name: f"{size / MB:.0f} of {most / MB:.0f} MB" for name, (size, most) in held.items()})
    assert max(sizes[-3:]) - max(sizes[2:-3]) <= 16, sizes
    assert sizes[-1] - sizes[0] <= 2.5 * sum(most for _, most in held.values()) / MB, sizes


def deep(value: Any, seen: set[int]) -> int:
    """What an object takes with all that it alone refers to."""
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    return sys.getsizeof(value) + sum(deep(each, seen) for each in gc.get_referents(value))


def test_rows_take_about_what_is_counted_for_them() -> None:
    key = ("binance_spot", "BTCUSDT")
    rows = [Row(key, NOON + i, tuple(10**9 + 1000 * i + at for at in range(len(BARS.columns)))) for i in range(1_000)]
    real = deep(rows, set())
    assert 0.6 * rows_bytes(rows) <= real <= 1.2 * rows_bytes(rows)


def test_encoded_bars_of_all_forms_have_one_bound_and_what_is_asked_again_stays() -> None:
    rows = [Row(("x", f"S{i}"), i, (i,) * 10) for i in range(2_000)]
    one = row_bytes(rows[0])
    encoded = EncodedBars(400 * one)
    made: list[Row] = []

    def encode(row: Row) -> bytes:
        made.append(row)
        return b"%d" % row.start

    for form in ("a", "b", "c"):
        for low in range(0, len(rows), 50):
            assert encoded.of(form, rows[low : low + 50], encode) == [b"%d" % row.start for row in rows[low : low + 50]]
            assert encoded.of(form, rows[:5], encode) == [b"0", b"1", b"2", b"3", b"4"]
            assert encoded.size <= 400 * one + 60 * 2 * one
    assert len(made) == 3 * len(rows), "the first five were asked for all the time"
    for older, newer in pairwise(made[:50]):
        assert older.start + 1 == newer.start


def test_cells_that_cursors_stand_on_are_bounded_by_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.store.hot.MAX_OPEN_CELL_BYTES", 50_000)
    hot, snapshot = world.service.hot, world.service.watch.snapshot
    assert snapshot is not None
    (ends,) = [ends for ends in (hot.ends(snapshot.key, "bars", [p]) or {} for p in (1,)) for ends in ends.values()]
    cell = world.cell(BARS, 1, 0, 2)
    for upto in range(2, 200):
        open_cell = Cell(cell.delta_key, 0, upto, cell.rows * 3)
        hot.remember([Ends(ends.fold, ends.count, open_cell, upto, True, ends.lock)])
        hot.remember([Ends(ends.fold, ends.count, open_cell, upto, True, ends.lock)])
        assert 0 < hot.open_cell_bytes <= 50_000


@pytest.fixture
def world(tmp_path: Any) -> Iterator[World]:
    found = World(tmp_path)
    fill(found, 30)
    yield found
    found.close()


def test_the_heap_is_told_to_give_back() -> None:
    """In a process of its own: it stays so."""
    code = "from slackwater.core.heap import give_back; print(give_back())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(give_back.__module__ == "slackwater.core.heap" and sys.platform == "linux")
