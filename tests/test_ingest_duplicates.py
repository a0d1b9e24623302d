"""The duplicate filter is exact: after a restart, after a batch absorbed the ids, after a rollback, in any order.

id   content      the first of an id wins
1    a            new
1    a            duplicate, counted
1    b            conflict, a dead letter

archive (version v)  |  log since the cut  |  what ingest takes now     each of them knows ids
"""

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.archived import Archived
from ingest.chunk import of_lines
from ingest.duplicates import DuplicateFilter
from ingest.errors import ArchiveGapError, LogGapError
from ingest.known import CONFLICT, DUPLICATE, NEW, Known
from ingest.verdicts import Summary
from lesson.memory_log import MemoryLog
from slackwater.log.errors import TopicRecreatedError
from slackwater.store.contents import Contents
from slackwater.store.id_keys import KeyIndex
from slackwater.store.id_runs import IdRuns
from slackwater.streams.content import CONTENT, contents_of
from slackwater.streams.decode import events_table
from slackwater.streams.trades import TRADES
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.store import VersionStore
from tests.events import Event
from tests.ingest_kit import (
    NAMES,
    PARTITIONS,
    T0,
    House,
    event,
    ids,
    letters,
    line,
    lines_of,
    memory_house,
    reasons,
    records,
    rows,
)
from tests.profiles import examples


@pytest.fixture
def house(tmp_path: Path) -> House:
    return memory_house(tmp_path)


def trades(count: int, start: int = 0, symbols: int = 5) -> list[bytes]:
    return lines_of([event(i, symbol=f"S{i % symbols}", price=10**10 + i) for i in range(start, start + count)])


# ------------------------------------------------------------------------------------------------------------ verdicts


def test_the_same_input_twice_is_counted_as_duplicates(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("a", trades(100)))
        writer.accept(of_lines("a", trades(100)))
    assert writer.summary() == Summary(100, 100, 0, {}, writer.summary().records)
    assert sorted(ids(house.log)) == list(range(100))
    assert reasons(house.log) == []


def test_a_duplicate_within_one_chunk_is_found(house: House) -> None:
    assert house.ingest([line(1), line(2), line(1), line(1)]).duplicates == 2
    assert ids(house.log) == [1, 2]


@pytest.mark.parametrize(
    "other",
    [{"price": "100.6"}, {"quantity": "3"}, {"time": T0 + 1}, {"side": "sell"}],
    ids=lambda other: next(iter(other)),
)
@pytest.mark.parametrize("when", ["in one chunk", "in one run", "after a restart", "after a batch"])
def test_an_id_with_other_content_is_a_dead_letter_and_the_first_wins(
    other: dict[str, object], when: str, house: House
) -> None:
    second = json.dumps({**json.loads(line(1)), **other}).encode()
    if when == "in one chunk":
        summary = house.ingest([line(1), second])
    elif when == "in one run":
        with house.writer() as writer:
            writer.accept(of_lines("a", [line(1)]))
            writer.accept(of_lines("b", [second]))
        summary = writer.summary()
    else:
        house.ingest([line(1)])
        if when == "after a batch":
            house.publish()
        summary = house.ingest([second])
    assert (summary.conflicts, summary.duplicates) == (1, 0)
    ((headers, value),) = letters(house.log)
    assert headers["reason"] == "conflict" and value == second
    assert [row["price"] for row in rows(house.log)] == [rows(house.log)[0]["price"]]
    assert f"{rows(house.log)[0]['price'].normalize():f}" == "100.5"


def test_the_same_number_written_otherwise_is_the_same_content(house: House) -> None:
    assert house.ingest([line(1, price="100.5"), line(1, price="0100.50")]).duplicates == 1


def test_one_id_of_two_instruments_is_two_ids(house: House) -> None:
    assert house.ingest([line(1, symbol="A"), line(1, symbol="B"), line(1, venue="y", symbol="A")]).accepted == 3


