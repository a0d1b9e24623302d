"""The ledger of promotions and rollbacks against the slow oracle, over random logs in memory.

    log        e e M e e e e e e | P          P: where the cells end when the pointer moves
    v1         [--)                           bars closed below P, by both sides' trades there
    v2         [--) + imported                1 -> 2 told by the run, 2 -> 1 by the rollback

What really runs: the cells, marks, archive, proof, restate, publish, candidates, both kinds of moves, expiry, and the
route. The views are computed by the simulation's stand-in.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from batch_layer.candidate import CandidateRun
from batch_layer.expire import expire
from batch_layer.promote import Promotion
from lesson.memory_log import MemoryLog
from ops.cli import main
from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.faults import POINTS, VARIABLE, arm
from slackwater.deltas.read_tail import TailReader
from slackwater.log.errors import LogUnreachableError
from slackwater.restatements.ledger import LATE
from slackwater.restatements.of_move import Restating
from slackwater.store.local_files import LocalFiles
from slackwater.versions.errors import RecordError, RestatingError
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.moves import Move
from slackwater.versions.rollback import rollback
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.session import connect
from slackwater.views.view import View
from tests.beam_world import T0_US
from tests.naive import Event
from tests.naive_restatements import between
from tests.simulation.light import session
from tests.simulation.light_proof import LightComparison
from tests.speed_in_memory import Speed
from tests.test_definitions import SWAPPED
from tests.test_restatements import COMPUTE, Story, epoch_of, parsed

BOTH = (BARS, SWAPPED)
CASES = [seed if seed < 3 else pytest.param(seed, marks=pytest.mark.crash) for seed in range(20)]  # one takes seconds

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def one_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new DuckDB database a run would cost more than the run."""
    monkeypatch.setattr("slackwater.views.limits.Limits.connect", lambda *_: session())
    monkeypatch.setattr("slackwater.restatements.of_move.connect", lambda *_: session())
    monkeypatch.setattr("batch_layer.prove.Comparison", LightComparison)  # not what is tested here
    # An import changes bars most simply. The pointer goes back across one by a version that is made for it, and writes
    # the same ledger; that it does not go by itself is in `test_corrections`.
    monkeypatch.setattr("slackwater.versions.rollback.barrier", lambda *_: "")
    yield


