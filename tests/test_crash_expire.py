"""The crash matrix of expiry: at each fault point SIGKILL, an I/O error and a full disk, then an expiry that ends.

    versions 1 2 3 4  ->  expiry dies at P  ->  every answer holds  ->  expiry again  ->  only what is kept is left

One expiry after another is killed, each a step further, and each point alone: `make crash`.
"""

import signal
from collections.abc import Iterator

import pytest

from serving.store.hot import MAX_SNAPSHOTS
from slackwater.core.faults import POINTS
from tests.crash_kit import AGAIN, House, open_house

pytestmark = pytest.mark.broker

POINTS_OF_EXPIRE = [p for p in POINTS if p.partition(".")[0] == "expire"]
EXPIRE = ("batch", "expire", "--keep", "1")


@pytest.fixture(scope="module")
def house(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of its own: what expires here, others do not miss."""
    with open_house(broker, tmp_path_factory.mktemp("crash-expire")) as found, found.running("speed", "run"):
        found.world.produce(40)
        for _ in range(MAX_SNAPSHOTS):  # so many the service leases
            publish(found)
        yield found


def publish(house: House) -> None:
    house.world.produce(4)
    ended = house.run("batch", "run")
    assert ended.code == 0, ended.text


def holds(house: House) -> None:
    """What a kept version stands on is whole, and every merged answer is right."""
    for manifest in house.world.store.retained():
        house.world.check(manifest)
    house.verify()


def dies(house: House, fault: str, code: int) -> None:
    """An expiry dies: what is served is served, and all that is kept is whole."""
    served = house.world.store.current()
    # It dies before the log loses anything: what is checked below is compared with all of the log.
    trimming = ["--log"] if fault.startswith("expire.log") else []
    ended = house.run(*EXPIRE, *trimming, fault=fault)
    assert ended.code == code, ended.text
    assert house.world.store.current() == served
    holds(house)


def ends(house: House) -> None:
    """The next expiry leaves what is kept, and nothing else."""
    served = house.world.store.current()
    ended = house.run(*EXPIRE)
    assert ended.code == 0, ended.text
    kept = house.world.store.retained()
    assert served is not None and kept[0] == served and len(kept) <= MAX_SNAPSHOTS + 1  # the service leases its own
    folders = house.world.store.files.names(house.world.store.folder)
    assert {name for name in folders if name.isdigit()} == {str(manifest.version) for manifest in kept}
    epochs = {entry.epoch for manifest in kept for entry in manifest.archive}
    assert set(house.world.store.files.names(house.world.home / "archive")) == epochs
    publish(house)
    holds(house)


def two_more(house: House) -> None:
    for _ in range(2):
        publish(house)
    house.verify()  # the service serves, and leases, the newest


@pytest.mark.crash
def test_expiries_that_die_one_after_another_take_nothing_that_is_needed(house: House) -> None:
    two_more(house)
    for point in POINTS_OF_EXPIRE:
        dies(house, f"{point}:kill", -signal.SIGKILL)
    ends(house)


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS_OF_EXPIRE)
@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("eio", AGAIN), ("enospc", AGAIN)])
def test_an_expiry_that_dies_there_takes_nothing_that_is_needed_and_is_ended_by_the_next(
    action: str, code: int, point: str, house: House
) -> None:
    two_more(house)
    dies(house, f"{point}:{action}", code)
    ends(house)
