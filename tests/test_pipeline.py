"""Summarise is one object without source, sink, runner or mode; the coders round trip; runners and forms agree."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.common import DoFnSignature
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from batch_layer import compute, sink
from slackwater.pipeline import summarise
from slackwater.pipeline.coders import BlockCoder, SegmentCoder, StatesCoder, TableCoder
from slackwater.pipeline.segment import Block, Segment, Slot, States
from slackwater.pipeline.summarise import Summarise
from slackwater.streams.decode import events_table
from slackwater.streams.trades import TRADES
from slackwater.views import session
from slackwater.views.bars import BARS
from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.session import LARGE_SEGMENT, Summariser
from slackwater.views.sql import summarise_sql
from speed_layer import run as speed_run
from tests.events import Event

T0_US = 1_723_161_240_000_000


def events(seed: int, rows: int) -> pa.Table:
    r = random.Random(seed)
    return events_table(
        TRADES,
        [
            Event(
                "v",
                r.choice(["A", "B"]),
                r.randrange(50),
                T0_US + r.randrange(4_000_000),
                r.randrange(1, 10**10),
                r.randrange(1, 10**12),
                r.choice(["buy", "sell"]),
            )
            for _ in range(rows)
        ],
    )


def slot(start: int, upto: int, partition: int = 0) -> Slot:
    return Slot("trades", "id", partition, start, upto, sealed=True, shard=partition)


@pytest.fixture(scope="module")
def segments() -> list[Segment]:
    sizes = [1, 0, 300, 40, 40, 7]
    return [Segment(slot(i * 1000, i * 1000 + 1000, i % 2), events(i, size)) for i, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def expected(segments: Sequence[Segment]) -> dict[Slot, list[Row]]:
    summariser = Summariser((BARS,))
    try:
        return {segment.slot: summariser.rows(BARS, segment.table) for segment in segments}
    finally:
        summariser.close()


class Keep(beam.DoFn):
    """Writes what arrives into a folder, since a runner copies DoFns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def process(self, states: States) -> None:
        name = f"{states.definition}-{states.slot.partition}-{states.slot.start}"
        assert not (self._folder / name).exists(), "a segment came twice"
        (self._folder / name).write_bytes(StatesCoder().encode(states))


def computed(segments: Sequence[Segment | Block], folder: Path, *options: str) -> dict[Slot, list[Row]]:
    """What the in-process runner makes of `segments`."""
    folder.mkdir()
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(options)))
    made = pipeline | beam.Create(segments, reshuffle=False) | Summarise((BARS,)) | beam.ParDo(Keep(folder))
    assert made is not None
    pipeline.run().wait_until_finish()
    found = [StatesCoder().decode(path.read_bytes()) for path in folder.iterdir()]
    return {states.slot: list(states.as_rows(BARS)) for states in found}


# One object


def test_both_layers_make_states_by_the_one_statement() -> None:
    """Segments of the log by Summarise, files of the archive by MakeParts, which leaves their rows to DuckDB."""
    assert vars(speed_run)["Summarise"] is Summarise
    assert vars(sink)["summarise_sql"] is vars(session)["summarise_sql"] is summarise_sql


def test_files_give_the_states_that_the_same_events_give_as_a_segment(
    segments: list[Segment], expected: dict[Slot, list[Row]], tmp_path: Path
) -> None:
    for segment in segments:
        folder = tmp_path / f"{segment.slot.partition}-{segment.slot.start}"
        path = folder / "events.parquet"
        folder.mkdir()
        pq.write_table(segment.table, path)
        compute.run_pipeline([replace(segment, table=None, paths=(str(path),))], (BARS,), folder)
        made = sink.read_result(folder, BARS.name, segment.slot.shard)
        assert len(made) == (len(BARS.intervals) if expected[segment.slot] else 0)
        rows = [
            row for each in made if each.interval == "1s" for row in rows_of(BARS, pq.read_table(folder / each.path))
        ]
        assert rows == expected[segment.slot]


