"""A source of events, and what it gives: chunks of lines for the decoder to judge, and where each is in the source.

Where the source's rows have types, a chunk may hold those that are events for certain as a table, so that nobody makes
lines of them. Not here: how files become lines (`ingest.files`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

CHUNK_LINES = 8192
"""Lines of a full chunk: enough for the fast decoder, little enough to hold."""


class Fault(NamedTuple):
    """Why a source could make no line of what it found; the decoder does not see it."""

    reason: str
    error: str


BAD_ROW = "bad-row"
"""The reason of a row of CSV that does not have one value for each column."""

LINE_TOO_LONG = "line-too-long"
"""The reason of a line beyond the limit of `ingest.files.line_reader`."""


class Certain(NamedTuple):
    """Events as a compact table (`slackwater.streams.compact`) and the numbers of their lines, in order.

    Each is what the decoder makes of its line, unless its time is beyond the newest that is allowed.
    """

    events: pa.Table
    numbers: Any


@dataclass(frozen=True)
class Chunk:
    """Lines in the order of the source.

    `position(i)` is the place of line i, such as `line 17`; `original(i)` its bytes as the source holds them. A line in
    `faults` is b"". `more` says that the source has more at once, so that nothing should wait for company. Where some
    lines are `certain`, `lines` makes those that are asked for.
    """

    source: str
    lines: Sequence[bytes]
    position: Callable[[int], str]
    original: Callable[[int], bytes]
    faults: Mapping[int, Fault] = field(default_factory=dict)
    more: bool = False
    certain: Certain | None = None

    def lines_of(self, at: Any) -> list[bytes]:
        """The lines numbered `at`, an array; others may be left unmade."""
        of = getattr(self.lines, "of", None)
        return [self.lines[k] for k in at] if of is None else of(at)

    def take(self, at: Sequence[int], more: bool) -> "Chunk":
        """The lines numbered `at`, in that order."""
        faults = {i: self.faults[k] for i, k in enumerate(at) if k in self.faults} if self.faults else {}
        return Chunk(
            self.source,
            [self.lines[k] for k in at],
            lambda i: self.position(at[i]),
            lambda i: self.original(at[i]),
            faults,
            more,
        )


def nothing(source: str) -> Chunk:
    """A chunk without lines: the source has nothing now, and has not ended."""
    return Chunk(source, [], str, lambda i: b"")


def of_lines(source: str, lines: list[bytes], noun: str = "line", first: int = 1, more: bool = False) -> Chunk:
    """Lines that are their own originals, numbered from `first`."""
    return Chunk(source, lines, lambda i: f"{noun} {first + i}", lambda i: lines[i], {}, more)


class Source:
    """Gives chunks until it ends. Not thread safe.

    Attributes:
        name: what dead letters call it.
        unit: what `done` and `total` count: rows or bytes.
        done: how much was read.
        total: how much there is; None if nobody knows.
        left_out: what of the source was not read, and why, for whoever gave it to know.
    """

    name: str
    unit = "rows"
    done = 0
    total: int | None = None
    left_out: Sequence[str] = ()

    @property
    def part(self) -> str:
        """The file that is read now, where there are several; "" between two."""
        return self.name

    def in_bulk(self) -> None:
        """Before the first read: give large chunks, with what is certain of them, if the rows have types."""

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now, waiting up to `timeout_s`: an empty chunk if nothing came, None at the end.

        Raises:
            SourceError, MappingError
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release."""
