"""The formats of files, and how a file's name says which it is of."""

from pathlib import PurePosixPath

from ingest.errors import FormatError

STDIN = "-"

FORMATS: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "parquet": (".parquet", ".pq"),
}
"""Format -> the endings of its files."""

PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Ending -> what a file is compressed with; the format's ending stands before it."""

ZIP = ".zip"

ENDINGS = (*(ending for endings in FORMATS.values() for ending in endings), *PACKED, ZIP)


def format_of(name: str) -> str:
    """The format that a file's name says. Raises FormatError."""
    path = PurePosixPath(name)
    if path.suffix.lower() in PACKED:
        path = path.with_suffix("")
    for found, endings in FORMATS.items():
        if path.suffix.lower() in endings:
            return found
    raise FormatError(name, f"ends in {path.suffix!r}, which is no known format", FORMATS)
