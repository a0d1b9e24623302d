"""Dead letters read back: each once with what became of it, and handed in again, each taken once."""

import json
from pathlib import Path

import pytest

from ingest.chunk import of_lines
from ingest.letters import TAKEN, Replayed, replay
from slackwater.log.dead_letter import MAX_VALUE_BYTES, DeadLetter, Whole, letter_of, send, settle
from slackwater.log.letters import Chosen, Stored, stored_letters
from tests.beam_world import kafka_world
from tests.forked import call
from tests.ingest_kit import NAMES, T0, House, ids, line, memory_house, records

ANY = Chosen()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path)


def stored(house: House, chosen: Chosen = ANY) -> list[Stored]:
    return list(stored_letters(house.log, NAMES.dead_letters, chosen))


def handed_in(house: House, chosen: Chosen = ANY) -> Replayed:
    with house.writer() as writer:
        log = house.log.writer()
        found = replay(
            stored_letters(house.log, NAMES.dead_letters, chosen), writer, log, NAMES.dead_letters, house.clock
        )
        log.close()
    return found


def test_a_letter_is_read_as_it_was_written(house: House) -> None:
    written = [
        DeadLetter("trades", "a file", "line 3", "bad-time", "no \u2603 time", T0, b'{"a":\x00\xff}'),
        DeadLetter("fills", "t:abc", "0:17", "not-json", "", T0 + 1, b"", [("k", b"\x00"), ("stream", b"x")]),
        DeadLetter("trades", "b", "row 1", "line-too-long", "long", T0, b"ab", (), Whole(9, "0" * 64)),
    ]
    log = house.log.writer()
    for letter in written:
        send(log, NAMES.dead_letters, letter)
    found = [letter_of(record.value or b"", record.headers) for _, record in records(house.log, NAMES.dead_letters)]
    assert [letter._replace(headers=tuple(letter.headers)) for letter in found] == [
        letter._replace(headers=tuple(letter.headers)) for letter in written
    ]


def test_a_letter_that_was_written_again_is_one_and_stands_where_it_was_written_last(house: House) -> None:
    for _ in range(3):
        house.ingest([b"no event", line(1)], source="f")
    house.ingest([b"another", line(1)], source="f")  # another original at the same place
    first, second = stored(house)
    assert (first.letter.value, first.times, first.offset) == (b"no event", 3, 2)
    assert (second.letter.value, second.times) == (b"another", 1)


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (ANY, [b"a", b"b", b'{"venue":1}']),
        (Chosen(reason="not-json"), [b"a", b"b"]),
        (Chosen(source="one"), [b"a"]),
        (Chosen(stream="fills"), []),
        (Chosen(low_us=T0 + 1), [b"b", b'{"venue":1}']),
        (Chosen(high_us=T0 + 1), [b"a"]),
    ],
)
def test_letters_are_chosen(chosen: Chosen, found: list[bytes], house: House) -> None:
    house.ingest([b"a"], source="source one")
    house.clock.turn(1.0)
    house.ingest([b"b", b'{"venue":1}'], source="source two")
    assert [each.letter.value for each in stored(house, chosen)] == found


def test_what_is_right_after_a_fix_is_taken_once_and_settled(house: House) -> None:
    bad, good = line(1, price="0"), line(2)
    log = house.log.writer()
    for place, value in enumerate((bad, good, line(3))):  # two that a rule refused which is no more
        send(log, NAMES.dead_letters, DeadLetter("trades", "f", f"line {place}", "bad-price", "?", T0, value))
    house.ingest([line(3)])
    assert handed_in(house) == Replayed(settled=2, refused=1)
    assert sorted(ids(house.log)) == [2, 3]
    (left,) = stored(house)
    assert (left.letter.value, left.times, left.letter.position) == (bad, 2, "line 0"), "the same letter, written again"
    assert {each.settled for each in stored(house, Chosen(settled=True))} == {"", TAKEN}
    assert handed_in(house) == Replayed(refused=1)
    assert sorted(ids(house.log)) == [2, 3]


def test_what_is_refused_after_it_was_settled_is_open_again(house: House) -> None:
    letter = DeadLetter("trades", "f", "line 1", "bad-price", "?", T0, line(1))
    log = house.log.writer()
    send(log, NAMES.dead_letters, letter)
    settle(log, NAMES.dead_letters, letter, TAKEN, T0)
    assert stored(house) == []
    send(log, NAMES.dead_letters, letter)
    assert [(each.times, each.settled) for each in stored(house)] == [(2, "")]


def test_a_letter_that_holds_no_whole_original_is_not_handed_in(house: House) -> None:
    value = line(1)[:-1] + b',"note":"' + b"x" * MAX_VALUE_BYTES + b'"}'
    log = house.log.writer()
    send(log, NAMES.dead_letters, DeadLetter("trades", "f", "line 1", "bad-price", "?", T0, value))
    assert handed_in(house) == Replayed(cut=1)
    assert len(stored(house)) == 1 and ids(house.log) == []


def test_one_that_dies_before_it_settled_takes_nothing_twice(house: House) -> None:
    log = house.log.writer()
    for place in range(5):
        send(log, NAMES.dead_letters, DeadLetter("trades", f"f{place % 2}", f"line {place}", "?", "?", T0, line(place)))
    with house.writer() as writer:
        writer.accept(of_lines("f0", [line(0), line(2)]))  # as one that died behind the acknowledgement
    assert handed_in(house) == Replayed(settled=5)
    assert sorted(ids(house.log)) == [0, 1, 2, 3, 4]
    assert stored(house) == []


@pytest.mark.broker
def test_the_commands_list_show_and_hand_in(broker: str, tmp_path: Path) -> None:
    with kafka_world(broker, tmp_path / "home") as world:
        environ = {**world.environ(), "SLACKWATER_MAX_INSTRUMENTS": "1"}
        path = tmp_path / "trades.jsonl"
        path.write_bytes(b"\n".join([line(1), line(2, symbol="B"), b"[red]no event\x1b", line(3)]) + b"\n")
        done = call("ingest", str(path), environ=environ)
        assert done.returncode == 0, done.stderr
        assert "first too-many-instruments, line 2: its instrument is new" in done.stdout
        listed = json.loads(call("dead-letters", "list", "--json", environ=environ).stdout)["groups"]
        assert sorted((each["reason"], each["letters"]) for each in listed) == [
            ("not-json", 1),
            ("too-many-instruments", 1),
        ]
        shown = call("dead-letters", "show", "--reason", "not-json", environ=environ).stdout
        assert "line 3" in shown and "[red]no event\\x1b" in shown
        again = call("dead-letters", "replay", "--json", environ=world.environ())  # any number of instruments
        assert again.returncode == 0, again.stderr
        facts = json.loads(again.stdout)
        assert (facts["settled"], facts["refused"], facts["accepted"]) == (1, {"not-json": 1}, 1)
        left = call("dead-letters", "list", environ=environ).stdout
        assert "not-json" in left and "too-many-instruments" not in left
        assert call("dead-letters", "list", "--source", "other", environ=environ).stdout == "No dead letters.\n"
        path.write_bytes(b"x,y\n1,2\n")
        wrong = call("ingest", str(path), environ=environ)
        assert wrong.returncode == 1 and "Of 2 lines of" in wrong.stderr, wrong.stderr