class Steps(beam.pipeline.PipelineVisitor):
    """Names of the leaf transforms of a pipeline."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def visit_transform(self, node: Any) -> None:
        self.kinds.append(type(node.transform).__name__)


def test_it_is_one_map_without_source_sink_window_or_state() -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    _ = (
        pipeline
        | "in" >> beam.Impulse()
        | "types" >> beam.Map(lambda _: None).with_output_types(Segment)
        | Summarise((BARS,))
    )
    steps = Steps()
    pipeline.visit(steps)
    assert steps.kinds == ["Impulse", "ParDo", "ParDo"]
    step = Summarise((BARS,))
    facts = {name for name in vars(step) if not name.startswith("__")}
    assert {"_views", "_threads"} <= facts
    assert not [name for name in facts if any(word in name for word in ("runner", "mode", "source", "sink", "topic"))]
    signature = DoFnSignature(summarise._SummariseSegment((BARS,), 1))
    assert not signature.is_stateful_dofn() and not signature.is_splittable_dofn()


# The coders


def test_a_table_comes_back_and_a_slice_of_one_does_not_write_its_parent() -> None:
    table = events(1, 20_000)
    coder = TableCoder()
    assert coder.decode(coder.encode(table)).equals(table)
    piece = table.slice(19_990, 10)
    assert coder.decode(coder.encode(piece)).equals(piece)
    assert len(coder.encode(piece)) < len(coder.encode(table)) / 100
    assert not coder.is_deterministic()


@pytest.mark.parametrize(
    "segment",
    [
        Segment(slot(0, 2**40, 3), events(2, 5)),
        Segment(slot(7, 8), TRADES.schema.empty_table()),
        Segment(Slot("trades", "t\n{}", 0, 0, 0, sealed=False, shard=9), None, ("/a b/'c.parquet", "/d\n.parquet")),
    ],
    ids=["events", "no event", "files"],
)
def test_a_segment_comes_back(segment: Segment) -> None:
    found = SegmentCoder().decode(SegmentCoder().encode(segment))
    assert (found.slot, found.paths) == (segment.slot, segment.paths)
    if segment.table is None:
        assert found.table is None
    else:
        assert found.table is not None and found.table.equals(segment.table)


def test_a_block_comes_back() -> None:
    block = Block((Segment(slot(0, 256), events(2, 5)), Segment(slot(256, 300), events(3, 0))))
    found = BlockCoder().decode(BlockCoder().encode(block))
    assert [segment.slot for segment in found.segments] == [slot(0, 256), slot(256, 300)]
    assert [segment.table for segment in found.segments] == [segment.table for segment in block.segments]
    assert BlockCoder().decode(BlockCoder().encode(Block(()))) == Block(())


def test_states_come_back_and_a_slice_of_them_is_small() -> None:
    rows = [Row(("v", "A"), T0_US + i * 1_000_000, tuple(range(10))) for i in range(5_000)]
    table = table_of(BARS, rows)
    coder = StatesCoder()
    found = coder.decode(coder.encode(States(BARS.definition, slot(1, 2), table.slice(10, 1))))
    assert (found.definition, found.slot, rows_of(BARS, found.table)) == (BARS.definition, slot(1, 2), rows[10:11])
    assert len(coder.encode(States(BARS.definition, slot(1, 2), table.slice(10, 1)))) < 5_000


CODERS = (
    (pa.Table, TableCoder),
    (Segment, SegmentCoder),
    (Block, BlockCoder),
    (States, StatesCoder),
)


def test_the_registry_knows_them_so_that_nothing_is_pickled() -> None:
    for kind, coder in CODERS:
        assert isinstance(beam.coders.registry.get_coder(kind), coder)
        assert coder().to_type_hint() is kind


# Runners and forms


@pytest.mark.parametrize(
    "options",
    [
        ["--direct_num_workers=1"],
        ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    ],
    ids=["one worker", "two workers"],
)
def test_every_runner_gives_the_states_of_the_plain_summariser(
    segments: list[Segment], expected: dict[Slot, list[Row]], tmp_path: Path, options: list[str]
) -> None:
    assert computed(segments, tmp_path / "out", *options) == expected


class Typed(beam.pipeline.PipelineVisitor):
    """The types of what crosses from one step to another, by the step's name."""

    def __init__(self) -> None:
        self.types: dict[str, Any] = {}

    def visit_transform(self, node: Any) -> None:
        for output in node.outputs.values():
            self.types[node.full_label] = output.element_type


def test_no_step_of_the_batch_pipeline_gives_what_beam_would_pickle(tmp_path: Path) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    compute.build(pipeline, [Segment(slot(0, 1), events(1, 1))], (BARS,), tmp_path)
    typed = Typed()
    pipeline.visit(typed)
    assert {str(kind) for label, kind in typed.types.items() if label.startswith("Make parts")} == {"<class 'str'>"}


@pytest.mark.parametrize("seed", range(5))
def test_a_block_gives_the_states_of_its_segments_alone(
    segments: list[Segment], expected: dict[Slot, list[Row]], tmp_path: Path, seed: int
) -> None:
    r = random.Random(seed)
    large = Segment(slot(90_000, 91_000), events(7, LARGE_SEGMENT))
    mixed, blocks = r.sample([*segments, large], len(segments) + 1), []
    while mixed:
        size = r.randrange(1, 5)
        blocks.append(Block(tuple(mixed[:size])))
        mixed = mixed[size:]
    found = computed(blocks, tmp_path / "out")
    assert found == {**expected, large.slot: rows_of(BARS, _table(large))}


def _table(segment: Segment) -> pa.Table:
    summariser = Summariser((BARS,))
    try:
        return summariser.table(BARS, segment.table)
    finally:
        summariser.close()


def test_tables_and_parquet_files_of_the_same_events_give_the_same_states(
    segments: list[Segment], expected: dict[Slot, list[Row]], tmp_path: Path
) -> None:
    stored = []
    for number, segment in enumerate(segments):
        assert segment.table is not None
        half = segment.table.num_rows // 2
        paths = [str(tmp_path / f"[{number}] part='{part}'.parquet") for part in range(2)]
        pq.write_table(segment.table.slice(0, half), paths[0])
        pq.write_table(segment.table.slice(half), paths[1])
        stored.append(Segment(segment.slot, None, tuple(paths)))
    assert computed(stored, tmp_path / "out") == expected


def test_a_segment_without_events_gives_a_table_without_rows(tmp_path: Path) -> None:
    empty = Segment(slot(0, 256), TRADES.schema.empty_table())
    assert computed([empty], tmp_path / "out") == {empty.slot: []}
    summariser = Summariser((BARS,))
    assert summariser.table(BARS, empty.table).schema.equals(BARS.state_schema)
    summariser.close()
