"""Files that were whole when they were checked and are not any more: found, never answered from, and healed.

seen by the file system    at the read itself, and at the next look, at most a second later
in silence                 by the scrub, which reads every file again
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slackwater.store.files import FileState
from slackwater.store.local_files import SETTLED_NS, LocalFiles
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.store import VersionStore
from tests.serving_world import NOON, SECOND, World

TRADES = f"/v1/trades?venue=x&symbol=BTC&start={NOON}&end={NOON + 86_400 * SECOND}"


class Silent(LocalFiles):
    """Files whose states stand still, as where bits flip on the disk."""

    def state(self, path: Path) -> FileState:
        path.stat()
        return FileState((hash(path),), settled=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=1)
    for number in (1, 2):
        found.trade(at_s=number)
        found.trade(at_s=3600 * number)
        found.publish(found.mark(f"run-{number}"), f"run-{number}")
    found.trade(at_s=9)
    found.emit()
    found.step()
    yield found
    found.close()


def silent(world: World) -> None:
    """A new server that sees no state change."""
    world.store = VersionStore(world.store.home, Silent())
    world.serve()
    world.step()
    assert world.get("/health/ready").status_code == 200


def flip(world: World, file: StoredFile) -> bytes:
    path = world.store.home / file.path
    good = path.read_bytes()
    path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    return good


def view_file(manifest: Manifest, interval: str = "1h") -> StoredFile:
    return manifest.parts_of("bars", interval)[0].file


def newest(world: World) -> tuple[int, int]:
    """Trades answered, and by which version."""
    found = world.bars("symbol=BTC&interval=1d")
    assert sum(bar["trades"] for bar in found["bars"]) == world.oracle().events
    return found["meta"]["version"], found["meta"]["complete"]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("interval", ["1s", "1m", "1h"])
def test_a_view_file_that_is_damaged_while_it_is_served_is_found_at_the_next_look(
    world: World, interval: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert newest(world) == (2, True)
    file = view_file(world.store.manifest(2), interval)
    good = flip(world, file)
    world.step()
    assert newest(world) == (1, True)
    assert errors(caplog) == [f"Refused: Version 2 is not served: {file.path} is damaged."]
    response = world.get("/health/ready")
    assert (response.status_code, response.json()["version"]) == (503, 1)
    assert response.json()["reasons"] == [f"Version 2 is not served: {file.path} is damaged."]
    for _ in range(20):
        world.step()
    assert len(errors(caplog)) == 1
    (world.store.home / file.path).write_bytes(good)
    world.step()
    assert newest(world) == (2, True)
    assert world.get("/health/ready").status_code == 200


def test_a_read_between_two_looks_is_not_answered_from_a_damaged_file(world: World) -> None:
    flip(world, view_file(world.store.manifest(2)))
    response = world.get("/v1/bars?venue=x&symbol=BTC&interval=1h")
    assert (response.status_code, response.json()["type"]) == (503, "urn:slackwater:problem:files-unreadable")
    assert response.headers["Retry-After"] == "1"
    world.step(seconds=0.0)  # what the read found is not looked for again
    assert newest(world) == (1, True)


def test_an_earlier_version_is_checked_again_at_each_read(world: World) -> None:
    query = "/v1/bars?venue=x&symbol=BTC&as_of=1&interval="
    assert world.get(query + "1h").status_code == 200
    file = view_file(world.store.manifest(1), "1m")
    good = flip(world, file)
    assert world.get(query + "1m").status_code == 503
    (world.store.home / file.path).write_bytes(good)
    assert world.get(query + "1m").status_code == 200


def test_a_manifest_that_is_damaged_while_it_is_served_is_found(world: World, caplog: pytest.LogCaptureFixture) -> None:
    path = world.store.manifest_path(2)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"epoch"', b'"epocH"'))
    world.step()
    assert newest(world) == (1, True)
    path.write_bytes(good)
    world.step()
    assert newest(world) == (2, True)
    path.unlink()
    world.step()
    assert newest(world) == (1, True)
    assert len(errors(caplog)) == 2


def test_where_no_version_is_whole_any_more_nothing_is_answered(world: World) -> None:
    good = {file.path: flip(world, file) for file in (view_file(world.store.manifest(v)) for v in (1, 2))}
    world.step()
    assert world.get("/v1/bars?venue=x&symbol=BTC").status_code == 503
    assert "damaged" in str(world.get("/health/ready").json()["reasons"])
    for path, data in good.items():
        (world.store.home / path).write_bytes(data)
    world.step()
    assert newest(world) == (2, True)
    assert world.get("/health/ready").status_code == 200


def test_a_damaged_archive_is_refused_by_the_read_and_then_passed_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    file = world.store.manifest(2).archive[0].file
    whole = world.get(TRADES).json()["trades"]
    good = flip(world, file)
    assert world.get(TRADES).status_code == 503
    world.step(seconds=0.0)
    found = world.get(TRADES).json()
    assert (found["meta"]["version"], found["trades"]) == (1, whole)
    assert newest(world) == (1, True)
    assert errors(caplog) == [f"Refused: Version 2 is not whole: {file.path} is damaged."]
    (world.store.home / file.path).write_bytes(good)
    world.step()
    assert newest(world) == (2, True)
    assert world.get(TRADES).json()["trades"] == whole


def test_where_every_archive_is_damaged_bars_are_answered_and_trades_are_not(world: World) -> None:
    for version in (1, 2):
        flip(world, world.store.manifest(version).archive[0].file)
    for _ in range(20):
        world.step()
    assert newest(world) == (2, True)
    assert world.get(TRADES).status_code == 503
    assert "archive/2/0.parquet is damaged" in str(world.get("/health/ready").json()["reasons"])


@pytest.mark.parametrize("kind", ["view", "archive", "manifest"])
def test_the_scrub_finds_what_the_file_system_does_not_tell(
    world: World, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    silent(world)
    manifest = world.store.manifest(2)
    manifest_path = world.store.manifest_path(2).relative_to(world.store.home).as_posix()
    file = {
        "view": view_file(manifest),
        "archive": manifest.archive[0].file,
        "manifest": StoredFile(manifest_path, 0, "", 0, "16."),
    }[kind]
    flip(world, file)
    rounds = world.service.scrub.rounds
    while world.service.scrub.rounds < rounds + 2:
        world.step()
    world.step()
    assert newest(world)[0] == 1
    assert len(errors(caplog)) == 1


def test_the_scrub_reads_no_faster_than_it_may(world: World) -> None:
    scrub = world.service.scrub
    began, before = world.clock.elapsed_s(), scrub.read_bytes
    scrub._bytes_per_s = 1000
    for _ in range(400):
        world.step(seconds=0.1)
    sizes = [file.file.size for file in (*world.store.manifest(2).parts, *world.store.manifest(2).archive)]
    assert 0 < scrub.read_bytes - before <= 1000 * (world.clock.elapsed_s() - began) + max(sizes)
    scrub._bytes_per_s = 0
    before = scrub.read_bytes
    world.step()
    assert scrub.read_bytes == before


def test_the_pointer_is_read_once_for_one_choice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointer that moves behind the look is seen at the next look, against a log that is looked at after it."""
    reads = 0
    pointer = world.store.pointer

    def counted() -> object:
        nonlocal reads
        reads += 1
        return pointer()

    monkeypatch.setattr(world.store, "pointer", counted)
    (world.store.folder / "current").touch()
    world.publish(world.mark("run-3"), "run-3")
    reads = 0
    world.step()
    assert world.service.watch.snapshot is not None
    assert (reads, world.service.watch.snapshot.version) == (1, 3)


def test_a_state_changes_with_the_bytes_and_is_not_settled_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = LocalFiles().state(path)
    assert not first.settled
    while not LocalFiles().state(path).settled:
        os.sched_yield()
    assert LocalFiles().state(path).identity == first.identity
    path.write_bytes(b"two")
    os.utime(path, (0, 0))
    assert LocalFiles().state(path).identity != first.identity
    assert SETTLED_NS >= 10_000_000, "a kernel may count time in steps of 10 ms"
