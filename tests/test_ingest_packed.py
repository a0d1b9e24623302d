"""Files as they are published: compressed, in zip archives, with a checksum beside them.

gzip, zstd, zip (made by the libraries and tools that people use) --open_source--> the lines of the unpacked file
"""

import gzip
import hashlib
import io
import os
import random
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ingest.chunk import Source
from ingest.errors import ChecksumError, EmptySourceError, FormatError, UnreadableFileError
from ingest.files.sources import open_source
from slackwater.streams.mapping import Layout, parse_map
from slackwater.streams.trades import TRADES
from tests.ingest_kit import T0, letters, line, memory_house, read_all

LINES = [line(i) for i in range(1, 6)]
TEXT = b"\n".join(LINES) + b"\n"
US = Layout(time_unit="us")
CSV = f"venue,symbol,trade_id,time,price,quantity,side\nx,BTC-USD,1,{T0},100.5,2,buy\n".encode()


def places(source: Source) -> list[tuple[str, str, bytes]]:
    """Source, position and original of every line."""
    return [(c.source, c.position(i), c.original(i)) for c in read_all(source) for i in range(len(c.lines))]


def expected(name: str) -> list[tuple[str, str, bytes]]:
    return [(name, f"line {i}", one) for i, one in enumerate(LINES, 1)]


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # what is drawn for a test must be the same in every worker


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zst_streamed(data: bytes) -> bytes:
    """As a tool that does not know the size beforehand writes it."""
    into = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(into, closefd=False) as writer:
        writer.write(data)
    return into.getvalue()


