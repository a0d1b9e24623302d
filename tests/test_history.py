"""`as_of=<time>`: the version that the pointer named then, by the record of its publications and moves.

named     1-----2-----3--1-------4------         back from 3 to 1, then on to 4
asked       ^     ^    ^    ^       ^
"""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_layer.expire import expire
from slackwater.context import Context
from slackwater.store.local_files import LocalFiles
from slackwater.versions.history import History, Span, Turn, spans
from slackwater.versions.pinning import pin, unpin
from slackwater.versions.pins import Pin
from slackwater.versions.store import VersionStore
from tests.serving_world import NAMES, World
from tests.test_expire import House
from tests.test_rollback import back, version
from tests.test_versions import MANIFEST

TURNS = [Turn(10, 0, 1), Turn(20, 1, 2), Turn(30, 2, 3), Turn(40, 3, 1), Turn(50, 1, 4)]


def named(current: int, turns: list[Turn], at_us: int) -> int | None:
    found = [span for span in spans(current, turns) if span.holds(at_us)]
    assert len(found) == 1
    return found[0].version


# The choice


def test_a_rollback_changes_what_was_named_then() -> None:
    assert spans(4, TURNS) == [
        Span(4, 50, None),
        Span(1, 40, 50),
        Span(3, 30, 40),
        Span(2, 20, 30),
        Span(1, 10, 20),
        Span(0, None, 10),
    ]
    asked = {9: 0, 10: 1, 19: 1, 20: 2, 39: 3, 40: 1, 49: 1, 50: 4, 10**9: 4}
    assert {at: named(4, TURNS, at) for at in asked} == asked
    assert spans(0, []) == [Span(0, None, None)]


def test_what_is_gone_is_never_taken_for_the_version_before_it() -> None:
    without = [turn for turn in TURNS if turn.version != 2]
    assert spans(4, without)[-2:] == [Span(1, 10, 11), Span(0, None, 10)]
    assert [named(4, without, at) for at in (9, 10, 11, 29, 30)] == [0, 1, None, None, 3]
    left = [*without, Turn(20, 1, None)]
    assert [named(4, left, at) for at in (9, 10, 19, 20, 29, 30)] == [0, 1, 1, None, None, 3]
    newest = [TURNS[-1]]
    assert spans(4, newest) == [Span(4, 50, None), Span(None, None, 50)]


def test_a_manifest_whose_process_died_before_the_pointer_moved_was_never_named() -> None:
    died = [*TURNS[:2], Turn(25, 2, 3), Turn(30, 2, 4)]
    assert [named(4, died, at) for at in (24, 25, 29, 30)] == [2, 2, 2, 4]


def test_a_pointer_that_could_not_be_read_hides_what_came_before_it_was_mended() -> None:
    mended = [*TURNS[:3], Turn(40, None, 1)]
    assert [named(1, mended, at) for at in (30, 31, 39, 40)] == [3, None, None, 1]


@given(st.data())
def test_every_time_is_answered_with_what_was_named_or_with_nothing(data: st.DataObject) -> None:
    turns: list[Turn] = []
    phantoms: list[Turn] = []
    at, current, highest = 0, 0, 0
    truth: dict[int, int] = {}
    for _ in range(data.draw(st.integers(0, 14))):
        at += data.draw(st.integers(1, 3))
        how = data.draw(st.sampled_from(["publish", "publish", "move", "die"]))
        if how == "die":
            highest += 1
            phantoms.append(Turn(at, current, highest))
        elif how == "publish" or not current:
            highest += 1
            turns.append(Turn(at, current, highest))
            current = highest
        else:
            target = data.draw(st.sampled_from(sorted({turn.version for turn in turns})))
            if target == current:
                continue
            turns.append(Turn(at, current, target))
            current = target
        truth[at] = current
    whole = [*turns, *phantoms]

    def named_then(moment: int) -> int:
        return truth[max((t for t in truth if t <= moment), default=0)] if any(t <= moment for t in truth) else 0

    for moment in range(at + 2):
        real = [t for t in truth if t <= moment and t not in {p.at_us for p in phantoms}]
        assert named(current, whole, moment) == (truth[max(real)] if real else 0)
    # Publications of versions that are gone leave holes, and no wrong version; moves stay, and when others were left.
    gone = data.draw(st.sets(st.sampled_from(sorted({turn.version for turn in turns}) or [0])))
    published: set[int] = set()
    left = []
    for turn in turns:
        first = turn.version not in published
        published.add(turn.version)
        if not (first and turn.version in gone and turn.version != current):
            left.append(turn)
    known = [Turn(turn.at_us, turn.source, None) for turn in turns if turn.source and turn.source not in gone]
    for moment in range(at + 2):
        then = named(current, [*left, *known], moment)
        assert then in {named_then(moment), None}
        assert then is not None or named_then(moment) in gone or not named_then(moment)


