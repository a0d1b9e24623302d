"""When an answer may say that it is complete: the delta topic is read to where it was, and the log is seen.

the delta topic     [ . . . . . . . . . . ]     ends here when the server starts
read so far         [ . . . ]                   `applied` may only grow, or the answer says that it is not complete
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lesson.memory_log import MemoryReader
from serving.options import ServingOptions
from serving.watch.live import STUCK, UNREAD
from serving.watch.log_watch import UNSEEN_S
from slackwater.log.log import Bounds
from tests.serving_world import World, offsets

BTC = "symbol=BTC"  # in partition 1
LONGER = "symbol=DOGE"  # in partition 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Version 1 below a cut, and trades of both partitions behind it."""
    found = World(tmp_path)
    for symbol in ("BTC", "DOGE"):
        found.trade(symbol)
    cut = found.mark("run-1")
    for n in range(30):
        found.trade("BTC", at_s=n)
    found.trade("DOGE", at_s=1)
    found.trade("LATER", at_s=1)
    for n in range(1, 34):
        found.emit(cut, {p: min(at + n, found.log.bounds("slackwater.trades")[p].end) for p, at in cut.items()})
    found.publish(cut, "run-1")
    yield found
    found.close()


def started(world: World, limit: int | None = None, **options: Any) -> None:
    """A server that has loaded the version, and read nothing of the delta topic; `limit` deltas come with one poll."""
    world.serve(ServingOptions(poll_s=0.0, **options))
    reader = world.log.reader

    def few(topic: str, *arguments: Any, **more: Any) -> MemoryReader:
        made = reader(topic, *arguments, **more)
        made.limit = limit if topic.endswith(".deltas") else None
        return made

    world.log.reader = few  # type: ignore[method-assign]
    world.service.watch.step()


def test_a_server_that_starts_says_that_it_has_not_read_the_delta_topic(world: World) -> None:
    started(world)
    about = world.bars(BTC)["meta"]
    assert (about["applied"], about["complete"], about["reason"]) == (about["cut"], False, UNREAD)
    world.service.lives["trades"].feed.step()
    about = world.bars(BTC)["meta"]
    assert about["complete"]
    assert "reason" not in about
    assert offsets(about["applied"])[1] == world.log.bounds("slackwater.trades")[1].end


def test_applied_goes_back_over_a_restart_only_in_answers_that_say_so(world: World) -> None:
    applied = 0
    for limit in (None, 1, 7):
        started(world, limit)
        for _ in range(40):
            about = world.bars(BTC)["meta"]
            at = offsets(about["applied"])[1]
            assert at >= applied or not about["complete"]
            applied = max(applied, at) if about["complete"] else applied
            world.service.lives["trades"].feed.step()
        assert about["complete"]


def test_an_answer_waits_for_its_own_partitions_alone(world: World) -> None:
    started(world, limit=10)
    until_read = 0
    while not world.bars(LONGER)["meta"]["complete"]:
        world.service.lives["trades"].feed.step()
        until_read += 1
    assert until_read < 10
    unread = world.service.completeness.unread
    assert unread("trades", [0]) is None
    assert unread("trades", [0, 1]) == unread("trades", [1])


def test_a_kept_answer_is_not_given_once_more_when_its_reason_is_gone(world: World) -> None:
    started(world)
    first = world.get(f"/v1/bars?venue=x&{LONGER}")
    world.service.lives["trades"].feed._check_missing()
    assert world.get(f"/v1/bars?venue=x&{LONGER}").content == first.content
    world.service.lives["trades"].feed.step()
    second = world.get(f"/v1/bars?venue=x&{LONGER}", {"If-None-Match": first.headers["ETag"]})
    assert second.status_code == httpx.codes.OK
    assert second.json()["meta"]["complete"]


def test_what_is_not_known_yet_is_not_called_unknown(world: World) -> None:
    started(world)
    problem = world.bars("symbol=LATER", expect=503)
    assert "not known yet" in problem["detail"]
    world.service.lives["trades"].feed.step()
    assert world.bars("symbol=LATER")["meta"]["complete"]
    assert "No event of x:NEVER is known" in world.bars("symbol=NEVER", expect=404)["detail"]


def test_a_list_of_instruments_says_that_some_may_be_missing(world: World) -> None:
    def asked() -> tuple[set[str], bool, str]:
        found = world.get("/v1/instruments").json()
        meta = found["meta"]
        return {each["symbol"] for each in found["instruments"]}, meta["complete"], meta.get("reason", "")

    started(world)
    assert asked() == ({"BTC", "DOGE"}, False, UNREAD)
    assert world.get("/v1/instruments?format=csv").headers["Slackwater-Reason"] == UNREAD
    world.service.lives["trades"].feed.step()
    assert asked() == ({"BTC", "DOGE", "LATER"}, True, "")


def test_a_delta_partition_that_cannot_be_read_on_is_in_its_answers_alone(world: World) -> None:
    started(world)
    world.step()
    assert world.bars(BTC)["meta"]["complete"]
    world.trade("BTC", at_s=60)
    world.log.damage("slackwater.trades.deltas", 1, world.log.bounds("slackwater.trades.deltas")[1].end, "damaged")
    world.emit()
    world.step()
    about = world.bars(BTC)["meta"]
    assert (about["complete"], about["reason"]) == (False, STUCK)
    assert world.bars(LONGER)["meta"]["complete"]
    world.log.damage("slackwater.trades.deltas", 1, None)
    world.step()
    assert world.bars(BTC)["meta"]["complete"]


