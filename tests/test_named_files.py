"""What arguments name: files, folders, patterns and standard input, in any mixture, read as one source.

a.csv  folder/  'old/*.zip'  -    --named_files-->  files in order  --open_sources-->  one source
"""

import gzip
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import refusals
from ingest.archive_import import import_history
from ingest.errors import ChecksumError, EmptySourceError, FileMissingError, FormatError, UnreadableFileError
from ingest.files.named import named_files
from ingest.files.sources import open_sources
from ingest.refusals import MostRefusedOfEach, TooManyRefusedError
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout
from slackwater.streams.trades import TRADES
from slackwater.versions.writer_lock import hold_import
from tests.beam_world import kafka_world
from tests.forked import call
from tests.ingest_kit import NAMES, T0, ids, letters, memory_house, read_all

HEADER = "venue,symbol,trade_id,time,price,quantity,side\n"
US = Layout(time_unit="us")


def csv_file(path: Path, *numbers: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"x,BTC-USD,{i},{T0 + i},100.5,2,buy\n" for i in numbers)
    data = (HEADER + rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in."""
    for name in ("b.csv", "a.csv", "f/2.csv", "f/1.csv.gz", "f/sub/3.csv", "old/2024-01.csv", "old/2023-01.csv"):
        csv_file(tmp_path / name, 1)
    for name in ("f/.DS_Store", "f/.hidden/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_arguments_keep_their_order_and_folders_and_patterns_that_of_names(there: Path) -> None:
    files = named_files(["b.csv", "f", "a.csv", "old/202?-*.csv", "-"])
    assert files == [
        *("b.csv", "f/1.csv.gz", "f/2.csv", "f/sub/3.csv", "a.csv", "old/2023-01.csv", "old/2024-01.csv", "-"),
    ]
    assert named_files([f"{there}/o*"]) == [f"{there}/old/2023-01.csv", f"{there}/old/2024-01.csv"]
    assert named_files(["**/3.csv"]) == ["f/sub/3.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(there: Path) -> None:
    csv_file(there / "a[1].csv", 1)
    csv_file(there / "a1.csv", 1)
    assert named_files(["a[1].csv"]) == ["a[1].csv"]


def test_what_a_folder_holds_that_is_of_no_format_is_named(there: Path) -> None:
    for name in ("README.md", "sub/x.txt", "y.bin", "z"):
        (there / "f" / name).write_text("x")
    with pytest.raises(
        FormatError, match=r"'f' holds files of no known format: README\.md, sub/x\.txt, y\.bin and 1 more"
    ):
        named_files(["f"])
    assert len(named_files(["f"], "csv")) == 7


def test_what_is_not_there_says_so(there: Path) -> None:
    (there / "empty").mkdir()
    with pytest.raises(FormatError, match="a folder without files"):
        named_files(["empty"])
    with pytest.raises(FileMissingError, match=r"no file 'q\*\.csv'\. Nothing matches the pattern"):
        named_files(["q*.csv"])
    with pytest.raises(FormatError, match="standard input is read once"):
        named_files(["-", "a.csv", "-"])
    with pytest.raises(FileMissingError, match=r"nowhere\.csv"):
        open_sources(TRADES, ["a.csv", "nowhere.csv"], US)


def test_a_checksum_goes_with_its_file(there: Path) -> None:
    def summed(name: str, data: bytes) -> None:
        (there / f"{name}.CHECKSUM").write_text(f"{hashlib.sha256(data).hexdigest()}  {Path(name).name}\n")

    summed("f/2.csv", (there / "f/2.csv").read_bytes())
    summed("a.csv", (there / "a.csv").read_bytes())
    assert "f/2.csv.CHECKSUM" not in named_files(["f"])
    assert named_files(["a.csv*"]) == ["a.csv"]  # as a shell gives them, too
    assert named_files(["a.csv", "a.csv.CHECKSUM"]) == ["a.csv"]
    with pytest.raises(FormatError, match="no known format"):
        open_sources(TRADES, ["a.csv.CHECKSUM"], US)
    summed("f/2.csv", b"other")
    with pytest.raises(ChecksumError, match=r"f/2\.csv"):
        open_sources(TRADES, ["a.csv", "f"], US)


def test_files_of_any_mixture_are_one_source(there: Path) -> None:
    csv_file(there / "a.csv", 1, 2)
    csv_file(there / "b.csv.gz", 3)
    rows = {"venue": ["x"], "symbol": ["S"], "trade_id": [4], "time": [T0], "price": ["1"], "quantity": ["1"]}
    pq.write_table(pa.table({**rows, "side": ["buy"]}), "c.parquet")
    out, into = os.pipe()
    os.write(into, HEADER.encode() + f"x,S,5,{T0},1,1,buy\n".encode())
    os.close(into)
    source = open_sources(TRADES, ["b.csv.gz", "c.parquet", "a.csv"], US)
    assert source.name == "3 files"
    found = [(c.source, c.position(i)) for c in read_all(source) for i in range(len(c.lines))]
    assert found == [("b.csv.gz", "line 2"), ("c.parquet", "row 1"), ("a.csv", "line 2"), ("a.csv", "line 3")]
    source = open_sources(TRADES, ["a.csv", "-"], US, "csv", stdin=out)
    assert [chunk.source for chunk in read_all(source)] == ["a.csv", "stdin"]


def test_progress_is_that_of_all_files(there: Path) -> None:
    source = open_sources(TRADES, ["a.csv", "f"], US)
    total = sum((there / name).stat().st_size for name in named_files(["a.csv", "f"]))
    read_all(source)
    assert source.done == source.total == total


def test_what_is_wrong_with_the_last_file_is_said_before_the_first_is_taken(there: Path) -> None:
    (there / "z.csv").write_text(HEADER.replace("price", "p") + "x\n")
    with pytest.raises(MappingError, match="price"):
        open_sources(TRADES, ["a.csv", "z.csv"], US)


def test_files_without_events_are_left_out_and_named_unless_all_are(there: Path) -> None:
    (there / "none.csv").touch()
    (there / "header.csv").write_text(HEADER)
    source = open_sources(TRADES, ["none.csv", "a.csv", "header.csv"], US)
    assert len(read_all(source)) == 1
    assert source.left_out == ["'none.csv' holds no events.", "'header.csv' holds no events."]
    with pytest.raises(EmptySourceError, match="'2 files' holds no events"):
        read_all(open_sources(TRADES, ["none.csv", "header.csv"], US))


def test_a_file_that_is_torn_stops_the_rest_and_what_was_before_it_stays(there: Path) -> None:
    csv_file(there / "a.csv", 1, 2)
    (there / "b.csv.gz").write_bytes(gzip.compress((HEADER + "x,S,5,1,1,1,buy\n" * 100_000).encode())[:-2000])
    csv_file(there / "c.csv", 3)
    house = memory_house(there / "home")
    with house.writer() as writer, pytest.raises(UnreadableFileError, match=r"'b\.csv\.gz' cannot be read after line"):
        writer.ingest(open_sources(TRADES, ["a.csv", "b.csv.gz", "c.csv"], US))
    assert sorted(ids(house.log)) == [1, 2]


def test_several_files_are_imported_as_one_epoch(there: Path) -> None:
    csv_file(there / "a.csv", 1, 2)
    other = csv_file(there / "b.csv", 1, 2, 3)
    other.write_text(other.read_text().replace(f"2,{T0 + 2},100.5", f"2,{T0 + 2},100"))
    house = memory_house(there / "home")
    source = open_sources(TRADES, ["a.csv", "b.csv"], US)
    with hold_import(house.store.home, house.log.topic_id(NAMES.topic(TRADES))) as lock:
        done = import_history(TRADES, source, house.store, house.log, NAMES, house.clock, lock)
    assert (done.summary.accepted, done.summary.duplicates, done.summary.conflicts) == (3, 1, 1)
    assert {file.epoch for file in done.archive} == {done.epoch}
    ((headers, _),) = letters(house.log)
    assert (headers["source"], headers["position"]) == ("b.csv", "line 3")


def test_each_file_is_judged_by_its_own_refusals(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "FIRST_LINES", 4)
    csv_file(there / "a.csv", *range(1, 20))
    csv_file(there / "b.csv", 30, 31)
    wrong = csv_file(there / "c.csv", 40, 41)
    wrong.write_text(wrong.read_text().replace("100.5", "free"))
    csv_file(there / "d.csv", 50)
    house = memory_house(there / "home")
    source = open_sources(TRADES, ["a.csv", "b.csv", "c.csv", "d.csv"], US)
    with house.writer() as writer, pytest.raises(TooManyRefusedError, match=r"Of 2 lines of c\.csv 2 are refused"):
        writer.ingest(source, look=MostRefusedOfEach(source, None).look)
    source.close()
    assert sorted(ids(house.log)) == [*range(1, 20), 30, 31]
    source = open_sources(TRADES, ["a.csv", "b.csv", "d.csv"], US)
    with house.writer() as writer:
        assert writer.ingest(source, look=MostRefusedOfEach(source, 0.0).look).accepted == 1


@pytest.mark.broker
def test_the_commands_take_any_mixture_and_one_import_is_one_version(broker: str, there: Path) -> None:
    csv_file(there / "f/1.csv.gz", 1, 2)
    csv_file(there / "f/2.csv", 3)
    csv_file(there / "f/sub/3.csv", 4)
    csv_file(there / "a.csv", 5, 6)
    (there / "none.csv").write_text(HEADER)
    with zipfile.ZipFile(there / "[z].zip", "w") as archive:
        archive.writestr("z.csv", HEADER + f"x,S,1,{T0},1,1,buy\n")
        archive.writestr("README", "x")
    with kafka_world(broker, there / "home") as world:
        environ = world.environ()
        options = ("--time-unit", "us", "--json")
        made = call(
            "archive", "import", f"{there}/f", f"{there}/old/*.csv", f"{there}/a.csv", *options, environ=environ
        )
        assert made.returncode == 0, made.stderr
        facts = json.loads(made.stdout)
        assert (facts["file"], facts["accepted"], facts["duplicates"]) == ("6 files", 6, 2)
        assert facts["version"] == 1, "six files are one version"
        taken = call("ingest", f"{there}/[[]z].z*", f"{there}/none.csv", *options[:2], environ=environ)
        assert taken.returncode == 0, taken.stderr
        assert "accepted   1 events" in taken.stdout
        assert f"left out   {there}/[z].zip:README is of no known format." in taken.stdout
        assert "none.csv' holds no events." in taken.stdout
        failed = call("archive", "import", f"{there}/a.csv", f"{there}/nowhere.csv", *options, environ=environ)
        assert failed.returncode == 1 and "There is no file" in failed.stderr
