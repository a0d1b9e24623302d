"""A source of which too much is refused is given up: at once where nothing of it is an event, or beyond a share."""

from pathlib import Path

import pytest

from ingest import refusals
from ingest.archive_import import import_history
from ingest.chunk import Source, of_lines
from ingest.refusals import MostRefused, TooManyRefusedError
from ingest.verdicts import Summary
from slackwater.versions.writer_lock import hold_import
from tests.ingest_kit import NAMES, House, ids, letters, line, memory_house


class Lines(Source):
    """A source of some chunks of lines; how many were read."""

    name = "a file"

    def __init__(self, *chunks: list[bytes]) -> None:
        self.left = list(chunks)

    def read(self, timeout_s: float) -> object:  # type: ignore[override]
        return of_lines(self.name, self.left.pop(0), more=True) if self.left else None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(refusals, "FIRST_LINES", 4)
    return memory_house(tmp_path)


def ingest(house: House, share: float | None, *chunks: list[bytes]) -> Summary:
    source = Lines(*chunks)
    with house.writer() as writer:
        before = writer.summary()
        return writer.ingest(source, look=MostRefused("a file", share, before).look)


BAD = [b"no event"] * 3


def test_a_source_that_is_wrong_from_its_first_lines_is_not_read_on(house: House) -> None:
    source = Lines(BAD, BAD, BAD, BAD)
    with house.writer() as writer, pytest.raises(TooManyRefusedError) as raised:
        writer.ingest(source, look=MostRefused("a file", None).look)
    assert len(source.left) == 2
    text = str(raised.value)
    assert text.startswith("Of 6 lines of a file 6 are refused, all of them. not-json, first a file, line 1: ")
    assert len(letters(house.log)) == 6, "every one of them is a dead letter all the same"


@pytest.mark.parametrize(
    ("share", "chunks", "given_up"),
    [
        (None, [BAD], True),  # a short one, at its end
        (None, [BAD, [line(1)], BAD], False),
        (None, [], False),
        (0.5, [BAD, [line(1)]], True),
        (0.75, [BAD, [line(1)]], False),
        (0.0, [[line(1)], [line(2)]], False),
        (0.0, [[line(1)], BAD[:1]], True),
    ],
)
def test_it_is_given_up_beyond_the_share(
    share: float | None, chunks: list[list[bytes]], given_up: bool, house: House
) -> None:
    if given_up:
        with pytest.raises(TooManyRefusedError):
            ingest(house, share, *chunks)
    else:
        ingest(house, share, *chunks)
    assert len(ids(house.log)) == sum(one != BAD[0] for chunk in chunks for one in chunk), "what was taken stays"


def test_what_another_source_gave_before_does_not_count(house: House) -> None:
    with house.writer() as writer:
        writer.ingest(Lines([line(1)]))
        with pytest.raises(TooManyRefusedError, match="Of 3 lines of a file 3 are refused"):
            writer.ingest(Lines(BAD), look=MostRefused("a file", None, writer.summary()).look)


def test_duplicates_are_not_refused(house: House) -> None:
    house.ingest([line(1), line(2)])
    assert ingest(house, 0.0, [line(1), line(2)]).duplicates == 2


def test_history_that_is_given_up_leaves_nothing(house: House) -> None:
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic("trades"))) as lock:
        of = house.stream, Lines([line(1)], BAD), house.store, house.log, NAMES, house.clock, lock
        with pytest.raises(TooManyRefusedError, match=r"more than 0\.1"):
            import_history(*of, look=MostRefused("a file", 0.1).look)
    assert list(house.store.home.rglob("*.parquet")) == []
