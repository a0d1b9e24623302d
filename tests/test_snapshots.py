"""Snapshots: which versions stay when they leave the rollback set, what they hold, and that they answer.

versions    1     2     3  |  4     5  |  6          hours 2: the last of each hour
kept                    s  |        s  |  c          c: current, s: a snapshot, its log and its deltas may be gone
"""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from batch_layer.expire import expire
from ops.cli import main
from slackwater.context import Context
from slackwater.versions.errors import (
    NoSuchVersionError,
    PinError,
    RecordError,
    RetiredVersionError,
    SnapshotError,
)
from slackwater.versions.manifest import IdFile
from slackwater.versions.pinning import pin, unpin
from slackwater.versions.pins import Pin
from slackwater.versions.retention import states
from slackwater.versions.snapshots import DAY_US, HOUR_US, Schedule, scheduled
from tests.serving_world import NAMES, World
from tests.test_expire import NAMES as OF_HOUSE
from tests.test_expire import DeathError, Hooked, House
from tests.test_rollback import back, version

HOURLY = Schedule(hours=2, days=3)


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, not machines."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "home")


def run_at(house: House, hour: float) -> int:
    house.clock.seconds = hour * 3600
    return house.run().version


def named(house: House, version: int, name: str) -> Pin:
    return pin(house.store, Pin(name, version, "me", "why", 5))


# The choice


def test_the_newest_of_each_hour_and_day_stays() -> None:
    minutes = {1: 670, 2: 700, 3: 715, 4: 725, 5: 750, 6: 782}
    times = {version: minute * 60_000_000 for version, minute in minutes.items()}
    now_us = times[6]
    assert scheduled(times, now_us, Schedule(hours=2)) == {3, 5, 6}
    assert scheduled(times, now_us, Schedule(hours=1)) == {5, 6}
    assert scheduled(times, now_us, Schedule(days=1)) == {6}
    assert scheduled(times, now_us, Schedule()) == frozenset()
    yesterday = {0: times[1] - DAY_US, **times}
    assert scheduled(yesterday, now_us, Schedule(hours=1, days=1)) == {0, 5, 6}
    assert scheduled(yesterday, now_us, Schedule(hours=1)) == {5, 6}


def test_of_two_versions_of_one_time_the_higher_number_stays() -> None:
    assert scheduled({7: 10, 8: 10}, 10, Schedule(hours=1)) == {8}


