"""The memory of the batch layer: every session is within it, what does not fit spills to a folder that goes again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from batch_layer import sink
from batch_layer.compaction_run import CompactionRun
from batch_layer.compute import at_once, run_pipeline
from batch_layer.errors import BatchMemoryError, ComputeError
from batch_layer.expire import expire
from batch_layer.run import BatchRun
from batch_layer.spill import spilling, spilling_alone
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.errors import SettingError
from slackwater.core.machine import machine_memory
from slackwater.core.settings import from_environ
from slackwater.pipeline.options import Options
from slackwater.pipeline.segment import Segment, Slot
from slackwater.store.archive_file import ArchiveWriter, archive_table
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.databases import Databases
from slackwater.views.limits import LEAST_SESSION_BYTES, MB, RESERVED_BYTES, Limits, limits_of
from slackwater.views.session import connect
from slackwater.views.sizes import SIZES
from tests.beam_world import T0_US, World, memory_world

TRADES_MADE = 300_000
SMALL = Limits(RESERVED_BYTES + LEAST_SESSION_BYTES)


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Segment:
    """Trades of one instrument of which nearly each has a second and a size of its own."""
    path = tmp_path_factory.mktemp("archive") / "trades.parquet"
    ids = np.arange(TRADES_MADE)
    columns = {
        "venue": pa.array(["v"]).take(pa.array(np.zeros(TRADES_MADE, int))),
        "symbol": pa.array(["S"]).take(pa.array(np.zeros(TRADES_MADE, int))),
        "trade_id": pa.array(ids).cast(pa.string()),
        "sequence": pa.array(ids),
        "time": pa.array(T0_US + ids * 700_000),
        "price": pa.array(ids % 9_973 + 1),
        "quantity": pa.array(ids * 7_919 % 90_001 + 1),
        "side": pa.array(["buy", "sell"]).take(pa.array(ids % 2)),
        "time_unit": pa.array(["us"]).take(pa.array(np.zeros(TRADES_MADE, int))),
    }
    wide = {name: columns[name].cast(pa.decimal128(27, 8)) for name in ("price", "quantity")}
    given = {**{name: pa.nulls(TRADES_MADE) for name in TRADES.schema.names}, **columns, **wide}
    arrays = [given[field.name].cast(field.type) for field in TRADES.schema]
    events = pa.Table.from_arrays(arrays, schema=TRADES.schema)
    with ArchiveWriter(TRADES, path) as writer:
        writer.write(archive_table(TRADES, 0, events))
    return Segment(Slot(TRADES.name, "t", 0, 0, 1, sealed=True, shard=0), None, (str(path),))


def written(segment: Segment, folder: Path, limits: Limits) -> dict[str, bytes]:
    run_pipeline([segment], (BARS, SIZES), folder, None, limits)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_of_parts_are_the_same_whatever_spills(
    segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spilled = dict[str, int]()
    real = sink.copy_to

    def looking(con: duckdb.DuckDBPyConnection, *more: Any) -> None:
        real(con, *more)
        ((folder,),) = con.execute("SELECT current_setting('temp_directory')").fetchall()
        ((size,),) = con.execute("SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()").fetchall()
        spilled[folder] = max(spilled.get(folder, 0), size)

    monkeypatch.setattr("batch_layer.sink.copy_to", looking)
    spill = {name: tmp_path / "spill" / name for name in ("free", "small", "one")}
    free = written(segment, tmp_path / "free", Limits(spill=spill["free"]))
    small = written(segment, tmp_path / "small", replace(SMALL, threads=2, spill=spill["small"]))
    one = written(segment, tmp_path / "one", replace(SMALL, threads=1, spill=spill["one"]))
    assert free == small == one
    assert any("-" in name for name in free), "no slice is a part of its own"
    assert spilled[str(spill["free"])] == 0
    assert spilled[str(spill["small"])] > 0
    assert spilled[str(spill["one"])] > 0


def context_of(world: World, limits: Limits) -> Context:
    return Context(world.log, world.names, world.store, (BARS,), SystemClock(), limits=limits)


def test_every_session_of_a_run_is_within_the_limits_and_nothing_is_left_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, opened = memory_world(tmp_path / "home"), list[tuple[str, int, str]]()
    real = duckdb.connect

    def noted(*given: Any) -> duckdb.DuckDBPyConnection:
        past.append(threading.get_ident() not in asking)
        return real(*given)

    past, asking = list[bool](), set[int]()
    closing = Limits.connect

    def asked(limits: Limits, *more: Any) -> duckdb.DuckDBPyConnection:
        asking.add(threading.get_ident())
        con = closing(limits, *more)
        asking.discard(threading.get_ident())
        names = ", ".join(f"current_setting('{name}')" for name in ("memory_limit", "threads", "temp_directory"))
        opened.append(con.execute(f"SELECT {names}").fetchall()[0])
        assert limits.spill is not None
        limits.spill.mkdir(parents=True, exist_ok=True)
        (limits.spill / "left").write_text("of a session that was not closed")
        return con

    monkeypatch.setattr("slackwater.views.limits.DATABASES", Databases())  # none waits that another test opened
    monkeypatch.setattr("slackwater.views.session.duckdb.connect", noted)
    monkeypatch.setattr(Limits, "connect", asked)
    context = context_of(world, Limits(1_000 * MB, 2, world.home / "spill"))
    runs = list[Manifest]()
    for _ in range(3):
        world.produce(30)
        runs.append(BatchRun(context).run())
    compacted = CompactionRun(context, every=True).run()
    assert compacted is not None
    full = BatchRun(context, full=True).run()
    world.check(full)
    # A database whose session was let go of after its folder went waits for the next one, so there may be fewer.
    assert len(opened) >= 3 * 4 and 0 < len(past) <= len(opened)
    assert not any(past), "a session was opened past the limits"
    with connect(memory_limit=f"{(1_000 * MB - RESERVED_BYTES) * 9 // 10}B") as con:
        ((expected,),) = con.execute("SELECT current_setting('memory_limit')").fetchall()
    # A run of few events takes one thread, the merge and the run of everything all that they may.
    assert {(memory, threads) for memory, threads, _ in opened} == {(expected, 1), (expected, 2)}
    run_ids = {made.run_id for made in (*runs, compacted, full)}
    assert {Path(folder) for *_, folder in opened} <= {world.home / "spill" / run_id for run_id in run_ids}
    assert list((world.home / "spill").iterdir()) == []


def tiny(monkeypatch: pytest.MonkeyPatch, world: World) -> Context:
    monkeypatch.setattr("slackwater.views.limits.LEAST_SESSION_BYTES", 1_000)
    return context_of(world, Limits(RESERVED_BYTES, 1, world.home / "spill"))


def test_work_that_does_not_fit_names_the_setting_and_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = memory_world(tmp_path / "home")
    world.produce(30)
    context = tiny(monkeypatch, world)
    with pytest.raises(ComputeError, match="SLACKWATER_BATCH_MEMORY is 384 MB, of which DuckDB has 0 MB: raise it"):
        BatchRun(context).run()

    def free(*given: Any) -> None:
        run_pipeline(*given[:4])

    with pytest.raises(BatchMemoryError, match="SLACKWATER_BATCH_MEMORY is 384 MB"):  # the proof
        BatchRun(context, compute=free).run()
    assert world.store.current() is None
    world.check(world.batch((BARS,)))


def test_what_a_killed_run_spilled_goes_with_an_expiry_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    world = memory_world(tmp_path / "home")
    world.produce(5)
    context = context_of(world, Limits(spill=world.home / "spill"))
    BatchRun(context).run()
    killed = world.home / "spill" / "killed"
    killed.mkdir(parents=True)
    (killed / "duckdb_temp_storage-0.tmp").write_bytes(b"x")
    with spilling_alone(context) as living:
        assert living.limits.spill is not None
        living.limits.spill.mkdir()
        expire(context, keep=1)
        assert not killed.exists()
        assert living.limits.spill.exists()
    assert not living.limits.spill.exists()


def test_a_context_without_a_folder_spills_where_duckdb_does(tmp_path: Path) -> None:
    context = context_of(memory_world(tmp_path / "home"), Limits())
    with spilling(context, "run") as own:
        assert own.limits == context.limits


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("4GB", 4_000 * MB),
        ("1500 MB", 1_500 * MB),
        ("1.5GB", 1_500 * MB),
        ("600000kB", 600 * MB),
        ("700000000", 700 * MB),
    ],
)
def test_a_size_of_memory_is_read(given: str, found: int, tmp_path: Path) -> None:
    settings = from_environ({"SLACKWATER_HOME": str(tmp_path), "SLACKWATER_BATCH_MEMORY": given})
    assert settings.batch_memory == found
    assert from_environ(settings.environ()).batch_memory == found
    limits = limits_of(settings)
    assert (limits.session_bytes, limits.spill) == ((found - RESERVED_BYTES) * 9 // 10, tmp_path / "spill")
    assert limits.shared(2).session_bytes == max(LEAST_SESSION_BYTES, (found - RESERVED_BYTES) * 9 // 10 // 2)


def test_a_share_is_of_the_machine_or_of_the_container_and_never_too_small(tmp_path: Path) -> None:
    assert from_environ({"SLACKWATER_BATCH_MEMORY": "100%"}).batch_memory == machine_memory()
    assert from_environ({"SLACKWATER_BATCH_MEMORY": "0.1%"}).batch_memory == 512 * MB
    cgroup = tmp_path / "memory.max"
    whole = machine_memory(cgroup)
    for text, found in (("max\n", whole), ("700000000\n", 700 * MB), (str(whole * 2), whole)):
        cgroup.write_text(text)
        assert machine_memory(cgroup) == found


@pytest.mark.parametrize("given", ["much", "4", "100MB", "0%", "101%", "-4GB", "4 4GB"])
def test_what_is_no_size_of_memory_is_refused(given: str) -> None:
    with pytest.raises(SettingError, match="SLACKWATER_BATCH_MEMORY is '"):
        from_environ({"SLACKWATER_BATCH_MEMORY": given})


CORES: Callable[[], int | None] = partial(int, 6)


def test_tasks_that_run_at_once_in_one_process_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", CORES)
    assert at_once(None) == 1
    assert at_once(Options([])) == 1
    assert at_once(Options(["--direct_num_workers=4"])) == 4
    assert at_once(Options(["--direct_num_workers=0"])) == 6