def zipped(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


PACK: list[tuple[str, Callable[[bytes], bytes]]] = [(".gz", gz), (".zst", zst), (".zst", zst_streamed)]


@pytest.mark.parametrize(("ending", "pack"), PACK)
def test_a_compressed_file_is_the_lines_that_it_unpacks_to(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(pack(TEXT))
    source = open_source(TRADES, str(path))
    assert places(source) == expected(str(path))
    assert source.done == source.total == path.stat().st_size


@pytest.mark.parametrize(("ending", "pack"), PACK)
def test_what_was_joined_by_cat_is_read_to_its_end(ending: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    cut = len(TEXT) // 2
    path.write_bytes(pack(TEXT[:cut]) + pack(b"") + pack(TEXT[cut:]))
    assert places(open_source(TRADES, str(path))) == expected(str(path))


def test_gzip_may_be_padded_and_zstd_may_hold_frames_to_skip(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gz(TEXT) + bytes(700))
    (tmp_path / "a.jsonl.zst").write_bytes(zst(TEXT) + bytes.fromhex("502a4d1804000000") + b"skip" + zst(b""))
    for name in ("a.jsonl.gz", "a.jsonl.zst"):
        assert places(open_source(TRADES, str(tmp_path / name))) == expected(str(tmp_path / name))


@pytest.mark.parametrize("tool", ["gzip", "zstd"])
def test_the_files_of_the_tools_are_read(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    (tmp_path / "a.jsonl").write_bytes(TEXT)
    subprocess.run([tool, "-q", str(tmp_path / "a.jsonl")], check=True)
    (path,) = (each for each in tmp_path.iterdir() if each.suffix != ".jsonl")
    assert places(open_source(TRADES, str(path))) == expected(str(path))


def test_what_a_file_is_compressed_with_is_seen_and_the_format_is_named_inside(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gz(CSV))  # a browser that took the ending off
    (tmp_path / "b.csv.gz").write_bytes(gz(CSV))
    for name in ("a.csv", "b.csv.gz"):
        (chunk,) = read_all(open_source(TRADES, str(tmp_path / name), US))
        assert (chunk.position(0), chunk.original(0)) == ("line 2", CSV.splitlines()[1])


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl.gz", TEXT, "not compressed with gzip, as its name says"),
        ("a.jsonl.zst", gz(TEXT), "not compressed with zstd, as its name says"),
        ("a.jsonl.gz", gz(gz(TEXT)), "compressed twice"),
        ("a.gz", gz(TEXT), "no known format"),
        ("a.tar.gz", gz(TEXT), r"ends in '\.tar'"),
        ("a.csv.gz", gz(b"PAR1...."), "holds Parquet, which is read from its end"),
        ("a.parquet.gz", gz(b"PAR1...."), "Parquet is read from its end, so unpack it first"),
        ("a.jsonl", b"\xfd7zXZ\x00rest", "compressed with xz, which is not read"),
    ],
)
def test_what_cannot_be_read_says_what_it_is(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError, match=said):
        open_source(TRADES, str(tmp_path / name))


@pytest.mark.parametrize(
    ("ending", "pack", "harm"),
    [(".gz", gz, "cut"), (".gz", gz, "flip"), (".zst", zst, "cut"), (".zst", zst, "flip"), (".zip", None, "flip")],
)
def test_a_damaged_archive_gives_what_stands_before_and_then_says_where(
    ending: str, pack: Callable[[bytes], bytes] | None, harm: str, tmp_path: Path
) -> None:
    some = random.Random(7)
    text = b"".join(line(i, price=f"{some.randrange(1, 10**9)}.5") + b"\n" for i in range(60_000))
    path = tmp_path / ("a.zip" if pack is None else f"a.jsonl{ending}")
    if pack is None:
        zipped(path, {"a.jsonl": text})
    else:
        path.write_bytes(pack(text))
    data = bytearray(path.read_bytes())
    at = len(data) * 3 // 4
    if harm == "flip":
        data[at : at + 64] = bytes(byte ^ 0x55 for byte in data[at : at + 64])
    else:
        del data[at:]
    path.write_bytes(data)
    house = memory_house(tmp_path / "home")
    source = open_source(TRADES, str(path))
    with house.writer() as writer, pytest.raises(UnreadableFileError, match=r"a\.\S+' cannot be read after line \d+"):
        writer.ingest(source)
    source.close()
    taken = writer.summary().accepted
    assert 0 < taken < 60_000
    # Bytes that pass for lines until the checksum is compared are judged like any others; none is a cut line.
    assert all(not text.startswith(one) for _, one in letters(house.log) if harm == "cut")
    assert house.ingest(text.splitlines()).accepted == 60_000 - taken


def test_a_small_damaged_file_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gz(TEXT)[:-9])
    (tmp_path / "b.jsonl.gz").write_bytes(gz(TEXT)[:-8] + bytes(8))
    with pytest.raises(UnreadableFileError, match="ends too early"):
        read_all(open_source(TRADES, str(tmp_path / "a.jsonl.gz")))
    with pytest.raises(UnreadableFileError, match="incorrect data check"):
        read_all(open_source(TRADES, str(tmp_path / "b.jsonl.gz")))


@pytest.mark.parametrize("pack", [gz, zst])
def test_a_packed_file_without_a_byte_holds_no_events(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / ("a.jsonl.gz" if pack is gz else "a.jsonl.zst")
    path.write_bytes(pack(b""))
    with pytest.raises(EmptySourceError):
        read_all(open_source(TRADES, str(path)))


# ----------------------------------------------------------------------------------------------------------------- zip


def test_the_one_data_file_of_a_zip_is_read_under_both_names(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "BTCUSDT.zip", {"BTCUSDT.jsonl": TEXT, "__MACOSX/._BTCUSDT.jsonl": b"x", ".DS_Store": b"x"}
    )
    assert places(open_source(TRADES, str(path))) == expected(f"{path}:BTCUSDT.jsonl")


def test_all_data_files_of_a_zip_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {"b.jsonl.gz": gz(line(2)), "README.txt": b"?", "a/2.jsonl": line(1), "c.csv": b"", "d.jsonl": line(3)}
    path = zipped(tmp_path / "all.zip", files)
    source = open_source(TRADES, str(path))
    assert places(source) == [
        (f"{path}:{name}", "line 1", line(i)) for i, name in enumerate(["a/2.jsonl", "b.jsonl.gz", "d.jsonl"], 1)
    ]
    said = " ".join(source.left_out)  # type: ignore[attr-defined]
    assert "README.txt is of no known format" in said and "c.csv' holds no events" in said


def test_a_named_format_is_that_of_every_file_in_a_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"trades.txt": CSV, "more.dat": CSV.replace(b",1,", b",2,")})
    chunks = read_all(open_source(TRADES, str(path), US, "csv"))
    assert [chunk.source for chunk in chunks] == [f"{path}:more.dat", f"{path}:trades.txt"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no file"),
        ({"a.txt": b"x"}, r"holds a\.txt, and no file of a known format"),
        ({"a.parquet": b"PAR1"}, "Parquet is read from its end"),
        ({"a.csv": b"PK\x03\x04"}, "is a zip archive"),
    ],
)
def test_a_zip_without_what_is_read_says_so(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", files)
    with pytest.raises(FormatError, match=said):
        open_source(TRADES, str(path))


def test_a_zip_of_other_ways_to_compress_or_with_a_password_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression=zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jsonl", TEXT)
    with pytest.raises(FormatError, match="a way that is not read"):
        open_source(TRADES, str(tmp_path / "a.zip"))
    data = bytearray(zipped(tmp_path / "b.zip", {"a.jsonl": TEXT}).read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(FormatError, match="is encrypted"):
        open_source(TRADES, str(tmp_path / "b.zip"))


def test_a_zip_that_was_cut_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.jsonl": TEXT})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UnreadableFileError, match=r"a\.zip' cannot be read as a zip archive.*get it again"):
        open_source(TRADES, str(path))


# ------------------------------------------------------------------------------------------------------------ checksum


def summed(path: Path, text: str) -> Path:
    path.with_name(path.name + ".CHECKSUM").write_text(text)
    return path


def test_the_checksum_beside_a_file_is_compared(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.jsonl": TEXT})
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    for text in (f"{good}  a.zip\n", f"{good.upper()} *a.zip\r\n", f"{'0' * 64}  b.zip\n{good}  ./a.zip\n", good):
        assert len(places(open_source(TRADES, str(summed(path, text))))) == 5
    for text, said in {
        f"{'0' * 64}  a.zip\n": f"its SHA-256 is {good}.*nothing was taken",
        f"{good}  b.zip\n": r"does not name a\.zip",
        "": r"does not name a\.zip",
        "<html>404</html>\n": "which is no line of sha256sum",
    }.items():
        with pytest.raises(ChecksumError, match=said):
            open_source(TRADES, str(summed(path, text)))


def test_sha256sum_itself_is_understood(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.jsonl": TEXT})
    said = subprocess.run(["sha256sum", "a.zip"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert len(places(open_source(TRADES, str(summed(path, said))))) == 5


# --------------------------------------------------------------------------------------------------------------- pipes


def piped(data: bytes, **options: Any) -> list[tuple[str, str, bytes]]:
    """What standard input gives, a few bytes at a time."""
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb", buffering=0) as file:
            for at in range(0, len(data), 3):
                file.write(data[at : at + 3])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return places(open_source(TRADES, "-", stdin=out, **options))
    finally:
        thread.join()


@pytest.mark.parametrize("pack", [bytes, gz, zst])
def test_standard_input_is_read_in_each_format_compressed_or_not(pack: Callable[[bytes], bytes]) -> None:
    assert piped(pack(TEXT)) == expected("stdin")
    assert piped(pack(CSV), layout=US, file_format="csv") == [("stdin", "line 2", CSV.splitlines()[1])]


def test_what_is_read_from_its_end_does_not_come_by_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Parquet, which is read from its end"):
        piped(b"PAR1" + bytes(100))
    with pytest.raises(FormatError, match="zip archive, whose list of files is at its end"):
        piped(zipped(tmp_path / "a.zip", {"a.jsonl": TEXT}).read_bytes())
    with pytest.raises(FormatError, match="Parquet is read from its end"):
        open_source(TRADES, "-", file_format="parquet", stdin=os.open(os.devnull, os.O_RDONLY))


def test_a_pipe_that_waits_keeps_nobody_waiting() -> None:
    out, into = os.pipe()
    source = open_source(TRADES, "-", US, "csv", stdin=out)
    for part in (b"", CSV[:1], CSV[1:20], CSV[20:48]):
        os.write(into, part) if part else None
        chunk = source.read(0.0)
        assert chunk is not None and not chunk.lines
    os.write(into, CSV[48:])
    os.close(into)
    assert [original for _, _, original in places(source)] == [CSV.splitlines()[1]]


def test_a_pipe_says_what_its_header_lacks_when_it_comes() -> None:
    with pytest.raises(Exception, match="price"):
        piped(CSV.replace(b"price", b"prize"), layout=Layout(parse_map(TRADES, ["venue==x"]), "us"), file_format="csv")