def test_a_server_that_starts_waits_for_what_a_transaction_hides_of_the_delta_topic(world: World) -> None:
    world.log.open_transaction("slackwater.trades.deltas", 1)
    world.trade("BTC", at_s=60)
    world.emit()
    started(world)
    world.step()
    world.step()
    about = world.bars(BTC)["meta"]
    assert (about["complete"], about["reason"]) == (False, UNREAD)
    assert "hides" in world.get("/health/ready").text
    assert world.bars(LONGER)["meta"]["complete"]
    world.log.end_transaction("slackwater.trades.deltas", 1)
    world.step()
    about = world.bars(BTC)["meta"]
    assert about["complete"]
    assert offsets(about["applied"])[1] == world.log.bounds("slackwater.trades")[1].end


def test_a_restart_while_the_feed_opens_is_read_before_anything_is_complete(world: World) -> None:
    started(world, limit=1)
    feed, bounds = world.service.lives["trades"].feed, world.log.bounds

    def meanwhile(topic: str) -> dict[int, Bounds]:
        world.log.bounds = bounds  # type: ignore[method-assign]
        feed.restart({})
        return bounds(topic)

    world.log.bounds = meanwhile  # type: ignore[method-assign]
    for _ in range(2):  # opens once and, since it was restarted meanwhile, once more
        feed.step()
        assert world.service.completeness.unread("trades", [1]) and not feed.caught_up
    while feed.behind:
        assert not feed.caught_up
        feed.step()
    assert world.bars(BTC)["meta"]["complete"]


def test_a_look_that_failed_is_not_held_against_what_is_applied(world: World) -> None:
    started(world)
    world.step()
    watch = world.service.lives["trades"].log_watch
    world.log.down = True
    world.clock.sleep(2.0)
    facts, seen = watch.check()
    assert facts is not None and not seen
    world.log.down = False
    assert watch.check().seen and watch.lost == {}


def test_by_a_setting_an_answer_that_may_miss_deltas_is_refused(world: World) -> None:
    started(world, incomplete="refuse")
    refused = world.get(f"/v1/bars?venue=x&{BTC}")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert UNREAD in refused.json()["detail"]
    assert world.get(f"/v1/bars?venue=x&{BTC}&layer=batch").status_code == httpx.codes.OK
    assert world.get(f"/v1/bars?venue=x&{BTC}&as_of=1").status_code == httpx.codes.OK
    world.service.lives["trades"].feed.step()
    assert world.bars(BTC)["meta"]["complete"]


def test_a_server_reads_anew_and_says_so_when_its_cells_do_not_reach_down(world: World) -> None:
    started(world)
    world.step()
    assert world.bars(BTC)["meta"]["complete"]
    world.service.lives["trades"].feed.restart({})
    about = world.bars(BTC)["meta"]
    assert (about["complete"], about["reason"]) == (False, UNREAD)


@pytest.mark.parametrize("failing", [False, True], ids=["it hangs", "it fails"])
def test_a_log_that_does_not_answer_is_in_every_answer_with_since_when(world: World, failing: bool) -> None:
    started(world)
    world.step()
    seen = world.bars(BTC)
    assert seen["meta"]["complete"]
    world.log.down = failing
    world.clock.sleep(UNSEEN_S + 0.1)
    if failing:
        world.service.lives["trades"].log_watch.pulse()
    first = world.get(f"/v1/bars?venue=x&{BTC}")
    about = first.json()["meta"]
    assert (about["complete"], about["applied"]) == (False, seen["meta"]["applied"])
    assert re.fullmatch(r"The log has not been seen since 2025-10-06T12:\d\d:\d\d(\.\d+)?Z\.", about["reason"])
    for _ in range(3):  # the same outage is the same answer
        world.clock.sleep(60.0)
        if failing:
            world.service.lives["trades"].log_watch.pulse()
        again = world.get(f"/v1/bars?venue=x&{BTC}", {"If-None-Match": first.headers["ETag"]})
        assert again.status_code == httpx.codes.NOT_MODIFIED
        ready = world.get("/health/ready")
        assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert about["reason"] in ready.text
    as_csv = world.get(f"/v1/bars?venue=x&{BTC}&format=csv")
    assert (as_csv.headers["Slackwater-Complete"], as_csv.headers["Slackwater-Reason"]) == ("false", about["reason"])
    world.log.down = False
    world.step()
    assert world.bars(BTC)["meta"]["complete"]
    assert about["reason"] not in world.get("/health/ready").text


def test_a_log_is_looked_at_while_versions_are_read(world: World) -> None:
    """The watch of versions may read files for minutes; a log that answers is seen meanwhile."""
    started(world)
    world.service.lives["trades"].feed.step()
    for _ in range(60):
        world.clock.sleep(1.0)
        world.service.lives["trades"].log_watch.pulse()
        assert world.bars(BTC)["meta"]["complete"]


def test_lost_ends_are_remembered_whoever_looks(world: World) -> None:
    started(world)
    world.step()
    end = world.log.bounds("slackwater.trades")[1].end
    world.log.truncate("slackwater.trades", 1, end - 5)
    world.clock.sleep(2.0)
    world.service.lives["trades"].log_watch.pulse()
    world.log.append("slackwater.trades", 1, None, b"refused, but a record")
    world.step()
    assert "lost its tail" in world.bars(BTC)["meta"]["refusal"]