class Moving(Story):
    """A story with a speed layer of each definition, whose pointer moves.

    `ends` is where the cells of each end, `told` are the moves, each with what it must have told.
    """

    def __init__(self, home: Path, seed: int, partitions: int = 2) -> None:
        super().__init__(home, seed, BOTH, partitions)
        world = self.world
        self.speeds = {v: Speed(world.log, world.names, world.store, (v,)) for v in BOTH}  # type: ignore[arg-type]
        self.ends = {view: dict.fromkeys(world.ends, 0) for view in BOTH}
        self.imported: dict[int, list[Event]] = {0: []}
        self.told: list[tuple[Move, Rows]] = []

    @property
    def store(self) -> VersionStore:
        return self.world.store

    def current(self) -> Manifest:
        found = self.store.current()
        assert found is not None
        return found

    def step(self, *views: View) -> None:
        for view in views:
            self.speeds[view].step()
            self.ends[view] = self.world.ends

    def publish(self, imported: Sequence[Event] = ()) -> Manifest:
        more = {}
        if imported:
            key = f"v:{imported[0].symbol}".encode()
            partition = self.world.log.partition_of(key, len(self.world.ends))
            more = {"extra": epoch_of(self, imported, f"import-{len(self.versions)}", partition)}
        manifest = self.batch(**more)
        assert manifest.proof.outcome != "different"
        self.imported[manifest.version] = [*self.imported[manifest.parent], *imported]
        return manifest

    def publish_history(self) -> Manifest:
        """With trades of one instrument, among those of the log or before them."""
        symbol, last = self.random.choice("ABC"), T0_US + len(self.records) * 1_000_000
        events = [
            self.event(symbol, last - self.random.randrange(1, 100_000_000), self.random.randrange(1, 9) * 10**8)
            for _ in range(self.random.randrange(1, 4))
        ]
        return self.publish(events)

    def promote(self) -> Move:
        world, source = self.world, self.current()
        run = CandidateRun(Context(world.log, world.names, self.store, BOTH, SystemClock()), compute=COMPUTE)
        made = run.run()
        self.imported[made.version] = self.imported[source.version]
        before, after = view_of(source), view_of(made)
        for views in ((), (before,), (before, after), (after,)):
            for _ in range(self.random.randrange(4)):
                self.draw()
            self.step(*views)
        promotion = Promotion(Context(world.log, world.names, self.store, BOTH, SystemClock()))
        return self._told(source, promotion.promote(made.version, "better", "who"), "new_definition")

    def back(self, version: int | None = None, tail_reader: Any = None) -> Move:
        """To a version, or to any other one that was served."""
        source = self.current()
        version = version or self.random.choice([v for v in self.imported if v not in (0, source.version)])
        restating = Restating(self.store, BOTH, tail_reader or TailReader(self.world.log, self.world.names))
        return self._told(source, rollback(self.store, version, "worse", "who", lambda: 7, restating), "repair")

    def _told(self, source: Manifest, move: Move, cause: str) -> Move:
        target = self.store.manifest(move.target)
        upto = {
            p: max(source.cut("trades")[p], target.cut("trades")[p], end)
            for p, end in self.ends[view_of(source)].items()
        }
        if not move.incomplete_reason:
            assert move.positions == {"trades": upto}
        sides = [
            [e for r in self.records if r.offset < move.positions["trades"][r.partition] for e in r.events]
            + self.imported[manifest.version]
            for manifest in (source, target)
        ]
        views = view_of(source), view_of(target)
        self.told.append((move, between(views, cause, *sides)))
        return move

    def moved(self, move: Move) -> Rows:
        """What the ledger says of a move, without numbers."""
        if move.ledger is None:
            return []
        self.store.check([move.ledger.file])
        rows = pq.read_table(self.world.home / move.ledger.file.path).to_pylist()
        assert [row.pop("number") for row in rows] == list(range(len(rows)))
        assert {row.pop("version") for row in rows} == {move.ledger.version}
        assert sum(move.restated.values()) == len(rows) == move.ledger.file.rows
        return [{**row, "before": parsed(row["before"]), "after": parsed(row["after"])} for row in rows]

    def expected(self) -> list[tuple[int, dict[str, Any]]]:
        """(number, row) of the whole ledger, as far as its files go."""
        lineage = set(self.store.line(self.store.pointer().version))
        lineage |= {self.store.manifest(v).parent for v in lineage}
        found = [
            (manifest.version, row)
            for manifest in self.versions
            for row in self.rows(manifest)
            if manifest.version in lineage or row["cause"] != LATE
        ]
        moves = [(move.ledger.version, row) for move, _ in self.told if move.ledger for row in self.moved(move)]
        return sorted([*found, *moves], key=lambda each: (each[0], str(each[1])))

    def check(self) -> int:
        """Every move told what the oracle says, and the route tells all; how many rows moves told."""
        assert served(self) == self.expected()
        return len(self.check_moves())

    def check_moves(self) -> Rows:
        """Every move told what the oracle says."""
        for move, rows in self.told:
            assert sorted(self.moved(move), key=str) == rows, move
        return [row for _, rows in self.told for row in rows]

    def close(self) -> None:
        for speed in self.speeds.values():
            speed.close()
        self.world.close()


def view_of(manifest: Manifest) -> View:
    return next(view for view in BOTH if view.definition == manifest.definitions["bars"])


def served(story: Moving) -> list[tuple[int, dict[str, Any]]]:
    """(version, row) of `GET /v1/restatements?since=0`, in the form of the ledger's files."""
    world = story.world
    app = create_app(world.log, world.names, story.store, BOTH, SystemClock(), ServingOptions(poll_s=0.0))
    app.state.service.step()

    async def ask() -> bytes:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as client:
            return (await client.get("/v1/restatements?since=0&limit=10000")).content

    found = orjson.loads(asyncio.run(ask()))["restatements"]
    app.state.service.stop()
    rows = []
    for row in found:
        version = row.pop("version")
        del row["created"]
        for side in ("before", "after"):
            if row[side] is not None:
                assert row[side].pop("start") == row["start"] and row[side].pop("closed")
        rows.append((version, {**row, "key": []}))
    return sorted(rows, key=lambda each: (each[0], str({name: each[1][name] for name in ORDER})))