# ----------------------------------------------------------------------------------------------- restarts and versions


def test_duplicates_are_found_after_a_restart(house: House) -> None:
    house.ingest(trades(100))
    assert house.ingest(trades(150)) == Summary(50, 100, 0, {}, 5)
    assert sorted(ids(house.log)) == list(range(150))


def test_duplicates_are_found_after_a_batch_absorbed_them(house: House) -> None:
    house.ingest(trades(100))
    house.publish()
    house.ingest(trades(50, 100))
    summary = house.ingest(trades(160))
    assert (summary.accepted, summary.duplicates) == (10, 150)
    house.publish()
    with house.writer() as writer:
        assert len(writer.filter.known) == 0
        writer.accept(of_lines("a", trades(160)))
    assert (writer.summary().accepted, writer.summary().duplicates) == (0, 160)


def test_ids_may_arrive_in_any_order(house: House) -> None:
    lines = trades(2000, symbols=3)
    random.Random(7).shuffle(lines)
    for at in range(0, 2000, 500):
        house.ingest(lines[at : at + 700])
        if at == 500:
            house.publish()
    assert sorted(ids(house.log)) == list(range(2000))


def test_a_foreign_duplicate_in_the_log_counts_by_its_first_content(house: House) -> None:
    log = house.log
    writer = log.writer()
    for price in ("1", "2"):
        writer.append(NAMES.topic("trades"), 0, b"x:BTC-USD", line(1, price=price))
    summary = house.ingest([line(1, price="1"), line(1, price="2")])
    assert (summary.duplicates, summary.conflicts) == (1, 1)


def test_a_marked_and_a_broken_record_in_the_log_do_not_stop_the_filter(house: House) -> None:
    house.log.writer().append(NAMES.topic("trades"), 0, None, b"nonsense")
    house.log.writer().append(NAMES.topic("trades"), 0, None, None)
    house.ingest([line(1)])
    assert house.ingest([line(1)]).duplicates == 1


# --------------------------------------------------------------------------------------------------- memory is bounded


def test_a_generation_that_a_version_holds_is_dropped_while_ingest_is_open(house: House) -> None:
    """What flows between two versions bounds the digests; each id is still known."""
    taken = 0
    held = []
    with house.writer() as writer:
        for _ in range(6):
            for _ in range(4):
                writer.accept(of_lines("a", trades(100, taken)))
                taken += 100
            writer.flush()
            house.publish()
            house.clock.turn(1.0)
            held.append(len(writer.filter.known))
        assert max(held) <= 800
        writer.accept(of_lines("a", trades(taken)))
        assert len(writer.filter.known) <= 800
    assert writer.summary().duplicates == taken == writer.summary().accepted


def test_a_generation_stays_while_a_record_of_it_is_not_below_the_cut(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("a", trades(100)))
        house.publish()
        writer.accept(of_lines("a", trades(1, 100)))  # beyond the cut, before the pointer is seen
        house.clock.turn(1.0)
        writer.accept(of_lines("a", []))
        assert len(writer.filter.known) == 101
        house.publish()
        house.clock.turn(1.0)
        writer.accept(of_lines("a", []))
        assert len(writer.filter.known) == 0


def test_the_pointer_is_looked_at_once_a_second(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("a", trades(10)))
        writer.flush()
        house.publish()
        house.clock.turn(0.9)
        writer.accept(of_lines("a", trades(10)))
        assert len(writer.filter.known) == 10
        house.clock.turn(0.1)
        writer.accept(of_lines("a", trades(10)))
        assert len(writer.filter.known) == 0
    assert writer.summary().duplicates == 20


def test_lines_that_wait_in_the_packer_belong_to_the_generation_that_took_them(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("a", [line(1)]))
        writer.accept(of_lines("a", [line(2)]))  # within 2 ms: waits
        first = writer.filter.known.generation
        house.publish()  # its cut does not cover the line that waits
        house.clock.turn(1.0)
        writer.accept(of_lines("a", [line(3)]))
        assert writer.filter.known.generations[0] is first and len(first) == 2
        assert [record.value for _, record in records(house.log, NAMES.topic("trades")) if record.value] == [
            line(1),
            line(2),
        ]
        assert (first.waiting, max(first.reached.values())) == (0, 2)  # behind the mark at 1


