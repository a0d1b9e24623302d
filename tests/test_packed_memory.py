"""Unpacking takes as much memory however long a file is, and however much a few of its bytes unpack to."""

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard

from ingest.files.inlet import BLOCK_BYTES
from ingest.files.sources import open_source
from slackwater.streams.trades import TRADES
from tests.ingest_kit import line

LINES = 600_000
LINE = line(1) + b"\n"  # the same again and again: gzip makes a hundredth of it, zstd a ten-thousandth
SIZE = LINES * len(LINE)


def gz(path: Path) -> Path:
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(LINES // 1000):
            file.write(LINE * 1000)
    return path


def zst(path: Path) -> Path:
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        for _ in range(LINES // 1000):
            writer.write(LINE * 1000)
    return path


def zipped(path: Path) -> Path:
    with (
        zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.jsonl", "w") as file,
    ):
        for _ in range(LINES // 1000):
            file.write(LINE * 1000)
    return path


@pytest.mark.parametrize(("make", "name"), [(gz, "a.jsonl.gz"), (zst, "a.jsonl.zst"), (zipped, "a.zip")])
def test_no_more_is_unpacked_than_is_taken(make: object, name: str, tmp_path: Path) -> None:
    assert callable(make)
    path = make(tmp_path / name)
    assert path.stat().st_size < SIZE // 50
    tracemalloc.start()
    try:
        source = open_source(TRADES, str(path))
        lines = 0
        while (chunk := source.read(1.0)) is not None:
            lines += len(chunk.lines)
        source.close()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == LINES
    assert SIZE > 60 * BLOCK_BYTES
    assert most < 24 * BLOCK_BYTES
