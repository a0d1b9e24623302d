"""Where events come from: the one function that opens the source that the user named.

One format a file: `line_reader`, `csv_rows`, `parquet_rows`. `ingest.sample_data` is the data that comes with the
program, `ingest.replay` and `ingest.live` turn a source into one that keeps time.
"""

import os
from pathlib import Path

from ingest.chunk import Source
from ingest.errors import EmptySourceError, FileMissingError, FormatError
from ingest.files.csv_rows import open_csv
from ingest.files.line_reader import LineSource
from ingest.files.parquet_rows import open_parquet
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream

STDIN = "-"
FORMATS: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "csv": (".csv",),
    "parquet": (".parquet", ".pq"),
}
"""Format -> the endings of its files."""

_PARQUET_MAGIC = b"PAR1"
_OTHERS = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}


def open_source(
    stream: Stream, file: str, layout: Layout | None = None, file_format: str | None = None, stdin: int = 0
) -> Source:
    """The source of a stream that `file` names: a path, or `-` for JSON lines on the descriptor `stdin`.

    `layout` maps the columns of CSV and Parquet; canonical JSON lines take none. The format is the file name's ending
    unless `file_format` names one.

    Raises:
        SourceError: there is no such file, it is empty, damaged, or of another format.
        MappingError: its columns do not fit the layout.
    """
    path = Path(file)
    if file == STDIN:
        found = file_format or "jsonl"
    elif path.is_dir():
        raise FormatError(file, "is a folder", FORMATS)
    elif not path.exists():
        raise FileMissingError(file)
    else:
        found = file_format or _format_of(file, path)
        _check_magic(file, path, found)
    if found not in FORMATS:
        raise FormatError(file, f"cannot be read as {found!r}", FORMATS)
    if found == "jsonl" and layout is not None and layout != Layout():
        raise MappingError("Canonical events have no columns to map.", "Leave --map, --preset and --time-unit out.")
    if file == STDIN:
        if found != "jsonl":
            raise FormatError(file, f"is standard input, which is not read as {found}", ("jsonl",))
        return LineSource("stdin", stdin, None)
    if found == "jsonl":
        return _open_lines(file, path)
    if found == "csv":
        return open_csv(stream, file, path, layout or Layout())
    return open_parquet(stream, file, path, layout or Layout())


def _open_lines(name: str, path: Path) -> LineSource:
    size = path.stat().st_size if path.is_file() else None
    if size == 0:
        raise EmptySourceError(name)
    return LineSource(name, os.open(path, os.O_RDONLY), size)


def _format_of(name: str, path: Path) -> str:
    for found, endings in FORMATS.items():
        if path.suffix.lower() in endings:
            return found
    raise FormatError(name, f"ends in {path.suffix!r}, which is no known format", FORMATS)


def _check_magic(name: str, path: Path, wanted: str) -> None:
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(4)
    if wanted != "parquet" and head == _PARQUET_MAGIC:
        raise FormatError(name, f"is Parquet, not {wanted}", FORMATS)
    if wanted == "parquet" and head and head != _PARQUET_MAGIC:
        raise FormatError(name, "is not Parquet", FORMATS)
    for magic, kind in _OTHERS.items():
        if head.startswith(magic):
            raise FormatError(name, f"is compressed with {kind}; unpack it first", FORMATS)