def test_a_rollback_makes_the_filter_read_the_log_again(house: House) -> None:
    house.ingest(trades(50))
    old = house.publish()
    with house.writer() as writer:
        writer.accept(of_lines("a", trades(50, 50)))
        writer.flush()
        house.publish()
        house.clock.turn(1.0)
        writer.accept(of_lines("a", []))
        pointer = house.store.folder / "current"
        now = pointer.read_text()
        data = house.store.manifest_path(old.version).read_bytes()
        pointer.write_text(json.dumps({"version": old.version, "sha256": hashlib.sha256(data).hexdigest()}))
        assert pointer.read_text() != now
        house.clock.turn(1.0)
        writer.accept(of_lines("a", trades(120)))
    assert (writer.summary().accepted, writer.summary().duplicates) == (70, 100)


def test_a_torn_pointer_leaves_the_filter_as_it_was(house: House) -> None:
    with house.writer() as writer:
        writer.accept(of_lines("a", trades(10)))
        house.publish()
        (house.store.folder / "current").write_text("torn")
        house.clock.turn(1.0)
        writer.accept(of_lines("a", trades(11)))
    assert (writer.summary().accepted, writer.summary().duplicates) == (11, 10)


def test_an_expired_archive_file_is_looked_up_in_the_version_that_came_since(house: House) -> None:
    house.ingest(trades(100))
    first = house.publish()
    with house.writer() as writer:
        house.publish(forget=True)  # holds everything in files of its own
        for file in first.archive:
            (house.store.home / file.file.path).unlink()
        writer.accept(of_lines("a", trades(101)))  # the pointer was not looked at yet
    assert (writer.summary().accepted, writer.summary().duplicates) == (1, 100)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_a_topic_that_was_created_again_is_refused(house: House) -> None:
    house.ingest(trades(10))
    house.publish()
    assert isinstance(house.log, MemoryLog)
    house.log.create(NAMES.topic("trades"), PARTITIONS)
    with pytest.raises(TopicRecreatedError):
        house.ingest(trades(10))


def test_a_log_that_lost_what_was_taken_since_the_cut_is_refused(house: House) -> None:
    house.ingest(trades(10))
    cut = house.publish().cut("trades")
    house.ingest(trades(10, 10))
    assert isinstance(house.log, MemoryLog)
    house.log.delete_below(NAMES.topic("trades"), 0, cut[0] + 2)
    with pytest.raises(LogGapError, match="cannot be known"):
        house.ingest(trades(10))


def test_a_damaged_id_file_is_refused(house: House) -> None:
    house.ingest(trades(10))
    path = house.store.home / house.publish().ids[0].file.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError):
        house.ingest(trades(10))


def test_a_damaged_archive_is_refused_when_an_id_comes_again(house: House) -> None:
    """A flipped bit mostly reads back without an error, and would make a duplicate a conflict."""
    house.ingest(trades(10))
    files = [entry.file for entry in house.publish().archive if entry.file.rows]
    for number, file in enumerate(files, 1):
        path = house.store.home / file.path
        good = path.read_bytes()
        path.write_bytes(good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :])
        with pytest.raises(DamagedFileError, match=path.name):
            house.ingest(trades(10))
        assert house.ingest(trades(10, 100 * number)).accepted == 10, "what is new needs no archive"
        path.write_bytes(good)
        assert house.ingest(trades(10)).duplicates == 10


def test_an_id_without_an_archive_file_is_refused(house: House) -> None:
    house.ingest(trades(10))
    whole = house.publish()
    torn = replace(whole, version=house.store.reserve(), parent=whole.version, archive=whole.archive[:1])
    house.store.publish(torn)
    with pytest.raises(ArchiveGapError, match="in no archive file"):
        house.ingest(trades(10))


