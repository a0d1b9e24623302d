"""An import beside a writer: each identity is taken once, whoever comes first.

import judges -> a writer takes some -> claim -> epoch without these -> published -> the writer knows the others
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.archive_import import import_history
from ingest.chunk import of_lines
from ingest.claiming import ImportedEpoch
from ingest.errors import ClaimedError, OvertakenError
from ingest.files.sources import open_source
from ingest.verdicts import Summary
from ingest.writer import IngestWriter
from slackwater.store.identities import group_ids
from slackwater.streams.decode import decode_lines
from slackwater.streams.trades import TRADES
from slackwater.versions.claims import ClaimedIds, claim, claims
from slackwater.versions.errors import RecordError, WriterRunningError
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, HandClock, House, letters, memory_house
from tests.ingest_kit import line as canonical
from tests.test_ingest_import import publish


@dataclass
class SteppingClock(HandClock):
    """While somebody waits, the writer is asked whether it goes on, as its loop does."""

    writer: IngestWriter | None = None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.writer is not None:
            self.writer.stand()


def line(trade_id: int | str, **more: Any) -> bytes:
    """An id of text needs its place in the order of its venue."""
    return canonical(trade_id, **({"sequence": ord(trade_id[0])} if isinstance(trade_id, str) else {}), **more)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = memory_house(tmp_path / "home")
    house.clock = SteppingClock()
    return house


@contextmanager
def importing(
    house: House, lines: list[bytes], meanwhile: Callable[[], Any] = lambda: None, **more: Any
) -> Iterator[ImportedEpoch]:
    """An import whose ids are claimed in the block; `meanwhile` happens when all is judged."""
    path = house.store.home.parent / "history.jsonl"
    path.write_bytes(b"\n".join(lines))

    def look(_: Summary, ended: bool) -> None:
        if ended:
            meanwhile()

    with hold_import(house.store.home, house.log.topic_id(NAMES.topic("trades"))) as lock:
        source = open_source(TRADES, str(path))
        yield import_history(TRADES, source, house.store, house.log, NAMES, house.clock, lock, look=look, **more)


@contextmanager
def writing(house: House) -> Iterator[IngestWriter]:
    with house.writer() as writer:
        assert isinstance(house.clock, SteppingClock)
        house.clock.writer = writer
        yield writer
        house.clock.writer = None


def ids_of(house: House, epoch: ImportedEpoch) -> list[str]:
    tables = [pq.read_table(house.store.data.fetch(entry.file)) for entry in epoch.archive]
    return sorted(pa.concat_tables(tables).column("trade_id").to_pylist()) if tables else []


def held(house: House, epoch: ImportedEpoch) -> list[str]:
    """Which of the ids a to h and 1 to 9 the epoch's id files hold."""
    some = [line(name) for name in [*"abcdefgh", *range(1, 10)]]
    table = decode_lines(TRADES, some, np.full(len(some), 2**62))[0]
    own, found = ClaimedIds(TRADES, house.store, epoch.ids), set[str]()
    for entity, rows, ids in group_ids(TRADES, table).groups:
        found |= set(table.column("trade_id").take(pa.array(rows[own.holds(entity, ids)])).to_pylist())
    return sorted(found)


@pytest.mark.parametrize("of", [(1, 2, 3, 4), ("a", "b", "c", "d")])
def test_an_import_leaves_out_what_a_writer_took_while_it_was_read(house: House, of: tuple[Any, ...]) -> None:
    first, _, third, fourth = of
    lines = [line(one) for one in of]
    with writing(house) as writer:
        same, other, new = lines[1], line(third, price="7"), line("z9")
        take = lambda: writer.accept(of_lines("live", [same, other, new]))  # noqa: E731
        with importing(house, lines, take) as epoch:
            assert epoch.summary == Summary(2, 1, 1, {}, 0)
            assert ids_of(house, epoch) == held(house, epoch) == [str(first), str(fourth)]
            publish(house, epoch)
        house.clock.turn(2.0)
        assert writer.take(of_lines("live", lines)) == [2]  # of another content than what is known
        assert (writer.summary().accepted, writer.summary().duplicates) == (3, 3)
    (import_letter, data), _ = letters(house.log)
    assert import_letter["reason"] == "conflict"
    assert f'"trade_id":{third}' in data.decode() or f'"trade_id":"{third}"' in data.decode()


def test_an_import_of_nothing_but_what_a_writer_took_is_empty(house: House) -> None:
    with writing(house) as writer:
        take = lambda: writer.accept(of_lines("live", [line(1), line(2)]))  # noqa: E731
        with importing(house, [line(1), line(2)], take) as epoch:
            assert (epoch.archive, epoch.ids, epoch.summary.accepted, epoch.summary.duplicates) == ((), (), 0, 2)


def test_what_is_claimed_is_neither_taken_nor_a_duplicate_until_the_import_ends(house: House) -> None:
    with writing(house) as writer:
        with importing(house, [line(1), line("a"), b"{"]):
            assert writer.stand()
            for claimed in (line(1), line("a")):
                with pytest.raises(ClaimedError, match="An import of trades has the identities of 1 of these events"):
                    writer.accept(of_lines("live", [line(7), claimed, b"{}"]))
            assert writer.accept(of_lines("live", [line(8)])) == []
            assert writer.summary() == Summary(1, 0, 0, {}, 1)
            assert len(letters(house.log)) == 1  # the import's own
        assert writer.take(of_lines("live", [line(1), line("a")])) == []  # it was not published
        assert writer.summary().accepted == 3


def test_what_was_published_under_a_claim_is_known_at_once(house: House) -> None:
    with writing(house) as writer:
        with importing(house, [line(1)]) as epoch:
            assert writer.stand()
            publish(house, epoch)
        writer.accept(of_lines("live", [line(1), line(2)]))
        assert writer.summary() == Summary(1, 1, 0, {}, 1)


def test_an_import_waits_for_a_writer_and_leaves_nothing_behind_where_it_does_not_let_go(house: House) -> None:
    with house.writer(), pytest.raises(WriterRunningError, match="did not let go"), importing(house, [line(1)]):
        raise AssertionError("it is claimed")
    assert house.store.data.names("archive") == []
    assert claims(house.store, TRADES) == []


def test_an_import_that_was_overtaken_by_a_correction_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = house.store.corrections
    overtake = lambda: monkeypatch.setattr(corrections, "of", lambda stream, after: [4])  # noqa: E731
    refused = pytest.raises(OvertakenError, match="The corrections 4 of trades were written down while")
    with refused, importing(house, [line(1)], overtake):
        raise AssertionError("it is claimed")
    assert house.store.data.names("archive") == []


def test_one_import_of_a_stream_at_a_time(house: House) -> None:
    again = importing(house, [line(2)])
    with importing(house, [line(1)]), pytest.raises(WriterRunningError, match="Another import of this stream"), again:
        raise AssertionError("two imports")


def test_a_claim_that_cannot_be_read_lets_nobody_judge(house: House) -> None:
    path = house.store.home / "claims" / "trades-import-1"
    with importing(house, [line(1)]) as epoch:
        torn = house.store.files.hold(path, b"torn")
        with pytest.raises(RecordError), house.writer():
            raise AssertionError("it judges")
        torn.release()
        with house.writer() as writer, pytest.raises(ClaimedError):
            writer.accept(of_lines("live", [line(1)]))
    path.write_bytes(b"of a process that died")
    with house.writer() as writer:
        writer.accept(of_lines("live", [line(1)]))
    claim(house.store, TRADES, "import-2", epoch.ids).release()
    assert not path.exists()
