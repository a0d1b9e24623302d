"""Fault points: each name stands in the code, orders are never guessed, and the process that they end is a real one.

What must hold after a fault is in the crash matrix, `test_crash_*.py`.
"""

import errno
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import main
from slackwater.core.errors import SettingError, StorageError
from slackwater.core.faults import POINTS, VARIABLE, arm, reach
from tests.crash_kit import drawn
from tests.test_imports import ROOMS

ROOT = Path(__file__).parents[1]
STEPS = {
    "audit",
    "mark",
    "archive",
    "compute",
    "prove",
    "correct",
    "restate",
    "compact",
    "publish",
    "move",
    "expire",
    "backup",
    "restore",
    "ingest",
    "read",
    "emit",
    "commit",
    "claim",
    "instruments",
}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm({})


def test_every_point_stands_in_the_code_once_and_no_other_does() -> None:
    found: Counter[str] = Counter()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            found.update(re.findall(r'\breach\("([^"]*)"\)', path.read_text(encoding="utf-8")))
    assert found == Counter(POINTS)


def test_every_step_has_a_point_before_and_after_it() -> None:
    assert {point.partition(".")[0] for point in POINTS} == STEPS
    assert {f"{step}.{side}" for step in STEPS for side in ("before", "after")} <= set(POINTS)


def test_every_point_is_visited_by_the_crash_matrix() -> None:
    names = ("batch", "correct", "move", "expire", "speed", "ingest", "backup")
    batch, correct, move, expire, speed, ingest, backup = (import_module(f"tests.test_crash_{name}") for name in names)
    instruments = import_module("tests.test_instruments_ledger")
    visited = [
        *batch.POINTS_OF_BATCH,
        *batch.ELSEWHERE,
        *correct.POINTS_OF_LEDGER,
        *correct.POINTS_OF_RUN,
        *move.POINTS_OF_MOVE,
        *expire.POINTS_OF_EXPIRE,
        *backup.POINTS_OF_BACKUP,
        *backup.POINTS_OF_RESTORE,
        *speed.POINTS_OF_SPEED,
        *ingest.POINTS_OF_INGEST,
        *ingest.POINTS_OF_IMPORT,
        *instruments.POINTS_OF_LEDGER,
    ]
    assert sorted(visited) == sorted(POINTS)


def test_without_an_order_nothing_happens() -> None:
    arm({})
    for point in POINTS:
        reach(point)


@pytest.mark.parametrize(("action", "number"), [("eio", errno.EIO), ("enospc", errno.ENOSPC)])
def test_an_error_of_the_disk_is_raised_once_at_its_point_alone(action: str, number: int) -> None:
    arm({VARIABLE: f"mark.after:{action}"})
    reach("mark.before")
    with pytest.raises(OSError, match=r"fault point mark\.after") as raised:
        reach("mark.after")
    assert raised.value.errno == number
    reach("mark.after")


def test_a_point_is_passed_as_often_as_ordered_and_orders_add_up() -> None:
    arm({VARIABLE: "mark.append:eio:after=2,mark.append:enospc,archive.read:eio"})
    for number in (errno.ENOSPC, None, errno.EIO, None):
        if number is None:
            reach("mark.append")
        else:
            with pytest.raises(OSError) as raised:
                reach("mark.append")
            assert raised.value.errno == number


@pytest.mark.parametrize(
    ("order", "fact"),
    [
        ("publish.pionter:kill", "names 'publish.pionter', which is no fault point"),
        ("publish.pointer:stop", "orders 'stop' at publish.pointer"),
        ("publish.pointer", "which is no order"),
        ("publish.pointer:kill:after=x", "which is no order"),
        ("publish.pointer:kill:after=1:2", "which is no order"),
        ("mark.after:eio, mark.after:eio", "names ' mark.after'"),
    ],
)
def test_an_order_that_means_nothing_ends_the_program_at_its_start(
    order: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match=re.escape(fact)):
        arm({VARIABLE: order})
    monkeypatch.setenv(VARIABLE, order)
    ended = CliRunner().invoke(main, ["topics", "list"])
    assert isinstance(ended.exception, SettingError)


def test_a_kill_ends_the_real_process_where_it_stands() -> None:
    program = (
        "import os; from slackwater.core.faults import arm, reach; arm(os.environ)\n"
        "reach('emit.after'); print('passed', flush=True); reach('emit.after'); print('too far', flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={VARIABLE: "emit.after:kill:after=1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "passed\n")


def test_a_disk_that_refuses_is_told_to_a_person_with_what_to_do() -> None:
    error = StorageError(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert str(error).startswith("A file could not be read or written: [Errno 28] No space left on device: '/data/x'.")
    assert error.retriable and "run it again" in error.hint


def test_points_that_are_drawn_stand_in_their_order_and_in_time_all_are() -> None:
    found = [drawn(POINTS, 5, seed) for seed in range(200)]
    assert all(len(set(points)) == 5 and points == sorted(points, key=POINTS.index) for points in found)
    assert {point for points in found for point in points} == set(POINTS)
    assert drawn(POINTS, 5, 7) == found[7]
    assert drawn(POINTS, len(POINTS), 0) == list(POINTS)
