"""Backup and restore of a home: whole whatever happens meanwhile, what is new alone, and nothing that is damaged.

home  ->  backup  ->  another home: the same versions, files, moves and pins
"""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.broker import free_port
from slackwater.versions import backup as backups
from slackwater.versions.backup import BACKUP, back_up, read_backup
from slackwater.versions.errors import BackupError, DamagedFileError, RecordError
from slackwater.versions.pinning import pin
from slackwater.versions.pins import Pin
from slackwater.versions.restore import check_backup, restore
from slackwater.versions.retention import answering, states
from slackwater.versions.rollback import files_of, snapshot_files
from slackwater.versions.snapshots import Schedule
from slackwater.versions.store import VersionStore
from tests import forked
from tests.beam_world import World, kafka_world
from tests.test_drill import ready, run, wait
from tests.test_expire import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Versions 1 to 4, rolled back from 4 to 3 and on to 5; 1 is a snapshot, and pinned."""
    made = House(tmp_path / "home")
    for _ in range(4):
        made.run()
    made.back(3)
    made.run()
    pin(made.store, Pin("books", 1, "me", "", 5))
    made.expire(keep=3)
    assert states(made.store)[1] == "snapshot"
    return made


def same(home: Path, target: Path, to: Path, restored: bool = False) -> None:
    """What a backup gives is what the home holds: versions, states, moves, pins; every file whole."""
    if not restored:
        restore(target, to)
    ours, found = VersionStore(home), VersionStore(to)
    assert found.pointer() == ours.pointer()
    assert [m.version for m in answering(found)] == [m.version for m in answering(ours)]
    assert found.moves.until(found.pointer().move) == ours.moves.until(ours.pointer().move)
    assert found.pins.all() == ours.pins.all()
    for manifest in answering(found):
        assert manifest == ours.answering(manifest.version)
        whole = found.retirement(manifest.version) is None
        assert whole == (ours.retirement(manifest.version) is None)
        found.check(files_of(manifest) if whole else snapshot_files(manifest))
    assert not (to / "restoring.json").exists()


def test_a_home_comes_back_as_it_was(house: House, tmp_path: Path) -> None:
    made = back_up(house.store, tmp_path / "backup", 7)
    assert made.copied == len(made.backup.files) and made.copied_bytes == made.backup.size
    assert check_backup(tmp_path / "backup") == made.backup == read_backup(tmp_path / "backup")
    assert (made.backup.version, made.backup.made_us) == (5, 7)
    same(house.store.home, tmp_path / "backup", tmp_path / "new")
    again = House(tmp_path / "again")
    again.store, again.log, again.runs = VersionStore(tmp_path / "new"), house.log, house.runs
    again.back(3)
    assert again.run().version == 6
    again.expire(keep=1)
    again.check()


def test_only_what_is_new_is_copied_and_what_went_goes(house: House, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    first = back_up(house.store, target, 1)
    assert back_up(house.store, target, 2).copied == 0
    house.run()
    more = back_up(house.store, target, 3)
    assert more.copied == len(more.backup.files) - len(first.backup.files) == 3  # manifest, archive, view
    flipped = target / first.backup.files[-1].path
    flipped.write_bytes(bytes([flipped.read_bytes()[0] ^ 1]) + flipped.read_bytes()[1:])
    with pytest.raises(BackupError, match="is damaged, or gone"):
        check_backup(target)
    with pytest.raises(BackupError, match="is damaged, or gone"):
        restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert back_up(house.store, target, 4).copied == 1
    for _ in range(4):
        house.run()
    house.expire(keep=1)
    left = back_up(house.store, target, 5).backup
    files = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    assert files == {BACKUP, "backup.lock", *(file.path for file in left.files)}
    same(house.store.home, target, tmp_path / "new")


def test_a_damaged_home_leaves_the_backup_before(house: House, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    first = back_up(house.store, target, 1).backup
    file = house.run().parts[0].file
    data = (house.store.home / file.path).read_bytes()
    (house.store.home / file.path).write_bytes(data[:-1])
    with pytest.raises(DamagedFileError, match="is damaged"):
        back_up(house.store, target, 2)
    (house.store.home / file.path).unlink()
    with pytest.raises(DamagedFileError, match="found nothing"):
        back_up(house.store, target, 2)
    assert check_backup(target) == first
    assert house.store.files.names(house.store.folder / "leases") == []


def test_folders_that_hold_something_else_are_refused(house: House, tmp_path: Path) -> None:
    home = house.store.home
    for inside in (home, home / "backup", home.parent):
        with pytest.raises(BackupError, match="lie in one another"):
            back_up(house.store, inside, 1)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    with pytest.raises(BackupError, match=r"holds something else: notes\.txt"):
        back_up(house.store, foreign, 1)
    with pytest.raises(BackupError, match="holds no backup"):
        restore(foreign, tmp_path / "new")
    empty = House(tmp_path / "empty")
    with pytest.raises(BackupError, match="Nothing is published"):
        back_up(empty.store, tmp_path / "of-nothing", 1)
    target = tmp_path / "backup"
    back_up(house.store, target, 1)
    with pytest.raises(BackupError, match="is not empty: it holds"):
        restore(target, home)
    other = House(tmp_path / "other")
    other.clock.seconds = 5
    other.run()
    with pytest.raises(BackupError, match="is the backup of another home"):
        back_up(other.store, target, 1)
    same(home, target, tmp_path / "new")
    path = target / BACKUP
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RecordError):
        restore(target, tmp_path / "newer")


def test_what_a_backup_copies_stays_while_others_publish_and_expire(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each file that is copied somebody publishes, rolls back and expires."""
    before = [m.version for m in answering(house.store)]
    real, steps = backups._copy, iter(range(1000))

    def meanwhile(*words: object) -> bool:
        step = next(steps)
        house.clock.seconds += 1
        house.run()
        if step % 3 == 2:
            house.back(house.store.retained()[1].version)
        house.expire(keep=1, schedule=Schedule(hours=step % 2))
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "_copy", meanwhile)
    made = back_up(house.store, tmp_path / "backup", 1)
    monkeypatch.undo()
    assert list(made.backup.versions) == before
    restore(tmp_path / "backup", tmp_path / "new")
    found = VersionStore(tmp_path / "new")
    assert [m.version for m in answering(found)] == before and found.pointer().version == 5
    for manifest in answering(found):
        whole = found.retirement(manifest.version) is None
        found.check(files_of(manifest) if whole else snapshot_files(manifest))
    house.expire(keep=1)
    house.check()
    assert not {m.version for m in answering(house.store)} & set(before[:-1])  # they went as soon as nobody held them