def test_ids_of_an_instrument_whose_partition_changed_are_found_in_the_other_files(house: House) -> None:
    house.ingest(trades(100))
    whole = house.publish()
    moved = tuple(replace(file, partition=file.partition + 10) for file in whole.archive)
    house.store.publish(replace(whole, version=house.store.reserve(), parent=whole.version, archive=moved))
    assert house.ingest(trades(100)).duplicates == 100


# ----------------------------------------------------------------------------------------------------- the parts of it


contents = st.builds(
    Event,
    venue=st.just("x"),
    symbol=st.sampled_from("AB"),
    trade_id=st.integers(0, 6),
    time=st.integers(T0, T0 + 1),
    price=st.integers(1, 2),
    quantity=st.just(1),
    side=st.sampled_from(["buy", "sell"]),
)


@given(st.lists(st.lists(contents, min_size=1, max_size=12), max_size=8))
@examples(200)
def test_verdicts_are_those_of_a_plain_dictionary(chunks: list[list[Event]]) -> None:
    nothing = Archived(TRADES, IdRuns(), KeyIndex(), [], Inspector(VersionStore(Path())), lambda entity: 0)
    known, naive = Known(TRADES, nothing), {}
    for chunk in chunks:
        expected = []
        for one in chunk:
            key, content = one[:3], one[3:]
            first = naive.setdefault(key, content) if key in naive else None
            naive.setdefault(key, content)
            expected.append(NEW if first is None else DUPLICATE if first == content else CONFLICT)
        assert known.judge(events_table(TRADES, chunk)).tolist() == expected


def contents_like(numbers: list[int]) -> np.ndarray:
    found = np.zeros(len(numbers), CONTENT)
    found["digest"] = np.array(numbers, np.uint64)
    return found


@given(st.lists(st.sets(st.integers(0, 2**63 - 1), max_size=40), max_size=12))
@examples(200)
def test_contents_are_found_by_id_and_nothing_else(batches: list[set[int]]) -> None:
    known, plain = Contents(), {}
    for batch in batches:
        fresh = [one for one in batch if one not in plain]
        plain |= {one: one * 7 % 2**64 for one in fresh}
        if fresh:
            known.add(np.array(fresh, np.int64), contents_like([plain[one] for one in fresh]))
    assert len(known) == len(plain)
    asked = [*plain, *({one + 1 for one in plain if one < 2**63 - 1} - set(plain))]
    found, values = known.find(np.array(asked, np.int64))
    assert found.tolist() == [one in plain for one in asked]
    assert values["digest"].tolist() == [plain.get(one, 0) for one in asked]


def test_contents_of_a_trickle_stay_few_arrays() -> None:
    known = Contents()
    for one in range(5000):
        known.add(np.array([one], np.int64), contents_like([one]))
    assert len(known) == 5000 and len(known._parts) < 14


def test_contents_that_differ_have_digests_that_differ() -> None:
    rng = random.Random(3)
    drawn = {
        (T0 + rng.randrange(1000), rng.randrange(1, 50), rng.randrange(1, 50), rng.choice(["buy", "sell"]))
        for _ in range(20_000)
    }
    table = events_table(TRADES, [event(1, time=t, price=p, quantity=q, side=s) for t, p, q, s in drawn])
    assert len(set(contents_of(TRADES, table).tolist())) == len(drawn)
    assert contents_of(TRADES, table.slice(5)).tolist() == contents_of(TRADES, table).tolist()[5:]


def test_the_filter_follows_the_pointer_only_forward_in_memory(house: House) -> None:
    found = DuplicateFilter(TRADES, house.log, NAMES, house.store, house.clock)
    assert found.judge(events_table(TRADES, [event(1), event(1)])).tolist() == [NEW, DUPLICATE]
    found.close()
