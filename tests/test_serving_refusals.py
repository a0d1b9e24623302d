"""Where log, pointer, files or definitions do not fit, the service says so and serves what is whole, never a guess."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slackwater.deltas.cell import encode_key, encode_value
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import ManifestError
from slackwater.versions.pointer import Pointer, encode_pointer
from slackwater.views.answers import Column
from slackwater.views.bars import BARS
from slackwater.views.measures import Count
from slackwater.views.view import View
from tests.serving_world import NAMES, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, partitions=1)
    yield found
    found.close()


def published(world: World, versions: int = 1) -> World:
    """Versions with two trades each below their cuts, and one trade behind the last."""
    for number in range(1, versions + 1):
        world.trade(at_s=number)
        world.trade(at_s=number)
        world.publish(world.mark(f"run-{number}"), f"run-{number}")
    world.trade(at_s=9)
    world.emit()
    return world


def answer(world: World, query: str = "symbol=BTC&interval=1h") -> tuple[int, dict[str, object]]:
    """How many trades are answered, and what the answer says of itself."""
    found = world.bars(query)
    return sum(bar["trades"] for bar in found["bars"]), found["meta"]


def reasons(world: World) -> str:
    """Why the service is not ready; it must not be."""
    response = world.get("/health/ready")
    assert response.status_code == 503
    return " ".join(response.json()["reasons"])


def test_a_whole_world_is_ready(world: World) -> None:
    assert world.get("/health/ready").status_code == 503
    published(world).step()
    response = world.get("/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (200, [])
    assert response.json()["version"] == 1
    assert (response.json()["proof"]["outcome"], response.json()["proof"]["reason"]) == ("equal", "")
    assert answer(world)[0] == 3


def test_before_the_first_look_nothing_is_guessed(world: World) -> None:
    assert world.get("/v1/bars?venue=x&symbol=BTC").status_code == 503
    assert world.get("/v1/instruments").status_code == 503
    assert world.get("/health/live").status_code == 200


def test_a_recreated_topic_leaves_the_batch_view_alone(world: World) -> None:
    published(world).step()
    world.log.create(NAMES.topic("trades"), 1)
    world.step(seconds=6)
    trades, about = answer(world)
    assert (trades, about["layer"], about["complete"]) == (2, "batch", False)
    assert "created again" in str(about["refusal"])
    assert "created again" in reasons(world)
    assert world.get("/v1/bars?venue=x&symbol=BTC&layer=speed").status_code == 503


def test_a_missing_topic_leaves_the_batch_view_alone(world: World) -> None:
    published(world).step()
    del world.log.topics[NAMES.topic("trades")]
    world.step(seconds=6)
    assert answer(world)[0] == 2
    assert "does not exist" in reasons(world)


def test_a_log_whose_start_is_above_the_cut_is_refused(world: World) -> None:
    published(world).step()
    world.log.delete_below(NAMES.topic("trades"), 0, 3)
    world.step()
    assert "above the cut" in str(answer(world)[1]["refusal"])
    assert answer(world)[0] == 2


def test_a_log_whose_end_is_below_the_cut_is_refused(world: World) -> None:
    published(world)
    world.log.truncate(NAMES.topic("trades"), 0, 1)
    world.step()
    assert "below the cut" in reasons(world)
    assert answer(world)[0] == 2


def test_a_cut_without_its_own_mark_is_refused(world: World) -> None:
    published(world)
    world.log.truncate(NAMES.topic("trades"), 0, 2)
    world.mark("another-run")
    world.trade()
    world.step()
    assert "not the mark of version 1" in reasons(world)
    assert answer(world)[0] == 2


def test_cells_beyond_the_logs_end_are_not_answered_until_a_version_passes_them(world: World) -> None:
    published(world).step()
    assert answer(world)[0] == 3
    world.log.truncate(NAMES.topic("trades"), 0, 3)
    world.step()
    assert "lost its tail" in str(answer(world)[1]["refusal"])
    assert answer(world)[0] == 2
    for _ in range(5):
        world.trade(at_s=30)
    world.step(seconds=60)
    assert answer(world)[0] == 2, "the log grew again, but the cells are of records that are gone"
    world.publish(world.mark("run-2"), "run-2")
    world.emit(start={0: world.store.current().cut("trades")[0]})  # type: ignore[union-attr]
    world.step()
    world.step()
    assert (answer(world)[0], answer(world)[1]["layer"]) == (7, "merged")
    assert world.get("/health/ready").status_code == 200


def test_a_tail_that_was_lost_before_its_cells_came_is_refused_too(world: World) -> None:
    published(world).step()
    for _ in range(3):
        world.trade(at_s=30)
    world.step()
    assert answer(world)[0] == 3, "the cells of these trades are still to come"
    world.log.truncate(NAMES.topic("trades"), 0, 4)
    world.step()
    assert "The log lost its tail below 7 in partition 0." in str(answer(world)[1]["refusal"])
    assert answer(world)[0] == 2


def test_an_unreachable_log_is_said_and_what_is_known_goes_on(world: World) -> None:
    published(world).step()
    world.log.down = True
    world.step()
    assert "No Kafka broker answers" in reasons(world)
    assert answer(world)[0] == 3
    world.log.down = False
    world.step()
    assert world.get("/health/ready").status_code == 200


def test_what_was_applied_after_the_last_look_at_a_log_that_went_away_is_not_taken_for_a_lost_tail(
    world: World,
) -> None:
    published(world).step()
    world.trade(at_s=90)
    world.emit()
    world.service.lives["trades"].feed.step()  # the feed saw the trade; the watch has not looked at the log since
    world.log.down = True
    world.step()
    world.log.down = False
    world.step()
    assert world.get("/health/ready").json()["reasons"] == []
    assert answer(world)[0] == 4


def test_a_server_that_starts_without_a_log_serves_the_batch_view_alone(world: World) -> None:
    published(world)
    world.log.down = True
    world.step()
    assert answer(world)[0] == 2
    assert "No Kafka broker" in str(answer(world)[1]["refusal"])
    world.log.down = False
    world.step()
    assert answer(world)[0] == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1', '{"version": "1"}', '{"version": -1, "sha256": "x"}'])
def test_a_torn_pointer_keeps_what_is_served(world: World, text: str) -> None:
    published(world, versions=2).step()
    (world.store.folder / "current").write_text(text)
    world.step()
    trades, about = answer(world)
    assert (trades, about["version"], about["layer"]) == (5, 2, "merged")
    assert "The pointer is damaged" in str(about["refusal"])
    assert reasons(world)


def test_a_pointer_to_a_missing_version_falls_back(world: World) -> None:
    published(world, versions=2)
    (world.store.folder / "current").write_bytes(encode_pointer(Pointer(9, "0" * 64)))
    world.step()
    assert answer(world)[1]["version"] == 2
    assert "9" in reasons(world)


def test_a_pointer_that_is_gone_is_not_taken_for_a_new_home(world: World) -> None:
    published(world, versions=2)
    (world.store.folder / "current").unlink()
    world.step()
    assert answer(world)[1]["version"] == 2
    assert "pointer is gone" in reasons(world)


def test_a_damaged_manifest_falls_back_to_the_version_before(world: World) -> None:
    published(world, versions=2)
    path = world.store.manifest_path(2)
    path.write_bytes(path.read_bytes().replace(b'"epoch"', b'"epocH"'))
    with pytest.raises(ManifestError):
        world.store.current()
    world.step()
    assert (answer(world)[0], answer(world)[1]["version"]) == (5, 1)
    assert reasons(world)


def test_a_damaged_file_falls_back_and_its_repair_is_noticed(world: World) -> None:
    published(world, versions=2)
    path = world.store.home / world.store.manifest(2).parts_of("bars", "1m")[0].file.path
    good = path.read_bytes()
    path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    world.step()
    trades, about = answer(world)
    assert (trades, about["version"], about["layer"]) == (5, 1, "merged")
    assert "damaged" in str(about["refusal"])
    assert str(world.store.home) not in str(about["refusal"]), "paths of the machine are nobody's business"
    path.write_bytes(good)
    world.step(seconds=60)
    assert answer(world)[1]["version"] == 2
    assert world.get("/health/ready").status_code == 200


def test_another_definition_is_refused(world: World) -> None:
    world.trade()
    world.publish(world.mark("a"), "a")
    world.trade()
    world.publish(world.mark("b"), "b", definitions={"bars": "0" * 16})
    world.emit()
    world.step()
    assert (answer(world)[0], answer(world)[1]["version"]) == (2, 1)
    assert "definition" in reasons(world)


def test_no_version_of_the_definition_is_no_answer(world: World) -> None:
    world.trade()
    world.publish(world.mark("a"), "a", definitions={"bars": "0" * 16})
    world.emit()
    world.step()
    assert world.get("/v1/bars?venue=x&symbol=BTC").status_code == 503
    assert "definition" in reasons(world)
    assert world.get("/v1/bars?venue=x&symbol=BTC&as_of=1").status_code == 409


def test_a_view_that_no_version_has_is_refused_alone(world: World) -> None:
    published(world)
    world.views = (BARS, View("counts", {"events": Count()}, {"events": Column("events")}, stream=TRADES))
    world.serve()
    world.step()
    assert answer(world)[0] == 3
    assert world.get("/v1/counts?venue=x&symbol=BTC").status_code == 503
    assert "without the view counts" in reasons(world)


def test_cells_that_differ_are_an_alarm_until_the_cut_passes_them(world: World) -> None:
    published(world)
    cell = world.cell(BARS, 0, 2, 4)
    wrong = replace(cell, rows=(cell.rows[0]._replace(state=(*cell.rows[0].state[:-1], 77)),))
    world.send(wrong)
    world.step()
    assert "Alarm" in reasons(world)
    assert answer(world)[0] == 3, "the first one stays"
    world.publish(world.mark("run-2"), "run-2")
    world.step()
    assert world.get("/health/ready").status_code == 200


def test_bytes_that_are_no_delta_are_counted_and_passed_over(world: World) -> None:
    published(world)
    cell = world.cell(BARS, 0, 3, 4)
    for key, value in [(None, None), (b"{", b"x"), (encode_key(cell, True), b"[]"), (b"[1,2]", encode_value(cell))]:
        world.log.append(NAMES.deltas("trades"), 0, key, value)
    world.step()
    assert answer(world)[0] == 3
    assert 'slackwater_bad_deltas_total{stream="trades"} 4.0' in world.get("/metrics").text
    assert world.get("/health/ready").status_code == 200


def test_a_hole_in_the_chain_is_not_jumped(world: World) -> None:
    for i in range(6):
        world.trade(at_s=i)
    for start, upto in ((0, 2), (4, 6)):
        world.send(world.cell(BARS, 0, start, upto), sealed=True)
    world.step()
    trades, about = answer(world)
    assert (trades, about["applied"], about["complete"]) == (2, {"0": 2}, False)
    world.send(world.cell(BARS, 0, 2, 4), sealed=True)
    world.step()
    trades, about = answer(world)
    assert (trades, about["applied"], about["complete"]) == (6, {"0": 6}, True)


def test_cells_of_a_replay_in_any_order_change_nothing(world: World) -> None:
    published(world)
    cells = [world.cell(BARS, 0, 2, upto) for upto in (4, 3, 4)]
    for cell in cells:
        world.send(cell)
    world.emit()
    world.step()
    assert answer(world)[0] == 3


def test_a_fallback_reads_the_cells_again_that_were_dropped(world: World) -> None:
    """Versions 1 to 7 are served one after the other, so cells below 4's cut are forgotten; then all but 1 are damaged.

    The chain from version 1's cut is read again from the delta topic.
    """
    for number in range(1, 8):
        world.trade(at_s=number)
        cut = world.mark(f"run-{number}")
        world.emit()
        world.publish(cut, f"run-{number}")
        world.step()
    for number in range(2, 8):
        path = world.store.home / world.store.manifest(number).parts_of("bars", "1s")[0].file.path
        path.write_bytes(b"")
    world.store.manifest_path(7).write_bytes(b"")
    (world.store.folder / "current").write_text("{}")
    world.step()
    world.step()
    trades, about = answer(world)
    assert (trades, about["version"], about["layer"]) == (7, 1, "merged")