@pytest.fixture
def world(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SLACKWATER_PORT", str(free_port()))
    monkeypatch.setenv("SLACKWATER_KEEP_VERSIONS", "1")
    monkeypatch.setenv("SLACKWATER_SNAPSHOT_HOURS", "0")
    monkeypatch.setenv("SLACKWATER_SNAPSHOT_DAYS", "0")
    with kafka_world(broker, tmp_path / "home") as made:
        yield made


@pytest.mark.broker
@pytest.mark.timeout(300)
def test_a_backup_beside_running_batch_runs_is_a_home_that_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, stopped, few = tmp_path / "backup", threading.Event(), ("--interval", "1s", "--interval", "1h")

    def produce() -> None:
        while not stopped.wait(0.05):
            world.produce(2)

    producer = threading.Thread(target=produce)
    with ExitStack() as programs:
        programs.enter_context(forked.running("speed", "run", environ=world.environ()))
        world.produce(60)
        run(world, "batch", "run")
        producer.start()
        try:
            with forked.running("batch", "run", "--every", "1", environ=world.environ()):
                versions = []
                for _ in range(3):
                    wait("more versions", lambda: world.store.pointer().version > (versions or [1])[-1])
                    versions.append(run(world, "backup", str(target))["version"])
        finally:
            stopped.set()
            producer.join(60)
        assert versions == sorted(set(versions))
        assert run(world, "backup", str(target), "--check")["version"] == versions[-1]
        home = world.home
        monkeypatch.setattr(world, "home", tmp_path / "new")
        monkeypatch.setattr(world, "store", VersionStore(tmp_path / "new"))
        restored = run(world, "restore", str(target))
        assert restored["version"] == versions[-1] and not any(restored["log"].values())
        world.reopen()
        assert versions[-1] in [manifest.version for manifest in world.store.retained()]
        for manifest in world.store.retained():
            world.check(manifest)
        shutil.rmtree(home)
    with forked.running("speed", "run", environ=world.environ()), forked.running("serve", environ=world.environ()):
        url = f"http://127.0.0.1:{world.environ()['SLACKWATER_PORT']}"
        wait("it is served", lambda: ready(url)[0] == 200)
        assert run(world, "verify", *few)["answers"]
        world.check(world.store.manifest(run(world, "batch", "run")["version"]))
        assert run(world, "verify", *few)["answers"]


@pytest.mark.broker
def test_a_restored_home_says_that_its_log_is_another_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.produce(20)
    world.batch()
    run(world, "backup", str(tmp_path / "backup"))
    with kafka_world(world.environ()["KAFKA_BOOTSTRAP_SERVERS"], tmp_path / "new") as other:
        said = json.dumps(run(other, "restore", str(tmp_path / "backup"))["log"])
    assert "was created again" in said
