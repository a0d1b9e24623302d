"""The elements of the pipeline: segments of events, alone or in a block, and the states of one view over a segment.

A segment is a contiguous slice [start, upto) of one partition: an Arrow table read from the log, or Parquet files of
the archive. Elements are segments, never single records: row at a time, Beam Python does some 80 k rows/s
(`slackwater bench batch`), segments do millions.
"""

from dataclasses import dataclass

import pyarrow as pa

from slackwater.views.rows import Row, rows_of, table_of
from slackwater.views.view import View


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a segment lies. `stream` is the name of its stream, `sealed` says that it cannot grow, `shard` where its
    states are merged in batch.

    `appended_ms` is when the log took the segment's last record, by the log's clock; 0 where nobody asks. `stages` are
    the numbers of `slackwater.log.stages.Stages` of a sampled event of it; empty if it has none.
    """

    stream: str
    topic_id: str
    partition: int
    start: int
    upto: int
    sealed: bool
    shard: int
    appended_ms: int = 0
    stages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Events of one slot: `table` (of the stream's schema) or, if that is None, the Parquet files `paths`.

    It is for the views of the definitions `only`, or for all of its stream if that is empty.
    """

    slot: Slot
    table: pa.Table | None
    paths: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def is_for(self, view: View) -> bool:
        """Whether the view's states of it are wanted."""
        return view.stream.name == self.slot.stream and (not self.only or view.definition in self.only)


@dataclass(frozen=True, slots=True)
class Block:
    """Segments that come together, such as all that one look at the log gave: small ones share a statement."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class States:
    """The states of the view of that definition over one slot, a row a bar at the base interval.

    Either a table, in no particular order, or, of a small segment, sorted rows: to make a table of a few rows takes
    about as long as to summarise them.
    """

    definition: str
    slot: Slot
    table: pa.Table | None
    rows: tuple[Row, ...] = ()

    def as_table(self, view: View) -> pa.Table:
        """The states as a table."""
        return table_of(view, self.rows) if self.table is None else self.table

    def as_rows(self, view: View) -> tuple[Row, ...]:
        """The states as rows, sorted by key and start."""
        return self.rows if self.table is None else tuple(rows_of(view, self.table))
