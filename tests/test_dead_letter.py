"""A dead letter is bounded, whatever was refused, and says what the whole of it was."""

import hashlib
from collections.abc import Sequence

import pytest

from lesson.memory_log import MemoryLog
from slackwater.log.dead_letter import MAX_HEADER_BYTES, MAX_TEXT_BYTES, MAX_VALUE_BYTES, DeadLetter, Whole, send
from slackwater.log.log import Record
from slackwater.streams.refusal import Reason


def letter(value: bytes, **fields: object) -> DeadLetter:
    facts = {
        "stream": "trades",
        "source": "some.jsonl",
        "position": "line 1",
        "reason": Reason.NOT_JSON,
        "error": "no",
        "time_us": 7,
    }
    return DeadLetter(**{**facts, "value": value, **fields})  # type: ignore[arg-type]


def sent(one: DeadLetter) -> tuple[Record, dict[str, str]]:
    """The record of a letter, and its headers as text."""
    log = MemoryLog()
    log.create("dead", 1)
    send(log.writer(), "dead", one).offset()
    record = log.topics["dead"][0].records[0]
    return record, {name: value.decode("utf-8", "replace") for name, value in record.headers}


@pytest.mark.parametrize("size", [0, 1, MAX_VALUE_BYTES])
def test_an_original_that_fits_is_stored_whole(size: int) -> None:
    value = b"x" * size
    record, headers = sent(letter(value))
    assert record.value == value and "stored" not in headers
    assert (headers["length"], headers["sha256"]) == (str(size), hashlib.sha256(value).hexdigest())


def test_of_a_larger_one_the_first_bytes_are_stored_and_what_all_of_it_was() -> None:
    value = bytes(range(256)) * 40_000
    record, headers = sent(letter(value))
    assert record.value == value[:MAX_VALUE_BYTES] and headers["stored"] == str(MAX_VALUE_BYTES)
    assert (headers["length"], headers["sha256"]) == (str(len(value)), hashlib.sha256(value).hexdigest())


def test_a_beginning_says_what_it_is_the_beginning_of() -> None:
    record, headers = sent(letter(b"begin", whole=Whole(9_000_000, "ab")))
    assert record.value == b"begin"
    assert (headers["stored"], headers["length"], headers["sha256"]) == ("5", "9000000", "ab")


def test_texts_and_original_headers_are_bounded_too() -> None:
    many: Sequence[tuple[str, bytes]] = [(f"h{i}", bytes(1000)) for i in range(1000)]
    long = "é" * 1_000_000
    record, headers = sent(letter(b"v", headers=many, error=long, source=long, position=long))
    kept = [name for name in headers if name.startswith("original-")]
    assert kept == [f"original-h{i}" for i in range(len(kept))] and 0 < len(kept) <= MAX_HEADER_BYTES // 1000
    size = len(record.key or b"") + sum(len(name) + len(value) for name, value in record.headers)
    assert size < MAX_HEADER_BYTES + 5 * MAX_TEXT_BYTES
