"""Rows of CSV: a header, then one row a line; every value is text, nothing is guessed. Whether there is a header is not
guessed either: there is one, unless the layout names the columns; then a first line is one only if the layout has it.

A value may stand in double quotes and hold commas, but no line feed, so that a torn quote costs one row and not the
rest of the file. Bytes pass through as Latin-1, which keeps every one of them; the decoder says what is UTF-8.
"""

import csv
from collections.abc import Sequence

import pyarrow as pa

from ingest.chunk import BAD_ROW, Chunk, Fault, nothing
from ingest.errors import EmptySourceError, UnreadableFileError
from ingest.files.columns import Columns
from ingest.files.inlet import Inlet
from ingest.files.line_reader import LineSource, LongLine, too_long
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LATIN = "latin-1"


class CsvRows(LineSource):
    """A row's original is its line. The header of a file is read at once, that of a pipe when it comes."""

    def __init__(self, stream: Stream, name: str, inlet: Inlet, layout: Layout) -> None:
        """Open the rows. Raises as `read` does."""
        super().__init__(name, inlet)
        self._stream = stream
        self._layout = layout
        self._made: Columns | None = None
        self._before = 0 if layout.names else 1
        self._headers = tuple(header.encode() for header in layout.headers)
        if layout.names:
            self._begin(layout.names)
        elif self.total is not None:
            self._read_header(0.0)

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            EmptySourceError: there is no row.
            MappingError: the columns do not fit the layout.
            TimeUnitError: times are numbers, and nobody said of what.
            UnreadableFileError: it is damaged from here on, or its header is no CSV.
        """
        if self._made is None and not self._read_header(timeout_s):
            return nothing(self.name)
        if self._headers and not self._pass_header(timeout_s):
            return nothing(self.name)
        found = super().read(timeout_s)
        if found is None and self._reader.given == self._before:
            raise EmptySourceError(self.name)
        return found

    def judged(self, lines: list[bytes]) -> tuple[dict[int, Fault], list[bytes]]:
        faults, rows = self._rows(lines)
        made = iter(self._lines(rows))
        return faults, [b"" if i in faults else next(made) for i in range(len(lines))]

    def lines(self, timeout_s: float, most: int = 0) -> list[bytes] | None:
        first = not self._reader.given
        found = super().lines(timeout_s, most)
        if first and found and found[0].startswith(_BYTE_ORDER_MARK) and not isinstance(found[0], LongLine):
            found[0] = found[0].removeprefix(_BYTE_ORDER_MARK)
        return found

    def _begin(self, names: Sequence[str]) -> None:
        self._columns = list(names)
        self._made = Columns(self._stream, self.name, self._columns, self._layout)

    def _pass_header(self, timeout_s: float) -> bool:
        """Whether the first line came, which is passed over if it is a header of those that there may be."""
        lines = self.lines(timeout_s, 1)
        if lines is None:
            raise EmptySourceError(self.name)
        if not lines:
            return False
        if lines[0].removesuffix(b"\r") in self._headers:
            self._before = 1
        else:
            self._reader.put_back(lines[0])
        self._headers = ()
        return True

    def _read_header(self, timeout_s: float) -> bool:
        """Whether the columns are known by now."""
        lines = self.lines(timeout_s, 1)
        if lines is None:
            raise EmptySourceError(self.name)
        if not lines:
            return False
        try:
            (names,) = csv.reader([lines[0].removesuffix(b"\r").decode("utf-8")], strict=True)
        except (ValueError, csv.Error) as error:
            raise UnreadableFileError(self.name, "at its header", error) from error
        self._begin(names)
        return True

    def _rows(self, lines: list[bytes]) -> tuple[dict[int, Fault], list[list[str]]]:
        """What is wrong with some lines, and the values of the others."""
        width = len(self._columns)
        if not any(isinstance(line, LongLine) for line in lines):
            try:
                rows = list(csv.reader([line.decode(_LATIN).removesuffix("\r") for line in lines], strict=True))
            except csv.Error:
                rows = []
            if len(rows) == len(lines) and all(len(row) == width for row in rows):
                return {}, rows
        faults: dict[int, Fault] = {}
        rows = []
        for i, line in enumerate(lines):
            if isinstance(line, LongLine):
                faults[i] = too_long(line)
                continue
            try:
                found = next(csv.reader([line.decode(_LATIN).removesuffix("\r")], strict=True), [])
            except csv.Error as error:
                faults[i] = Fault(BAD_ROW, str(error))
                continue
            if len(found) == width:
                rows.append(found)
            else:
                named = "--columns names" if self._layout.names else "the header"
                faults[i] = Fault(BAD_ROW, f"the row has {len(found)} values, {named} {width} columns")
        return faults, rows

    def _lines(self, rows: list[list[str]]) -> list[bytes]:
        columns = dict(zip(self._columns, zip(*rows, strict=True), strict=True)) if rows else {}

        def values(name: str) -> pa.Array:
            return pa.array([value.encode(_LATIN) for value in columns[name]], pa.binary())

        made = self._made
        if made is None:
            raise ValueError("rows before their columns")
        made.check(values, len(rows))
        return made.lines(values, len(rows))