# The record


def test_times_are_taken_under_the_lock_and_are_in_the_order_of_moves_whatever_the_clock_says(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    clock = iter([100, 40, 90, 200])

    def publish(parent: int) -> int:
        made = replace(MANIFEST, version=store.reserve(), parent=parent, archive=(), ids=(), parts=(), restatements=())
        return store.publish(made, None, lambda: next(clock)).published_us

    assert publish(0) == 100
    assert publish(1) == 101
    assert store.move(1, lambda: next(clock), "me", "why").at_us == 102
    assert publish(1) == 200
    assert store.manifest(3).published_us == 200
    assert [span.version for span in History(store).spans()] == [3, 1, 2, 1, 0]


def test_what_is_being_published_is_waited_for(tmp_path: Path) -> None:
    """A publication has its time before the pointer moves. Whoever asks for later must not be told the old version."""
    timed, asking = threading.Event(), threading.Event()

    class Slow(LocalFiles):
        def create(self, path: Path, data: bytes) -> None:
            timed.set()
            assert asking.wait(60)
            super().create(path, data)

    class Asking(LocalFiles):
        def lock(self, path: Path) -> Any:
            asking.set()
            return super().lock(path)

    def made(number: int) -> Any:
        return replace(MANIFEST, version=number, parent=number - 1, archive=(), ids=(), parts=(), restatements=())

    store = VersionStore(tmp_path)
    store.publish(made(store.reserve()), None, lambda: 100)
    slow = VersionStore(tmp_path, Slow())
    number = slow.reserve()
    publisher = threading.Thread(target=lambda: slow.publish(made(number), None, lambda: 200))
    publisher.start()
    assert timed.wait(60)
    assert History(VersionStore(tmp_path, Asking())).at(250).version == 2
    publisher.join(60)
    assert History(store).at(199).version == 1


def test_the_nearest_that_answer_are_named(tmp_path: Path) -> None:
    house = House(tmp_path / "home")
    for second in range(1, 7):
        house.clock.seconds = second
        house.run()
    pin(house.store, Pin("kept", 2, "me", "", 5))
    house.expire(keep=1)
    history = History(house.store)
    assert history.at(2_500_000).version == 2
    assert (history.at(3_500_000).version, history.around(3_500_000)) == (None, (2, 5))
    assert (history.at(500_000).version, history.around(500_000)) == (None, (None, 2))
    assert history.at(99_000_000).version == 6


# What is answered


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for _ in range(3):
        made.clock.sleep(10)
        version(made)
    made.step()
    made.step()
    yield made
    made.close()


def asked(world: World, as_of: object) -> Any:
    return world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&limit=1000&as_of={as_of}")


def published(world: World, number: int) -> int:
    facts = world.get("/v1/versions").json()["versions"]
    at_us: int = next(each["published"] for each in facts if each["version"] == number)
    return at_us


def test_as_of_a_time_answers_from_the_version_that_was_named_then(world: World) -> None:
    at = {number: published(world, number) for number in (1, 2, 3)}
    world.clock.sleep(10)
    back(world, 1)
    moved = world.store.moves.until(world.store.pointer().move)[-1].at_us
    world.step()
    world.clock.sleep(10)
    version(world)
    world.step()
    at[4] = published(world, 4)
    wanted = {
        at[1]: 1,
        at[2] - 1: 1,
        at[2]: 2,
        at[3]: 3,
        moved - 1: 3,
        moved: 1,  # another version was named then than the newest that had been published
        at[4] - 1: 1,
        at[4]: 4,
        world.clock.now_us(): 4,
    }
    for moment, number in wanted.items():
        answer = asked(world, moment)
        assert (answer.status_code, answer.json()["meta"]["version"]) == (200, number)
        meta = answer.json()["meta"]
        assert meta["layer"] == "batch" and meta["applied"] == meta["cut"]
        oracle = world.oracle({int(p): cut for p, cut in meta["cut"].items()})
        bars = [{**bar, "closed": None} for bar in answer.json()["bars"]]
        assert bars == [{**bar, "closed": None} for bar in oracle.bars("x", "BTC", 60_000_000)]
        assert "immutable" in answer.headers["cache-control"]
        when = datetime.fromtimestamp(moment / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        assert asked(world, when).json()["meta"]["version"] == number


def test_a_time_without_a_version_says_why(world: World) -> None:
    first = published(world, 1)
    before = asked(world, first - 1)
    assert (before.status_code, before.json()["type"]) == (404, "urn:slackwater:problem:unknown-version")
    assert "Nothing was published by" in before.json()["detail"] and "version 1" in before.json()["detail"]
    later = asked(world, world.clock.now_us() + 60_000_000)
    assert later.status_code == 404 and "is yet to come" in later.json()["detail"]
    second = published(world, 2)
    for _ in range(3):
        world.clock.sleep(10)
        version(world)
        world.step()
    pin(world.store, Pin("kept", 1, "me", "", 5))
    expire(Context(world.log, NAMES, world.store, (), world.clock), keep=1)
    gone = asked(world, second)
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:slackwater:problem:version-retired")
    assert (gone.json()["older"], gone.json()["newer"]) == (1, 3)  # 3 is held by the server
    assert "version 1 was served before and version 3 was served after" in gone.json()["detail"]
    assert asked(world, first).json()["meta"]["version"] == 1
    for wrong in ("17231612400", "2026-13-01", "-5", "A", "2026-01-31T09:30:00%2B02:00"):
        assert asked(world, wrong).status_code == 422


def test_as_of_the_name_of_a_pin(world: World) -> None:
    unknown = asked(world, "books")
    assert unknown.status_code == 404 and "There is no pin 'books'" in unknown.json()["detail"]
    pin(world.store, Pin("books", 2, "me", "", 5))
    first = world.get("/v1/bars?venue=x&symbol=BTC&interval=1m&limit=1&start=1970-01-01&as_of=books")
    assert first.json()["meta"]["version"] == 2
    assert first.headers["cache-control"] == "no-cache"
    following = f"&limit=1&start=1970-01-01&cursor={first.json()['next']}"
    again = world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&as_of=books{following}")
    assert again.json()["meta"]["version"] == 2
    unpin(world.store, "books")
    pin(world.store, Pin("books", 3, "me", "", 5))
    assert asked(world, "books").json()["meta"]["version"] == 3
    turned = world.get(f"/v1/bars?venue=x&symbol=BTC&interval=1m&as_of=books{following}")
    assert (turned.status_code, turned.json()["type"]) == (410, "urn:slackwater:problem:cursor-gone")
    exported = world.get("/v1/bars?venue=x&symbol=BTC&interval=1m&limit=all&format=csv&as_of=books")
    assert exported.headers["slackwater-version"] == "3" and exported.headers["cache-control"] == "no-cache"
