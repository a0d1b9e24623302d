"""Marks: the records that a batch run appends to every partition; their own offsets are its cut.

A mark has an empty value and the header `slackwater-mark` with the run's id. An empty value without that header is
no mark: it is a record that does not decode.
"""

from collections.abc import Iterable, Mapping

from slackwater.core.faults import reach
from slackwater.log.errors import AppendError
from slackwater.log.log import Ack, Log, Record, Writer, read_range

MARK_HEADER = "slackwater-mark"


def mark_of(record: Record) -> str | None:
    """The run id of a mark, None for any other record."""
    if record.value:
        return None
    for name, value in record.headers:
        if name == MARK_HEADER:
            return (value or b"").decode("utf-8", "replace")  # the protocol allows a header without a value
    return None


def append_marks(
    writer: Writer, topic: str, partitions: Iterable[int], run_id: str
) -> tuple[dict[int, int], dict[int, AppendError]]:
    """Append a mark to each partition: their acknowledged offsets, the cut of `run_id`, and what became of the others.

    A mark whose acknowledgement was lost may stand in the log all the same; it is harmless.
    """
    headers = [(MARK_HEADER, run_id.encode())]
    acks: dict[int, Ack] = {}
    cut: dict[int, int] = {}
    refused: dict[int, AppendError] = {}
    for p in partitions:
        reach("mark.append")
        try:
            acks[p] = writer.append(topic, p, None, b"", headers)
        except AppendError as error:
            refused[p] = error
    for p, ack in acks.items():
        try:
            cut[p] = ack.offset()
        except AppendError as error:
            refused[p] = error
    return cut, refused


def marks_at(log: Log, topic: str, cut: Mapping[int, int]) -> dict[int, str | None]:
    """The run id of the mark at each offset of `cut`; None where the record there is no mark, or there is none."""
    bounds = log.bounds(topic)
    found: dict[int, str | None] = dict.fromkeys(cut)
    there = {p: at for p, at in cut.items() if p in bounds and bounds[p].start <= at < bounds[p].end}
    for piece in read_range(log, topic, there, {p: at + 1 for p, at in there.items()}):
        for record in piece.records:
            found[piece.partition] = mark_of(record)
    return found
