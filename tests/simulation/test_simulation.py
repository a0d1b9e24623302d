"""The simulation: random interleavings of the real parts, replays, and its stand-ins against what they stand for."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch_layer.compute import archive_segments, run_pipeline
from batch_layer.run import BatchRun
from serving.store.batch import BatchReader
from serving.store.request import Keys, Range, RowRequest
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.rows import rows_of
from tests.simulation.kept_seeds import KEPT
from tests.simulation.light import LightReader, compute_with, light
from tests.simulation.report import Report, run_seed
from tests.simulation.world import INTERVALS, World

SEEDS = 80
BLOCK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_answer_equals_the_oracle_and_all_becomes_whole(first: int) -> None:
    report = Report()
    for seed in range(first, first + BLOCK):
        counts, fault = run_seed(seed)
        assert not fault, fault
        report.seeds += 1
        report.counts += counts
    few = {event: found for event, (found, least) in report.short_of().items() if found < least / 2 and least > 5}
    assert not few, f"a block of {BLOCK} seeds has hardly any of {few}"


@pytest.mark.parametrize("seed", sorted(KEPT))
def test_a_seed_that_broke_something_once(seed: int) -> None:
    _, fault = run_seed(seed)
    assert not fault, fault


@pytest.mark.parametrize("seed", [3, 7, 17])
def test_a_seed_replays_byte_for_byte(seed: int) -> None:
    digests = set()
    for _ in range(2):
        with light(), World(seed) as world:
            world.run(120)
            digests.add(world.trace.digest())
    assert len(digests) == 1


@pytest.fixture
def grown() -> World:
    """A world with an archive of several runs."""
    with light(), World(5) as world:
        world.run(60)
        yield world


def test_the_light_compute_writes_the_rows_of_the_real_pipeline(grown: World, tmp_path: Path) -> None:
    manifest = grown.store.current()
    assert manifest is not None
    assert manifest.archive
    segments = archive_segments(grown.store.data.fetch, "trades", grown.topic_ids["trades"], manifest.archive)
    run_pipeline(segments, grown.views, tmp_path / "real")
    compute_with(lambda _: None)(segments, grown.views, tmp_path / "light", None)
    found = {path.relative_to(tmp_path / "light") for path in (tmp_path / "light").rglob("*.parquet")}
    assert found == {path.relative_to(tmp_path / "real") for path in (tmp_path / "real").rglob("*.parquet")}
    for path in found:
        view = next(view for view in grown.views if view.name == path.parts[0])

        real, stand_in = (rows_of(view, pq.read_table(tmp_path / kind / path)) for kind in ("real", "light"))
        assert real == stand_in


def test_the_light_reader_gives_the_rows_of_the_real_one(grown: World) -> None:
    manifest = grown.store.current()
    assert manifest is not None
    real, stand_in = BatchReader(grown.store.data.fetch, manifest), LightReader(grown.store.data.path, manifest)
    compared = 0
    for venue, symbol in {(known.venue, known.symbol): None for known in real.instruments(BARS)}:
        for interval in INTERVALS:
            for limit, newest_first in ((1, True), (3, False), (10_000, False)):
                request = RowRequest(BARS, Keys(((venue, symbol),)), Range(interval, 0, None, limit, newest_first))
                rows = real.rows(request, real.cursor())
                assert rows == stand_in.rows(request, stand_in.cursor())
                compared += len(rows)
            span = request._replace(range=Range(interval, rows[0].start, rows[-1].start))
            states = real.states(span, BARS.state_schema.empty_table(), real.cursor())
            assert rows_of(BARS, states) == sorted(stand_in.rows(span, stand_in.cursor()))
    real.close()
    assert compared


def test_a_run_of_the_simulation_is_the_real_run_with_another_compute() -> None:
    assert BatchRun.compute is run_pipeline
    assert PUBLISHED_INTERVALS
