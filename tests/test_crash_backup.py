"""The crash matrix of a backup and of a restore: at each fault point SIGKILL and a full disk, then one that ends.

backup 1  ->  more versions  ->  backup dies at P  ->  backup 1 or 2 is whole  ->  backup again  ->  2
"""

import signal
from pathlib import Path

import pytest

from slackwater.core.faults import POINTS
from slackwater.versions.backup import back_up
from slackwater.versions.errors import PointerError, VersionError
from slackwater.versions.restore import check_backup
from slackwater.versions.store import VersionStore
from tests import forked
from tests.crash_kit import AGAIN
from tests.test_backup import same
from tests.test_expire import House

POINTS_OF_BACKUP = [p for p in POINTS if p.partition(".")[0] == "backup"]
POINTS_OF_RESTORE = [p for p in POINTS if p.partition(".")[0] == "restore"]

ACTIONS = [("kill", -signal.SIGKILL), ("enospc", AGAIN)]


def command(home: Path, *words: str, fault: str = "") -> int:
    return forked.call("--home", str(home), *words, environ={"SLACKWATER_FAULT": fault}).returncode


@pytest.mark.parametrize("point", POINTS_OF_BACKUP)
@pytest.mark.parametrize(("action", "code"), ACTIONS)
def test_a_backup_that_dies_leaves_a_whole_one_and_is_ended_by_the_next(
    action: str, code: int, point: str, tmp_path: Path
) -> None:
    house, target = House(tmp_path / "home"), tmp_path / "backup"
    house.run()
    back_up(house.store, target, 1)
    house.run()
    assert command(house.store.home, "backup", str(target), fault=f"{point}:{action}") == code
    assert check_backup(target).version == (2 if point == "backup.after" else 1)
    house.run()
    house.expire(keep=1)
    assert command(house.store.home, "backup", str(target)) == 0
    assert check_backup(target).version == 3
    same(house.store.home, target, tmp_path / "restored")


@pytest.mark.parametrize("point", POINTS_OF_RESTORE)
@pytest.mark.parametrize(("action", "code"), ACTIONS)
def test_a_restore_that_dies_leaves_a_home_that_is_refused_and_is_ended_by_the_next(
    action: str, code: int, point: str, tmp_path: Path
) -> None:
    house, target, home = House(tmp_path / "home"), tmp_path / "backup", tmp_path / "restored"
    for _ in range(3):
        house.run()
    back_up(house.store, target, 1)
    after = ":after=2" if point == "restore.copy" else ""
    assert command(home, "restore", str(target), "--no-log", fault=f"{point}:{action}{after}") == code
    if point == "restore.after":
        assert VersionStore(home).pointer().version == 3
        return
    if (home / "versions").exists():
        with pytest.raises((PointerError, VersionError)):
            VersionStore(home).pointer()
    assert command(home, "restore", str(target), "--no-log") == 0
    same(house.store.home, target, home, restored=True)
