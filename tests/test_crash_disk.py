"""A disk that is really full: a file system of 8 MiB, filled but for a few pages, until a run fits again.

free    0      4 KiB  8 KiB  ...                      n KiB
run     ends with one clear line, old version served   publishes, and is right
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beam_world import kafka_world
from tests.crash_kit import AGAIN, House
from tests.forked import FILE_BYTES

pytestmark = pytest.mark.broker

PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own. Only root may mount one; elsewhere that is a skip, said loudly."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"A really full disk is NOT tested: no tmpfs can be mounted here ({done.stderr.strip()}).")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def leave(disk: Path, free: int) -> None:
    """Fill it, so that `free` bytes are left."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    there = os.statvfs(disk)
    filler.write_bytes(bytes(there.f_bavail * there.f_frsize - free))


@pytest.mark.crash
def test_runs_on_a_full_disk_end_with_one_clear_line_until_there_is_room(
    disk: Path, broker: str, tmp_path: Path
) -> None:
    with kafka_world(broker, disk / "home") as world:
        house = House(world, tmp_path)
        world.produce(40)
        assert house.run("batch", "run", SLACKWATER_PROOF_SECONDS="0").code == 0
        served = world.store.current()
        assert served is not None
        world.produce(400)
        failed, free = 0, 0
        while True:
            leave(disk, free)
            ended = house.run("batch", "run", SLACKWATER_PROOF_SECONDS="0")
            if ended.code == 0:
                break
            assert ended.code == AGAIN and len(ended.errors) == 1, ended.text
            assert "No space left on device" in ended.errors[0], ended.text
            assert world.store.current() == served
            failed, free = failed + 1, free * 2 or PAGE
        assert failed >= 3
        manifest = world.store.current()
        assert manifest is not None and manifest.parent == served.version
        world.check(manifest)


def test_a_file_that_may_not_grow_ends_a_run_with_one_clear_line(broker: str, tmp_path: Path) -> None:
    with kafka_world(broker, tmp_path / "home") as world:
        house = House(world, tmp_path)
        world.produce(300)
        ended = house.run("batch", "run", SLACKWATER_PROOF_SECONDS="0", **{FILE_BYTES: str(PAGE)})
        assert ended.code == AGAIN and len(ended.errors) == 1 and "File too large" in ended.errors[0], ended.text
        assert world.store.current() is None
        assert house.run("batch", "run", SLACKWATER_PROOF_SECONDS="0").code == 0
        manifest = world.store.current()
        assert manifest is not None
        world.check(manifest)
