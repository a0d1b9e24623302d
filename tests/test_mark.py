"""Marks: what is one, and which of them stand at a cut."""

import pytest

from lesson.memory_log import MemoryLog
from slackwater.log.log import Record
from slackwater.log.mark import MARK_HEADER, append_marks, mark_of, marks_at


@pytest.mark.parametrize(
    ("value", "headers", "run_id"),
    [
        (b"", [(MARK_HEADER, b"run-1")], "run-1"),
        (None, [("traceparent", b"x"), (MARK_HEADER, b"run-1")], "run-1"),
        (b"", [(MARK_HEADER, None)], ""),
        (b"", [(MARK_HEADER, b"\xff")], "\ufffd"),
        (b"{", [(MARK_HEADER, b"run-1")], None),
        (b"", [("traceparent", b"run-1")], None),
        (b"", [("content-type", b"run-1")], None),
        (b"", [], None),
    ],
)
def test_a_mark_has_an_empty_value_and_its_header(
    value: bytes | None, headers: list[tuple[str, bytes]], run_id: str | None
) -> None:
    assert mark_of(Record(0, 0, None, value, headers)) == run_id


def test_the_marks_at_a_cut_are_found_and_nothing_is_where_the_log_is_not() -> None:
    log = MemoryLog(0)
    log.create("t", 2)
    log.append("t", 0, None, b"{}")
    cut, _ = append_marks(log.writer(), "t", [0, 1], "run-1")
    assert cut == {0: 1, 1: 0}
    log.append("t", 0, None, b"{}")
    assert marks_at(log, "t", cut) == {0: "run-1", 1: "run-1"}
    assert marks_at(log, "t", {0: 2, 1: 1}) == {0: None, 1: None}, "a record that is no mark, and the end"
    assert marks_at(log, "t", {0: 1000, 1: 7, 5: 0}) == {0: None, 1: None, 5: None}, "beyond the end, and no partition"
    log.delete_before("t", {0: 2})
    assert marks_at(log, "t", cut) == {0: None, 1: "run-1"}, "below the start"