ORDER = ("view", "venue", "symbol", "key", "interval", "start", "cause", "partition", "offset", "trades")


@pytest.mark.parametrize("seed", CASES)
def test_moves_tell_what_the_oracle_says_and_the_route_tells_all(tmp_path: Path, seed: int) -> None:
    story = Moving(tmp_path / "home", seed, partitions=1 + seed % 3)
    r = story.random
    others = [story.publish, story.publish_history, story.promote, story.back]
    turns: list[Callable[[], object]] = [story.publish, story.publish_history]
    turns += [*r.sample(others[1:], 3), story.back, r.choice(others)]
    for turn in turns:
        for _ in range(r.randrange(1, 12)):
            story.draw()
        story.step(*r.choice([BOTH, BOTH, BOTH[:1], BOTH[1:], ()]))
        turn()
    assert story.check(), "nothing was told"
    story.close()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Moving]:
    """Version 1, and version 2 with imported history, both of one instrument; three bars of it are closed."""
    story = Moving(tmp_path / "home", 0, partitions=1)
    for second in (10, 11, 12):
        story.trade("A", second, 5 * 10**8)
    story.publish()
    story.trade("A", 20)
    story.trade("A", 11, 6 * 10**8)  # late
    story.publish([story.event("A", T0_US + 12_000_000, 7 * 10**8)])
    story.step(*BOTH)
    yield story
    story.close()


def seconds(rows: Rows) -> list[tuple[Any, ...]]:
    """(second since T0, cause, trades before, trades after)."""
    told = [row for row in rows if row["interval"] == "1s"]
    return [
        (
            (row["start"] - T0_US) // 1_000_000,
            row["cause"],
            *(row[side] and row[side]["trades"] for side in ("before", "after")),
        )
        for row in told
    ]


def test_what_was_left_is_told_on_but_not_its_late_trades(story: Moving) -> None:
    assert seconds([row for _, row in served(story)]) == [(11, LATE, 1, 2), (12, "repair", 1, 2)]
    move = story.back(1)
    assert (move.incomplete_reason, dict(move.restated)) == ("", {"repair": 1})
    assert [(n, *seconds([row])) for n, row in served(story)] == [(2, (12, "repair", 1, 2)), (3, (12, "repair", 2, 1))]
    assert story.store.numbers() == [1, 2, 3]
    story.publish()  # archives the late trade again
    assert [(n, *seconds([row])[0][:2]) for n, row in served(story)] == [
        (2, 12, "repair"),
        (3, 12, "repair"),
        (4, 11, LATE),
    ]
    story.check()


def test_the_command_lists_what_the_route_gives(story: Moving) -> None:
    story.back(1)
    done = CliRunner().invoke(main, ["--home", str(story.world.home), "batch", "restatements", "--json"])
    assert done.exit_code == 0, done.tail_reader
    assert [json["version"] for json in map(orjson.loads, done.stdout.splitlines())] == [2, 3]


def test_a_rollback_without_a_broker_tells_what_the_archive_knows_and_that_it_is_not_all(story: Moving) -> None:
    class Gone(MemoryLog):
        def topic_id(self, topic: str) -> str:
            raise LogUnreachableError("nowhere", topic)

    story.trade("A", 40)
    story.trade("A", 30)
    story.step(*BOTH)
    move = story.back(1, TailReader(Gone(), story.world.names))
    assert "No Kafka broker answers at nowhere" in move.incomplete_reason
    assert move.positions == story.store.manifest(2).cuts
    assert dict(move.restated) == {"repair": 1}
    story.check()


def test_damaged_views_of_what_is_left_are_made_again_and_a_damaged_archive_is_said(story: Moving) -> None:
    damage(story, [part.file for part in story.current().own])
    assert story.back(1).incomplete_reason == ""
    assert len(story.check_moves()) == 1
    story.publish()
    damage(story, [story.current().archive[-1].file])
    damage(story, [part.file for part in story.current().own])
    move = story.back(1)
    assert "Nothing is compared" in move.incomplete_reason and move.ledger is None
    assert story.store.pointer().version == 1