@given(
    st.lists(st.integers(1, 5 * HOUR_US), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_a_choice_after_each_publication_leaves_what_one_choice_at_the_end_leaves(
    gaps: list[int], keep: int, hours: int, days: int
) -> None:
    schedule, now_us = Schedule(hours, days), 17 * HOUR_US
    every: dict[int, int] = {}
    kept: dict[int, int] = {}
    for number, gap in enumerate(gaps, 1):
        now_us += gap
        every[number] = kept[number] = now_us
        newest = sorted(kept)[-keep:]
        kept = {n: kept[n] for n in {*newest, *scheduled(kept, now_us, schedule)}}
    chosen = scheduled(every, now_us, schedule)
    assert chosen <= kept.keys()
    assert kept.keys() == {*sorted(every)[-keep:], *chosen}


# What stays of them


def test_what_leaves_the_rollback_set_stays_as_a_snapshot_of_its_hour_and_goes_when_that_is_long_ago(
    house: House,
) -> None:
    made = [run_at(house, hour) for hour in (100.1, 100.4, 100.9, 101.1, 101.5, 102.0)]
    done = house.expire(keep=1, schedule=HOURLY)
    assert (done.retained, done.snapshots, done.retired) == ((6, 5), (3,), (4, 2, 1))
    assert states(house.store) == {3: "snapshot", 5: "retained", 6: "current"}
    run_at(house, 102.1)
    run_at(house, 102.2)
    done = house.expire(keep=1, schedule=HOURLY)
    assert (done.retained, done.snapshots, done.retired) == ((8, 7), (5, 3), (6,))
    house.check()
    # The deltas are needed by the rollback set alone.
    floor = {p: b.start for p, b in house.log.bounds(OF_HOUSE.deltas("trades")).items()}
    assert floor == house.store.manifest(7).streams["trades"].delta_start
    house.clock.seconds = 104 * 3600
    assert house.expire(keep=1, schedule=HOURLY).snapshots == ()  # of the day, 8 is the newest
    assert house.store.numbers() == [7, 8]
    assert made == [1, 2, 3, 4, 5, 6]


def test_a_snapshot_answers_and_nothing_goes_on_from_it(house: House) -> None:
    for hour in (100.9, 101.9, 102.0, 102.1):
        run_at(house, hour)
    house.expire(keep=1, schedule=HOURLY)
    assert house.store.answering(1).version == 1
    for attempt in (
        lambda: house.back(1),
        lambda: house.store.manifest(1),
        lambda: house.store.lease("mine", [1]),
        lambda: house.store.lease_served("server", 1),
    ):
        with pytest.raises(SnapshotError, match=r"Version 1 left the rollback set and is a snapshot.*as_of=1"):
            attempt()
    assert 1 not in {manifest.version for manifest in house.store.whole()}
    house.clock.seconds = 110 * 3600
    house.expire(keep=1, schedule=Schedule())
    with pytest.raises(RetiredVersionError, match=r"Version 1 was retired\."):
        house.store.answering(1)


def test_a_snapshot_holds_archive_and_parts_and_no_ids(house: House) -> None:
    run_at(house, 100.9)
    first = house.store.manifest(1)
    ids = house.file("archive/run-1/trades-ids.parquet")
    house.clock.seconds = 101 * 3600
    number = house.store.reserve()
    house.store.publish(
        replace(first, version=number, parent=1, created_us=house.clock.now_us(), ids=(IdFile(ids, "trades"),))
    )
    # Version 3 goes on from 1, so that nothing else lists the ids of 2.
    house.back(1)
    run_at(house, 102.0)
    run_at(house, 102.1)
    done = house.expire(keep=1, schedule=HOURLY)
    assert 2 in done.snapshots
    assert ids.path not in house.paths()
    house.check()


def test_what_a_running_run_stands_on_stays_whole_when_it_becomes_a_snapshot(house: House) -> None:
    run_at(house, 100.9)
    run = house.begin()
    run.mark()
    run.archive()
    starts = house.store.manifest(1).streams["trades"].delta_start
    for hour in (101.0, 101.1, 101.2):
        run_at(house, hour)
    done = house.expire(keep=1, schedule=HOURLY)
    assert 1 in done.retained  # it is leased
    assert all(house.log.bounds(OF_HOUSE.deltas("trades"))[p].start <= at for p, at in starts.items())
    run.lease.release()
    assert 1 in house.expire(keep=1, schedule=HOURLY).snapshots
    house.check()


def test_a_snapshot_that_cannot_be_read_holds_files_and_no_deltas(house: House) -> None:
    for hour in (100.9, 101.9, 102.0, 102.1):
        run_at(house, hour)
    house.expire(keep=1, schedule=HOURLY)
    path = house.store.manifest_path(1)
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    for hour in (102.2, 102.3):
        run_at(house, hour)
    before = house.paths()
    done = house.expire(keep=1, schedule=HOURLY)
    assert "cannot be read: (1,)" in done.waiting
    assert done.deltas and not done.names
    assert before <= house.paths()
    path.write_bytes(data)
    assert house.expire(keep=1, schedule=HOURLY).waiting == ""
    house.check()


def test_expiry_with_snapshots_may_die_at_every_step_and_is_run_again(tmp_path: Path) -> None:
    template = House(tmp_path / "template")
    for hour in (99.2, 100.1, 100.9, 101.1):
        run_at(template, hour)
    template.expire(keep=1, schedule=HOURLY)
    for hour in (101.9, 102.1, 103.5, 103.6):
        run_at(template, hour)
    named(template, 5, "kept")
    whole = template.copy(tmp_path / "whole")
    steps: list[str] = []
    wanted = whole.expire(keep=1, store=whole.through(Hooked(steps.append)), schedule=HOURLY)
    assert wanted.snapshots and wanted.retired
    for dies_at in range(len(steps)):
        house = template.copy(tmp_path / str(dies_at))
        left = [dies_at]

        def die(_: str, left: list[int] = left) -> None:
            if not left[0]:
                raise DeathError
            left[0] -= 1

        with pytest.raises(DeathError):
            house.expire(keep=1, store=house.through(Hooked(die)), schedule=HOURLY)
        house.check()
        again = house.expire(keep=1, schedule=HOURLY)
        assert (again.retained, again.snapshots) == (wanted.retained, wanted.snapshots)
        house.check()
        assert house.paths() == whole.paths()


@pytest.mark.parametrize("seed", range(8))
def test_random_lives_keep_the_last_version_of_each_hour(tmp_path: Path, seed: int) -> None:
    house, choose = House(tmp_path), random.Random(seed)
    house.clock.seconds = 100 * 3600
    times: dict[int, int] = {}
    seen = False
    for _ in range(40):
        house.clock.seconds += choose.choice([60, 600, 1200, 3600])
        if choose.random() < 0.7:
            times[house.run().version] = house.clock.now_us()
        elif choose.random() < 0.3 and house.store.retained():
            kept = [m.version for m in house.store.retained() if m.version != house.store.pointer().version]
            if kept:
                house.back(choose.choice(kept))
        house.expire(keep=choose.randint(1, 3), schedule=HOURLY)
        house.check()
        state = states(house.store)
        for number in scheduled(times, house.clock.now_us(), HOURLY):
            assert state[number] != "retired"
        seen |= "snapshot" in state.values()
    assert seen


# Pins


def test_a_pin_keeps_a_version_until_it_is_taken_back(house: House) -> None:
    for hour in range(100, 105):
        run_at(house, hour)
    named(house, 2, "year-end")
    named(house, 2, "audit")
    assert house.expire(keep=1).snapshots == (2,)
    house.clock.seconds = 1e7
    assert house.expire(keep=1).snapshots == (2,)
    assert house.store.pins.of_versions() == {2: ("audit", "year-end")}
    assert unpin(house.store, "audit").version == 2
    assert house.expire(keep=1).snapshots == (2,)
    unpin(house.store, "year-end")
    assert house.expire(keep=1).retired == (2,)
    house.check()


def test_a_name_is_of_one_version_and_of_one_that_answers(house: House) -> None:
    for hour in range(100, 104):
        run_at(house, hour)
    named(house, 3, "books")
    assert named(house, 3, "books") == house.store.pins.get("books")
    with pytest.raises(PinError, match="books is version 3's"):
        named(house, 4, "books")
    for name in ("", "7", "2026-01-01", "Books", "../books", "a" * 65, "a b"):
        with pytest.raises(PinError, match="is no name of a pin"):
            named(house, 3, name)
        with pytest.raises(PinError, match="There is no pin"):
            unpin(house.store, name)
    house.expire(keep=1)
    with pytest.raises(RetiredVersionError):
        named(house, 1, "late")
    with pytest.raises(NoSuchVersionError):
        named(house, 9, "early")


def test_a_pin_that_cannot_be_read_stops_expiry(house: House) -> None:
    for hour in range(100, 104):
        run_at(house, hour)
    named(house, 1, "books")
    path = house.store.folder / "pins" / "books.json"
    data = path.read_bytes()
    before = house.paths()
    for torn in (data[:-9], data.replace(b"books", b"cooks")):
        path.write_bytes(torn)
        with pytest.raises(RecordError, match="pins"):
            house.expire(keep=1)
    path.write_bytes(data)
    assert house.paths() == before
    assert house.expire(keep=1).snapshots == (1,)


# What is answered


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for _ in range(3):
        version(made)
    made.step()
    made.step()
    yield made
    made.close()


def as_of(world: World, asked: object) -> list[dict[str, object]]:
    """What a version answers, which equals the oracle at its own cut, and its batch view alone."""
    found = world.bars(f"symbol=BTC&interval=1m&limit=1000&as_of={asked}")
    assert found["meta"]["layer"] == "batch" and found["meta"]["applied"] == found["meta"]["cut"]
    oracle = world.oracle({int(p): at for p, at in found["meta"]["cut"].items()})
    bars: list[dict[str, object]] = [{**bar, "closed": None} for bar in found["bars"]]
    assert bars == [{**bar, "closed": None} for bar in oracle.bars("x", "BTC", 60_000_000)]
    return bars


def test_a_snapshot_answers_as_its_cut_whatever_the_rollback_set_does(world: World) -> None:
    before = as_of(world, 2)
    pin(world.store, Pin("books", 2, "me", "", 5))
    for _ in range(3):
        version(world)
        world.step()
    context = Context(world.log, NAMES, world.store, (), world.clock)
    assert expire(context, keep=1).snapshots == (2,)
    assert as_of(world, 2) == before
    back(world, 5)
    version(world)
    world.step()
    expire(context, keep=1)
    assert as_of(world, 2) == before
    facts = {each["version"]: each for each in world.get("/v1/versions").json()["versions"]}
    assert (facts[2]["state"], facts[2]["pins"]) == ("snapshot", ["books"])
    assert world.get("/v1/versions/2").status_code == 200
    unpin(world.store, "books")
    expire(context, keep=1)
    gone = world.get("/v1/bars?venue=x&symbol=BTC&interval=1m&as_of=2")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:slackwater:problem:version-retired")


def test_the_commands_pin_list_and_unpin(world: World) -> None:
    def run(*words: str, code: int = 0) -> dict[str, object]:
        done = CliRunner().invoke(main, ["--home", str(world.store.home), "batch", *words, "--json"])
        assert done.exit_code == code, done.output
        found: dict[str, object] = json.loads(done.stdout) if code == 0 else {}
        return found

    assert run("pin", "1", "books", "--reason", "the books of May")["reason"] == "the books of May"
    run("pin", "2", "books", code=1)
    version(world)
    expire(Context(world.log, NAMES, world.store, (), world.clock), keep=1)
    listed = {each["version"]: (each["state"], each["pins"]) for each in run("list")["versions"]}  # type: ignore[attr-defined]
    assert listed[1] == ("snapshot", ["books"])
    shown = CliRunner().invoke(main, ["--home", str(world.store.home), "batch", "list"])
    assert "snapshot" in shown.output
    run("rollback", "1", "--reason", "x", code=1)
    assert run("unpin", "books")["version"] == 1
    run("unpin", "books", code=1)
