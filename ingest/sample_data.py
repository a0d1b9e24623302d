"""The sample data that comes with the program: real trades, whole or not used at all.

See `ingest/sample/README.md` for where they come from.
"""

import hashlib
from pathlib import Path

from ingest.errors import UnreadableFileError
from ingest.files.parquet_rows import ParquetRows, open_parquet
from slackwater.streams.mapping import SAMPLE_LAYOUT
from slackwater.streams.trades import TRADES

FOLDER = Path(__file__).parent / "sample"
NAME = "sample"


def sample_path(folder: Path = FOLDER) -> Path:
    """The file, after its SHA-256 was compared.

    Raises:
        UnreadableFileError: it is missing or is not the file that SHA256SUMS names.
    """
    expected, name = (folder / "SHA256SUMS").read_text(encoding="ascii").split()
    path = folder / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFileError(NAME, "at all", error) from error
    if found != expected:
        raise UnreadableFileError(NAME, "at all", f"its SHA-256 is {found[:12]}, not {expected[:12]}")
    return path


def open_sample(folder: Path = FOLDER) -> ParquetRows:
    """The sample as a source: streams one after the other, as captured."""
    return open_parquet(TRADES, NAME, sample_path(folder), SAMPLE_LAYOUT)
