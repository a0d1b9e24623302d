"""Expiry beside publishers, rollbacks and deaths: what a kept version stands on is there at every moment.

    trades  p0  . . M1 . . M2 . . M3        every run appends a mark to every partition: its cut
    deltas  p0  d d   d d    d d            delta_start of a run: the end before its marks

`House` makes versions as a batch run does, with real files and without computing; `House.check` is the promise.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from batch_layer.errors import BatchError
from batch_layer.expire import Expired, expire
from lesson.memory_log import MemoryLog
from slackwater.context import Context
from slackwater.log.errors import DeletionRefusedError
from slackwater.log.mark import append_marks
from slackwater.log.names import TopicNames
from slackwater.store.files import Hold
from slackwater.store.local_files import LocalFiles
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import LostRaceError, RecordError, RetiredVersionError, RollbackError, VersionError
from slackwater.versions.manifest import ArchiveFile, Manifest, Mark, Part, StoredFile, StreamCut
from slackwater.versions.proof import Proof
from slackwater.versions.retention import answering
from slackwater.versions.rollback import files_of, rollback, snapshot_files
from slackwater.versions.snapshots import NO_SNAPSHOTS, Schedule
from slackwater.versions.store import VersionStore
from tests.hand import HandClock
from tests.test_versions import MANIFEST

NAMES = TopicNames("t")


def of_trades(done: Expired) -> dict[int, int]:
    """Partition -> its first delta."""
    assert {stream for stream, _, _ in done.deltas} <= {"trades"}
    return {p: at for _, p, at in done.deltas}


class Run:
    """A batch run, step by step; `release` ends it, whatever became of it."""

    def __init__(self, house: "House", run_id: str) -> None:
        self.house = house
        self.run_id = run_id
        _, self.parent, self.lease = house.store.lease_current(run_id, {run_id})
        self.delta_start: dict[int, int] = {}
        self.cut: dict[int, int] = {}
        self.stored: StoredFile | None = None

    def mark(self) -> None:
        log = self.house.log
        partitions = log.bounds(NAMES.topic("trades"))
        self.delta_start = {p: b.end for p, b in log.bounds(NAMES.deltas("trades")).items() if p in partitions}
        self.cut, _ = append_marks(log.writer(), NAMES.topic("trades"), partitions, self.run_id)
        self.house.deltas(2)

    def archive(self) -> None:
        self.stored = self.house.file(f"archive/{self.run_id}/p0-0.parquet")

    def stand(self) -> StreamCut:
        ids = [self.house.log.topic_id(topic) for topic in (NAMES.topic("trades"), NAMES.deltas("trades"))]
        marks = tuple(Mark(p, at, self.run_id) for p, at in self.cut.items())
        return StreamCut(*ids, marks, self.delta_start)

    def publish(self) -> Manifest:
        assert self.stored is not None
        store = self.house.store
        version = store.reserve()
        view = self.house.file(f"versions/{version}/views/bars/1s/0.parquet")
        own = ArchiveFile(self.stored, "trades", self.run_id, 0, 0, 1, 0, 1)
        manifest = replace(
            MANIFEST,
            version=version,
            parent=self.parent.version if self.parent else 0,
            run_id=self.run_id,
            created_us=self.house.clock.now_us(),
            streams={"trades": self.stand()},
            archive=(*(self.parent.archive if self.parent else ()), own),
            ids=(),
            parts=(Part(view, "bars", "1s", 0, 0, 0, (1, 1), 1),),
            proofs={"trades": Proof("unproven", "")},
        )
        return store.publish(manifest)


class House:
    """A home folder, a log in memory, and what happens to them."""

    def __init__(self, home: Path) -> None:
        self.log = MemoryLog()
        self.log.create(NAMES.topic("trades"), 2)
        self.log.create(NAMES.deltas("trades"), 2)
        self.store = VersionStore(home)
        self.clock = HandClock()
        self.runs = 0
        self.deltas(3)

    def copy(self, home: Path) -> "House":
        """The same life in another folder."""
        shutil.copytree(self.store.home, home)
        other = copy(self)
        other.log, other.store = deepcopy(self.log), VersionStore(home)
        return other

    def through(self, files: LocalFiles) -> VersionStore:
        """The same home, reached through other files."""
        return VersionStore(self.store.home, files)

    def deltas(self, count: int) -> None:
        for p in range(len(self.log.bounds(NAMES.deltas("trades")))):
            for _ in range(count):
                self.log.append(NAMES.deltas("trades"), p, b"", b"")

    def file(self, name: str) -> StoredFile:
        path = self.store.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        return self.store.stored(path, 1)

    def begin(self) -> Run:
        self.runs += 1
        return Run(self, f"run-{self.runs}")

    def run(self) -> Manifest:
        run = self.begin()
        try:
            run.mark()
            run.archive()
            return run.publish()
        finally:
            run.lease.release()

    def dead_run(self) -> None:
        """One that dies before it publishes: its epoch, its folder and a lease that nobody holds."""
        run = self.begin()
        run.mark()
        run.archive()
        number = self.store.reserve()
        self.file(f"versions/{number}/views/bars/1s/0.parquet")
        data = (self.store.folder / "leases" / run.run_id).read_bytes()
        run.lease.release()
        (self.store.folder / "leases" / run.run_id).write_bytes(data)

    def back(self, version: int) -> None:
        rollback(self.store, version, "it was wrong", "test", self.clock.now_us)

    def expire(
        self,
        keep: int = 2,
        store: VersionStore | None = None,
        dry_run: bool = False,
        schedule: Schedule = NO_SNAPSHOTS,
    ) -> Expired:
        return expire(Context(self.log, NAMES, store or self.store, (), self.clock), keep, dry_run, schedule)

    def paths(self) -> set[str]:
        home = self.store.home
        return {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file() and p.name != "lock"}

    def check(self) -> None:
        """Everything that the pointer may ever name is whole, its deltas included; the event log lost nothing."""
        assert {b.start for b in self.log.bounds(NAMES.topic("trades")).values()} == {0}
        retained = self.store.retained()
        bounds = self.log.bounds(NAMES.deltas("trades"))
        for manifest in retained:
            self.store.check(files_of(manifest))
            for p, b in bounds.items():
                assert b.start <= manifest.of(TRADES).delta_start.get(p, 0), (manifest.version, p)
        for manifest in answering(self.store):
            self.store.check(snapshot_files(manifest))
        current = self.store.current()
        assert current is None or current.version in {m.version for m in retained}


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, not machines; to wait for the disk thousands of times shows nothing more."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "home")


def versions(house: House) -> list[int]:
    return [manifest.version for manifest in house.store.retained()]


# What stays and what goes


def test_the_newest_stay_with_all_they_stand_on_and_the_rest_goes(house: House) -> None:
    made = [house.run() for _ in range(5)]
    done = house.expire(keep=2)
    assert (done.retained, done.retired) == ((5, 4), (3, 2, 1))
    assert versions(house) == [5, 4]
    assert {p: b.start for p, b in house.log.bounds(NAMES.deltas("trades")).items()} == made[3].of(TRADES).delta_start
    assert of_trades(done) == made[3].of(TRADES).delta_start
    # The archive is the current version's, so every epoch stays; only the views of the retired went.
    assert house.store.numbers() == [4, 5]
    assert house.store.files.names(house.store.home / "archive") == [f"run-{n}" for n in range(1, 6)]
    house.check()
    assert house.expire(keep=2) == Expired((5, 4))


def test_a_rehearsal_changes_nothing_and_says_what_would_happen(house: House) -> None:
    for _ in range(4):
        house.run()
    house.dead_run()
    before = house.paths(), house.log.bounds(NAMES.deltas("trades"))
    said = house.expire(keep=1, dry_run=True)
    assert (house.paths(), house.log.bounds(NAMES.deltas("trades"))) == before
    assert house.expire(keep=1) == said
    assert said.retired == (2, 1) and said.retained == (4, 3)  # 3 is what a server falls back on


def test_before_the_first_publication_nothing_is_removed_and_after_it_version_0_is_retired(house: House) -> None:
    house.dead_run()
    before = house.paths()
    assert house.expire(keep=1) == Expired()
    assert house.paths() == before
    house.run()
    with pytest.raises(RollbackError, match="Version 0 was retired by the first publication"):
        house.back(0)


def test_the_current_version_and_its_whole_fallback_stay_however_old_they_are(house: House) -> None:
    made = [house.run() for _ in range(6)]
    (house.store.home / made[4].parts[0].file.path).write_bytes(b"damaged")
    assert house.expire(keep=1).retained == (6, 4)
    house.back(4)
    house.run()  # 7, on 4; 5 and 6 were rolled back from
    house.run()
    (house.store.home / house.store.manifest(7).parts[0].file.path).write_bytes(b"damaged")
    assert house.expire(keep=1).retained == (8, 4)


def test_what_was_rolled_back_from_stays_until_it_retires_and_its_number_is_never_taken_again(house: House) -> None:
    for _ in range(5):
        house.run()
    house.back(3)
    assert house.expire(keep=2).retained == (5, 4, 3, 2)
    made = [house.run(), house.run()]
    assert [(m.version, m.parent) for m in made] == [(6, 3), (7, 6)]
    assert house.expire(keep=2).retained == (7, 6)
    assert house.store.files.names(house.store.home / "archive") == ["run-1", "run-2", "run-3", "run-6", "run-7"]
    house.back(6)
    assert house.run().version == 8
    house.check()


def test_the_highest_number_stays_taken_when_all_of_it_is_removed(house: House) -> None:
    for _ in range(3):
        house.run()
    house.dead_run()  # takes 4
    house.expire(keep=1)
    assert house.store.files.names(house.store.folder / "4") == []
    assert house.run().version == 5
    house.expire(keep=1)
    assert house.store.numbers() == [3, 5]


def test_a_dead_runs_folders_and_its_lease_go_and_a_living_runs_stay(house: House) -> None:
    house.run()
    house.dead_run()
    living = house.begin()
    living.mark()
    living.archive()
    house.expire(keep=1)
    assert house.store.files.names(house.store.home / "archive") == ["run-1", "run-3"]
    assert house.store.files.names(house.store.folder / "leases") == ["run-3"]
    assert living.publish().version == 3
    living.lease.release()
    house.expire(keep=1)
    assert house.store.files.names(house.store.folder / "leases") == []
    house.check()


def test_the_folder_of_a_run_that_computes_stays_while_others_publish_above_it(house: House) -> None:
    house.run()
    computing = house.begin()
    number = house.store.reserve()
    written = house.file(f"versions/{number}/views/bars/1s/0.parquet")
    house.run()
    house.expire(keep=1)
    assert written.path in house.paths()
    computing.lease.release()
    house.expire(keep=1)
    assert written.path not in house.paths()


def test_a_version_that_cannot_be_read_holds_everything_until_it_is_retired(house: House) -> None:
    for _ in range(3):
        house.run()
    path = house.store.manifest_path(2)
    path.write_bytes(path.read_bytes()[:-20])
    before, starts = house.paths(), house.log.bounds(NAMES.deltas("trades"))
    done = house.expire(keep=2)
    assert done.retired == () and done.retained == (3, 1)
    assert "cannot be read: (2,)" in done.waiting
    assert (house.paths(), house.log.bounds(NAMES.deltas("trades"))) == (before, starts)
    house.run()
    house.run()
    assert house.expire(keep=2).waiting == ""
    assert house.store.numbers() == [4, 5]
    house.check()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"record": {"version": 2}, "sha256": "00"}'])
def test_a_torn_retirement_is_neither_a_version_nor_garbage_until_its_turn_comes(house: House, data: bytes) -> None:
    for _ in range(4):
        house.run()
    house.store.retirement_path(3).write_bytes(data)
    with pytest.raises(RecordError):
        house.back(3)
    assert versions(house) == [4, 2, 1]
    assert "cannot be read: (3,)" in house.expire(keep=2).waiting
    house.run()
    house.run()
    assert house.expire(keep=2).waiting == ""
    assert house.store.numbers() == [5, 6]


def test_a_torn_lease_or_ledger_stops_expiry(house: House) -> None:
    for _ in range(4):
        house.run()
    house.back(2)
    run = house.begin()
    lease = house.store.folder / "leases" / run.run_id
    data = lease.read_bytes()
    lease.write_bytes(data[:-9])
    before = house.paths()
    with pytest.raises(RecordError, match="leases"):
        house.expire(keep=1)
    lease.write_bytes(data)
    ledger = house.store.folder / "moves" / "1.json"
    ledger.write_bytes(ledger.read_bytes().replace(b"wrong", b"right"))
    with pytest.raises(RecordError, match="moves"):
        house.expire(keep=1)
    assert house.paths() == before
    run.lease.release()


def test_a_delta_topic_that_ends_below_what_is_known_of_it_is_not_touched(house: House) -> None:
    for _ in range(3):
        house.run()
    house.log.truncate(NAMES.deltas("trades"), 1, 1)
    with pytest.raises(BatchError, match="ends below"):
        house.expire(keep=1)
    assert house.log.bounds(NAMES.deltas("trades"))[0].start == 0


def test_a_delta_topic_that_was_created_again_loses_nothing(house: House) -> None:
    for _ in range(3):
        house.run()
    house.log.create(NAMES.deltas("trades"), 2)
    house.deltas(50)
    assert house.expire(keep=1).deltas == ()
    assert house.log.bounds(NAMES.deltas("trades"))[0].start == 0


def test_the_log_in_memory_removes_as_kafka_does(house: House) -> None:
    house.log.delete_before(NAMES.deltas("trades"), {0: 2})
    assert [b.start for b in house.log.bounds(NAMES.deltas("trades")).values()] == [2, 0]
    house.log.delete_before(NAMES.deltas("trades"), {0: 1})
    assert house.log.bounds(NAMES.deltas("trades"))[0].start == 2
    with pytest.raises(DeletionRefusedError):
        house.log.delete_before(NAMES.deltas("trades"), {0: 4})


# Dying, and company


class DeathError(Exception):
    """The process is gone."""


class Hooked(LocalFiles):
    """Calls `hook` before (and after, if it is halfway) each change; `locked` while the publish lock is held."""

    def __init__(self, hook: Callable[[str], None]) -> None:
        self.hook = hook
        self.locked = False

    def replace(self, path: Path, data: bytes) -> None:
        self.hook("replace")
        super().replace(path, data)

    def remove(self, path: Path) -> None:
        self.hook("remove")
        if path.is_dir():
            for name in sorted(p for p in path.rglob("*") if p.is_file())[:1]:
                name.unlink()
            self.hook("removed a part")
        super().remove(path)

    def hold(self, path: Path, data: bytes) -> Hold:
        self.hook("hold")
        return super().hold(path, data)

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        self.hook("lock")
        with super().lock(path):
            self.locked = True
            try:
                yield
            finally:
                self.locked = False
        self.hook("unlocked")


def lived_in(home: Path) -> House:
    """Versions 1 to 7, rolled back from 5 to 3 and on from there, with a dead run."""
    house = House(home)
    for _ in range(5):
        house.run()
    house.back(3)
    house.run()
    house.dead_run()
    house.run()
    return house


def test_expiry_may_die_at_every_step_and_is_run_again(tmp_path: Path) -> None:
    template = lived_in(tmp_path / "template")
    whole = template.copy(tmp_path / "whole")
    steps: list[str] = []
    whole.expire(store=whole.through(Hooked(steps.append)))
    assert steps.count("replace") >= 3 and steps.count("removed a part") >= 3
    for dies_at in range(len(steps)):
        house = template.copy(tmp_path / str(dies_at))
        left = [dies_at]

        def die(_: str, left: list[int] = left) -> None:
            if not left[0]:
                raise DeathError
            left[0] -= 1

        with pytest.raises(DeathError):
            house.expire(store=house.through(Hooked(die)))
        house.check()
        house.run()
        house.check()
        house.expire()
        house.check()


@pytest.mark.crash
def test_expiry_beside_anything_leaves_every_kept_version_whole(tmp_path: Path) -> None:
    """At every step of an expiry that does not hold the lock, something else happens."""

    def publish(house: House) -> None:
        house.run()

    def back(house: House) -> None:
        house.back(versions(house)[-1])

    def another(house: House) -> None:
        house.expire(keep=1)

    def start(house: House) -> None:
        open_run.append(house.begin())

    template = lived_in(tmp_path / "template")
    whole = template.copy(tmp_path / "whole")
    steps: list[str] = []
    whole.expire(store=whole.through(Hooked(steps.append)))
    for action in (publish, back, another, start):
        for at in range(len(steps)):
            open_run: list[Run] = []
            house = template.copy(tmp_path / f"{action.__name__}-{at}")
            seen = iter(range(len(steps) * 2))
            files = Hooked(lambda _: None)

            def meanwhile(
                _: str,
                house: House = house,
                files: Hooked = files,
                seen: Iterator[int] = seen,
                at: int = at,
                action: Callable[[House], None] = action,
            ) -> None:
                step = next(seen)
                if step == at and not files.locked:
                    action(house)
                if step >= at and (step - at) % 8 == 0 and not files.locked:
                    house.check()

            files.hook = meanwhile
            house.expire(store=house.through(files))
            house.check()
            for run in open_run:
                run.mark()
                run.archive()
                run.publish()
                run.lease.release()
            house.check()
            house.expire()
            house.check()


@pytest.mark.parametrize("seed", range(20))
def test_random_lives_keep_every_kept_version_whole(tmp_path: Path, seed: int) -> None:
    house, choose = House(tmp_path), random.Random(seed)
    going: list[Run] = []
    served: list[tuple[int, Hold]] = []
    refused = 0
    for step in range(60):
        what = choose.choice(["run", "begin", "step", "step", "expire", "back", "death", "deltas", "server", "server"])
        try:
            if what == "run":
                house.run()
            elif what == "begin" and len(going) < 3:
                going.append(house.begin())
            elif what == "step" and going:
                run = choose.choice(going)
                if not run.cut:
                    run.mark()
                elif run.stored is None:
                    run.archive()
                else:
                    going.remove(run)
                    try:
                        run.publish()
                    finally:
                        run.lease.release()
            elif what == "expire":
                house.expire(keep=choose.randint(1, 3))
            elif what == "back" and house.store.numbers():
                house.back(choose.choice(house.store.numbers()))
            elif what == "death":
                house.dead_run()
            elif what == "deltas":
                house.deltas(choose.randint(1, 4))
            elif what == "server" and house.store.numbers():
                number = choose.choice(house.store.numbers())
                served.append((number, house.store.lease_served(f"server-{step}", number)))
                if len(served) > 2:
                    served.pop(0)[1].release()
        except VersionError:
            refused += 1
        house.check()
        for number, _ in served:
            house.store.check(files_of(house.store.stored_manifest(number)))
    for hold in [*(run.lease for run in going), *(hold for _, hold in served)]:
        hold.release()
    house.expire(keep=1)
    house.check()
    assert len(versions(house)) <= 3
    assert refused


# The counterexamples


def test_11_the_event_log_keeps_what_a_rollback_must_read_again(house: House) -> None:
    first = house.run()
    for _ in range(4):
        house.run()
    house.expire(keep=5)
    house.back(1)
    run = house.begin()
    assert run.parent == first
    for p, at in first.cut(TRADES).items():
        assert house.log.bounds(NAMES.topic("trades"))[p].start <= at
    run.lease.release()
    house.check()


def test_12_cuts_that_cross_hold_the_smallest_of_each_partition(house: House) -> None:
    """v1 needs deltas {0: 3, 1: 5}, v2 {0: 5, 1: 3}: neither is below the other."""
    for starts in ({0: 3, 1: 5}, {0: 5, 1: 3}):
        house.deltas(3)
        run = house.begin()
        run.mark()
        run.archive()
        run.delta_start = starts
        run.publish()
        run.lease.release()
    assert of_trades(house.expire(keep=2)) == {0: 3, 1: 3}


def test_12_a_rollback_to_what_expiry_retires_meanwhile_is_refused(house: House) -> None:
    for _ in range(4):
        house.run()
    files = Hooked(lambda _: None)
    refused: list[int] = []

    def hook(what: str) -> None:
        if what == "unlocked" and not refused:
            for version in (1, 2):
                with pytest.raises(RetiredVersionError):
                    house.back(version)
                refused.append(version)

    files.hook = hook
    house.expire(keep=2, store=house.through(files))
    assert refused == [1, 2]
    assert house.store.pointer().version == 4


def test_12_a_rollback_that_began_holds_its_target(house: House) -> None:
    for _ in range(4):
        house.run()
    done: list[Expired] = []
    files = Hooked(lambda _: None)

    def hook(what: str) -> None:
        if what == "unlocked" and not done:  # the target is leased, its files are being read
            done.append(house.expire(keep=1))

    files.hook = hook
    rollback(house.through(files), 1, "", "test", lambda: 0)
    assert done[0].retained == (4, 3, 1)
    assert house.store.pointer().version == 1
    house.check()


def test_what_a_server_leases_while_it_is_being_retired_stays_until_it_lets_go(house: House) -> None:
    """It takes no lock, so it may see a version that is retired a moment later."""
    made = [house.run() for _ in range(4)]
    holds: list[Hold] = []
    files = Hooked(lambda _: None)

    def hook(what: str) -> None:
        if what == "replace" and not holds:  # before the first retirement is written
            holds.append(house.store.lease_served("server", 1))

    files.hook = hook
    done = house.expire(keep=2, store=house.through(files))
    assert done.retired == (2, 1)
    with pytest.raises(RetiredVersionError):
        house.back(1)
    with pytest.raises(RetiredVersionError):
        house.store.lease_served("another", 1)
    house.store.check(files_of(made[0]))
    assert house.store.numbers() == [1, 3, 4]
    assert {p: b.start for p, b in house.log.bounds(NAMES.deltas("trades")).items()} == made[0].of(TRADES).delta_start
    house.expire(keep=2)
    house.store.check(files_of(made[0]))
    holds[0].release()
    house.expire(keep=2)
    assert house.store.numbers() == [3, 4]
    assert {p: b.start for p, b in house.log.bounds(NAMES.deltas("trades")).items()} == made[2].of(TRADES).delta_start
    house.check()


def test_16_a_run_notes_the_deltas_before_its_marks_and_holds_them_from_then_on(house: House) -> None:
    house.run()
    run = house.begin()
    run.mark()  # two deltas of the new cells land at once
    house.log.topics[NAMES.deltas("trades")].append(
        type(house.log.topics[NAMES.deltas("trades")][0])()
    )  # a partition is added
    house.deltas(3)
    for _ in range(3):
        house.run()
    house.expire(keep=1)
    with pytest.raises(LostRaceError):
        run.archive()
        run.publish()
    house.check()
    bounds = house.log.bounds(NAMES.deltas("trades"))
    assert all(bounds[p].start <= at for p, at in run.delta_start.items())
    assert bounds[2].start == 0  # no version knows it
    run.lease.release()


def test_18_what_a_running_run_stands_on_stays_while_others_publish_and_expire(house: House) -> None:
    house.run()
    run = house.begin()
    run.mark()
    run.archive()
    for _ in range(3):
        house.run()
    house.expire(keep=1)
    house.back(1)  # its parent was kept for it
    manifest = run.publish()
    run.lease.release()
    assert manifest.parent == 1
    house.check()
