"""Rows of CSV: a header, then one row a line; every value is text, nothing is guessed.

A value may stand in double quotes and hold commas, but no line feed, so that a torn quote costs one row and not the
rest of the file. Bytes pass through as Latin-1, which keeps every one of them; the decoder says what is UTF-8.
"""

import csv
import os
from pathlib import Path

import pyarrow as pa

from ingest.chunk import BAD_ROW, Chunk, Fault
from ingest.errors import EmptySourceError, UnreadableFileError
from ingest.files.columns import Columns
from ingest.files.line_reader import LineSource, LongLine, too_long
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LATIN = "latin-1"


class CsvRows(LineSource):
    """A row's original is its line; line 1 is the header."""

    def __init__(self, stream: Stream, name: str, descriptor: int, total: int | None, layout: Layout) -> None:
        super().__init__(name, descriptor, total)
        try:
            self._columns = self._header()
            self._made = Columns(stream, name, self._columns, layout)
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> Chunk | None:
        """What is there now.

        Raises:
            EmptySourceError: there is a header and no row.
            TimeUnitError: times are numbers, and nobody said of what.
        """
        found = super().read(timeout_s)
        if found is None and self._reader.given == 1:
            raise EmptySourceError(self.name)
        return found

    def judged(self, lines: list[bytes]) -> tuple[dict[int, Fault], list[bytes]]:
        faults, rows = self._rows(lines)
        made = iter(self._lines(rows))
        return faults, [b"" if i in faults else next(made) for i in range(len(lines))]

    def _header(self) -> list[str]:
        lines: list[bytes] | None = []
        while not lines:
            lines = self.lines(1.0, 1)
            if lines is None:
                raise EmptySourceError(self.name)
        line = lines[0].removeprefix(_BYTE_ORDER_MARK).removesuffix(b"\r")
        try:
            (columns,) = csv.reader([line.decode("utf-8")], strict=True)
        except (ValueError, csv.Error) as error:
            raise UnreadableFileError(self.name, "at its header", error) from error
        return columns

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
                faults[i] = Fault(BAD_ROW, f"the row has {len(found)} values, the header {width} columns")
        return faults, rows

    def _lines(self, rows: list[list[str]]) -> list[bytes]:
        columns = dict(zip(self._columns, zip(*rows, strict=True), strict=True)) if rows else {}

        def values(name: str) -> pa.Array:
            return pa.array([value.encode(_LATIN) for value in columns[name]], pa.binary())

        self._made.check(values, len(rows))
        return self._made.lines(values, len(rows))


def open_csv(stream: Stream, name: str, path: Path, layout: Layout) -> CsvRows:
    """Rows of a CSV file.

    Raises:
        EmptySourceError, MappingError, UnreadableFileError
    """
    size = path.stat().st_size if path.is_file() else None
    return CsvRows(stream, name, os.open(path, os.O_RDONLY), size, layout)