def damage(story: Moving, files: Sequence[StoredFile]) -> None:
    for file in files:
        path = story.world.home / file.path
        path.write_bytes(path.read_bytes()[:-1])


def test_a_move_that_would_take_more_memory_than_it_may_does_not_take_place(story: Moving) -> None:
    tail_reader = TailReader(story.world.log, story.world.names)
    with pytest.raises(RestatingError, match="more memory than there is here") as refused:
        rollback(
            story.store,
            1,
            "worse",
            "who",
            lambda: 7,
            Restating(story.store, BOTH, tail_reader, partial(connect, 1, "300KB")),
        )
    assert "slackwater batch rollback" in str(refused.value)
    assert (story.store.pointer().version, story.store.moves.last()) == (2, 0)
    assert rollback(
        story.store,
        1,
        "worse",
        "who",
        lambda: 7,
        Restating(story.store, BOTH, tail_reader, partial(connect, 1, "512MB")),
    ).restated


def test_a_version_that_cannot_be_read_is_left_all_the_same(story: Moving) -> None:
    path = story.store.manifest_path(2)
    path.write_bytes(path.read_bytes()[:-9])
    restating = Restating(story.store, BOTH, TailReader(story.world.log, story.world.names))
    assert "cannot be read" in rollback(story.store, 1, "torn", "who", lambda: 1, restating).incomplete_reason
    assert story.store.pointer().version == 1


@pytest.mark.parametrize("dies", ["restatements.parquet", "1.json", "current"])
def test_a_move_that_dies_anywhere_leaves_the_old_ledger_and_can_be_made_again(story: Moving, dies: str) -> None:
    class Dying(LocalFiles):
        def sync(self, path: Path) -> None:
            self.die(path)
            super().sync(path)

        def replace(self, path: Path, data: bytes, private: bool = False) -> None:
            self.die(path)
            super().replace(path, data, private)

        def die(self, path: Path) -> None:
            if path.name == dies:
                raise KeyboardInterrupt

    before = served(story)
    store = VersionStore(story.world.home, Dying())
    with pytest.raises(KeyboardInterrupt):
        restating = Restating(store, BOTH, TailReader(story.world.log, story.world.names))
        rollback(store, 1, "worse", "who", lambda: 1, restating)
    assert served(story) == before
    story.back(1)
    story.check()
    expire(Context(story.world.log, story.world.names, story.store, (), SystemClock()), keep=1)
    story.check()


def test_expiry_keeps_the_ledgers_of_moves_and_of_what_they_left(story: Moving) -> None:
    story.back(1)
    before = served(story)
    for second in (50, 60):
        story.trade("A", second)
        story.step(*BOTH)
        story.publish()
    done = expire(Context(story.world.log, story.world.names, story.store, (), SystemClock()), keep=1)
    assert 2 in done.retired and done.names
    after = served(story)
    assert [each for each in after if each in before] == before
    assert story.store.moves.ledgers()


def test_a_torn_record_of_a_move_is_not_read_over(story: Moving) -> None:
    story.back(1)
    path = story.store.folder / "moves" / "1.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(KeyError):
        served(story)
    with pytest.raises(RecordError):
        expire(Context(story.world.log, story.world.names, story.store, (), SystemClock()), keep=1)


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("move.") and point != "move.after"])
def test_a_promotion_on_a_bad_disk_at_each_point_leaves_the_pointer_and_can_be_made_again(
    story: Moving, point: str
) -> None:
    arm({VARIABLE: f"{point}:eio"})
    try:
        with pytest.raises((OSError, RestatingError), match=re.escape(f"fault point {point}")):
            story.promote()
        assert story.store.pointer().version == 2, "a candidate is served"
        again = Promotion(Context(story.world.log, story.world.names, story.store, BOTH, SystemClock()))
        move = again.promote(max(story.store.candidates(story.store.readable())), "better", "who")
    finally:
        arm({})
    assert story.store.pointer().version == move.target
    assert move.restated["new_definition"]
