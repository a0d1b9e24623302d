"""Bits that flip in files while no size and no time changes: found by the read that meets them, with no scrub's help.

    a server checks its files whole -> it stands still -> bits flip through a mapping -> it is asked

Every answer is the true one or a problem, 503, and once one was refused the version below answers.
"""

import asyncio
import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest

from batch_layer.compute import archive_segments, run_pipeline
from batch_layer.errors import ComputeError
from ops import cli
from serving.http.formats.export import ExportCutError
from serving.options import ServingOptions, SqlOptions
from slackwater.core.checked_files import (
    LEAST_SHIFT,
    MOST_BLOCKS,
    DamagedBytesError,
    checked_name,
    damage_in,
    open_checked,
    shift_for,
)
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.views.interval import PUBLISHED_INTERVALS
from slackwater.views.session import connect, files_sql
from tests.profiles import PROFILE
from tests.serving_world import NOON, SECOND, World
from tests.sql_world import bearer, post
from tests.test_rot import Silent, view_file

ROUNDS = 100 if PROFILE == "search" else 25
BITS = 5
DAY = f"start={NOON}&end={NOON + 86_400 * SECOND}"
QUESTIONS = [
    *(f"/v1/bars?venue=x&symbol=BTC&limit=10000&interval={interval}" for interval in ("1s", "1m", "5m", "1h", "1d")),
    *(f"/v1/bars?venue=x&symbol=BTC&interval={interval}&{DAY}&limit=7" for interval in ("1s", "8m", "2h")),
    *(f"/v1/bars?venue=x&symbol=BTC&interval={interval}&{DAY}&limit=all&format=csv" for interval in ("1s", "1m", "1h")),
    *(f"/v1/bars?venue=x&symbol=BTC&interval=1m&as_of={version}&{DAY}" for version in (1, 2)),
    *(f"/v1/trades?venue=x&symbol=BTC&{DAY}&limit={limit}" for limit in (3, 1000)),
]

PROBLEMS = {f"urn:slackwater:problem:{kind}" for kind in ("files-unreadable", "version-damaged")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two versions and a trade behind the last; files of several blocks are in `test_a_file_of_many_blocks`."""
    found = World(tmp_path_factory.mktemp("home"), partitions=1)
    random = Random(7)
    for number in (1, 2):
        for i in range(300):
            found.trade(at_s=number * 4000 + 11 * i, price=f"{random.randint(1, 10**6)}.{random.randint(1, 10**8):08d}")
        found.publish(found.mark(f"run-{number}"), f"run-{number}")
    found.trade(at_s=9)
    found.emit()
    found.store = VersionStore(found.store.home, Silent())
    yield found
    found.close()


def start(world: World) -> None:
    """A server that has found every file whole, and will not read one again on its own."""
    world.serve(ServingOptions(poll_s=0.0, scrub_bytes_per_s=0, sql=SqlOptions()))
    world.step()
    world.service.inspector.check(world.store.manifest(1).dataset)
    world.service.inspector.check(world.store.manifest(2).dataset)


def flip(path: Path, bits: Sequence[int]) -> None:
    """Flip bits of a file through a mapping; twice is as before."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for bit in bits:
            mapped[bit // 8] ^= 1 << bit % 8


CUT = httpx.Response(599)
"""An export whose connection was cut behind its first part: a client sees an error of the transport."""


def ask(world: World, url: str) -> httpx.Response:
    """As a client sees it: what the application raises is a bare 500, but that an export is cut."""

    async def get(raise_app_exceptions: bool) -> httpx.Response:
        transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=raise_app_exceptions)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(url)

    if "limit=all" in url:
        try:
            return asyncio.run(get(raise_app_exceptions=True))
        except ExportCutError:
            return CUT
    return asyncio.run(get(raise_app_exceptions=False))


def meaning(response: httpx.Response) -> object:
    """What must not change with the version that answers."""
    if response.headers["Content-Type"].startswith("text/csv"):
        return response.text
    found = response.json()
    return found.get("bars", found.get("trades"))


def files(manifest: Manifest) -> list[StoredFile]:
    return [*(entry.file for entry in manifest.parts), *(entry.file for entry in manifest.archive)]


@pytest.mark.timeout(1200)
def test_no_answer_is_wrong_or_a_bare_error_whichever_bits_flipped(world: World) -> None:
    start(world)
    truth = {url: meaning(ask(world, url)) for url in QUESTIONS}
    refused = 0
    for seed in range(ROUNDS):
        random = Random(seed)
        start(world)
        with ExitStack() as undo:
            for file in random.sample(files(world.store.manifest(2)), 2):
                path = world.store.home / file.path
                bits = random.sample(range(8 * file.size), BITS)
                flip(path, bits)
                undo.callback(flip, path, bits)
            for url in random.sample(QUESTIONS, len(QUESTIONS)):
                response = ask(world, url)
                if response.status_code != 200:
                    if response is not CUT:
                        assert response.status_code == 503, (seed, url, response.text)
                        assert response.headers["Content-Type"] == "application/problem+json"
                        assert response.json()["type"] in PROBLEMS, (seed, url)
                    refused += 1
                    world.step(seconds=0.0)
                    if "as_of" in url:
                        continue
                    response = ask(world, url)  # the version below, unless that meets the other file's damage
                    if response.status_code != 200:
                        world.step(seconds=0.0)
                        response = ask(world, url)
                    assert response.status_code == 200, (seed, url, response.text)
                assert meaning(response) == truth[url], (seed, url)
    assert refused >= ROUNDS


def test_a_query_in_sql_meets_the_damage_and_says_so(world: World) -> None:
    start(world)
    admin = bearer(world)
    query = "SELECT sum(trades) AS trades, max(high) AS high FROM bars_1m"
    good = post(world, admin, sql=query).json()["rows"]
    file = view_file(world.store.manifest(2), "1m")
    for bit in (8 * 200, 8 * (file.size - 40)):  # in a page, which the query reads; in the footer, which its tables do
        start(world)
        flip(world.store.home / file.path, [bit])
        try:
            response = post(world, admin, sql=query)
            assert (response.status_code, response.json()["type"]) == (503, "urn:slackwater:problem:files-unreadable")
            world.step(seconds=0.0)
            below = post(world, admin, sql=query)
            assert (below.status_code, below.json()["rows"]) == (200, good)
            assert below.json()["meta"]["version"] == 1
        finally:
            flip(world.store.home / file.path, [bit])


def test_a_file_that_is_whole_again_is_taken_again(world: World) -> None:
    start(world)
    file = view_file(world.store.manifest(2), "1m")
    url = QUESTIONS[1]
    flip(world.store.home / file.path, [99])
    assert ask(world, url).status_code == 503
    world.step(seconds=0.0)
    assert ask(world, url).json()["meta"]["version"] == 1
    flip(world.store.home / file.path, [99])
    world.service.inspector.reread(file)
    world.step(seconds=0.0)
    assert ask(world, url).json()["meta"]["version"] == 2


@pytest.mark.parametrize("interval", PUBLISHED_INTERVALS)
def test_each_bit_of_a_view_is_checked_by_whoever_reads_it_all(world: World, interval: object) -> None:
    """DuckDB by names with checksums, as a batch run reads its parent, and Arrow."""
    file = view_file(world.store.manifest(1), str(getattr(interval, "text", "")))
    path, random = world.store.home / file.path, Random(3)
    name = file.checked(world.store.data.fetch)
    for bit in random.sample(range(8 * file.size), 60):
        flip(path, [bit])
        try:
            with connect(1) as con, pytest.raises(duckdb.Error) as caught:
                con.sql(f"SELECT * FROM {files_sql([name])}").fetchall()
            found = damage_in(caught.value)
            assert found is not None
            assert found[0] == str(path)
            with pytest.raises(DamagedBytesError), open_checked(name) as source:
                pq.read_table(source)
        finally:
            flip(path, [bit])
    with connect(1) as con:
        assert len(con.sql(f"SELECT * FROM {files_sql([name])}").fetchall()) == file.rows


def test_a_file_of_many_blocks_is_read_where_it_is_asked_for_and_checked_there(tmp_path: Path) -> None:
    path = tmp_path / "it's [1]*.parquet"
    target = str(path).replace("'", "''")
    with connect(1) as con:
        con.execute("SET preserve_insertion_order = true")
        numbers = "SELECT i, hash(i) AS h FROM range(300_000) t(i) ORDER BY i"
        con.execute(f"COPY ({numbers}) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 20_480)")
    store = VersionStore(tmp_path)
    stored = store.stored(path, 300_000)
    name = stored.checked(store.data.fetch)
    assert stored.size > 20 << LEAST_SHIFT
    told: list[DamagedBytesError] = []

    def rows(low: int, high: int) -> list[tuple[int, ...]]:
        with connect(1, on_damage=told.append) as con:
            return con.sql(f"SELECT * FROM {files_sql([name])} WHERE i BETWEEN {low} AND {high} ORDER BY i").fetchall()

    with duckdb.connect() as plain:
        expected = plain.sql("SELECT i, hash(i) FROM range(290_000, 290_100) t(i)").fetchall()
    assert rows(290_000, 290_099) == expected
    flip(path, [8 * 1000])  # in the first block: what lies elsewhere is still answered
    assert rows(290_000, 290_099) == expected
    with pytest.raises(duckdb.Error, match="DamagedBytesError"):
        rows(0, 99)
    assert [(error.path, error.fact) for error in told] == [(str(path), "bytes 0 to 65536 were changed")]
    flip(path, [8 * 1000])
    assert len(rows(0, 99)) == 100
    with path.open("r+b") as file:
        file.truncate(stored.size - 7)
    with pytest.raises(duckdb.Error, match="it ends at byte"):
        rows(290_000, 290_099)
    path.unlink()
    with pytest.raises(duckdb.Error, match="No such file"):
        rows(290_000, 290_099)


def test_a_name_stays_short_however_large_the_file() -> None:
    for size in (0, 1, 1 << LEAST_SHIFT, MOST_BLOCKS << LEAST_SHIFT, (MOST_BLOCKS << LEAST_SHIFT) + 1, 1 << 40):
        shift = shift_for(size)
        assert -(-size >> shift) <= MOST_BLOCKS
        assert shift == LEAST_SHIFT or size > MOST_BLOCKS << (shift - 1)


def test_an_empty_file_and_reads_past_the_end_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"abc", bytes(200_000)):
        path.write_bytes(data)
        stored = VersionStore(tmp_path).stored(path, 0)
        with open_checked(checked_name(path, stored.size, stored.sums)) as file:
            assert file.read() == data
            assert file.read() == b""
            assert file.seek(10) == 10
            assert file.read(70_000) == data[10:70_010]
            assert json.dumps(file.tell()) == str(max(min(len(data), 70_010), min(10, len(data))))
        path.unlink()


def test_a_batch_run_and_every_command_name_the_damaged_file(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive as the pipeline reads it, after the run's own check of whole files; and past the pipeline."""
    entry = world.store.manifest(2).archive[0]
    path = world.store.home / entry.file.path
    segments = archive_segments(world.store.data.fetch, "trades", "topic", [entry])
    flip(path, [8 * (entry.file.size // 2)])

    def read() -> None:
        with connect(1) as con:
            con.sql(f"SELECT * FROM {files_sql([entry.file.checked(world.store.data.fetch)])}").fetchall()

    try:
        with pytest.raises(ComputeError, match=f"{path}: bytes 0 to {entry.file.size} were changed"):
            run_pipeline(segments, world.views, world.store.home / "computed")
        monkeypatch.setattr(cli, "main", lambda standalone_mode: read())
        with pytest.raises(SystemExit) as ended:
            cli.run()
    finally:
        flip(path, [8 * (entry.file.size // 2)])
    assert ended.value.code == 1
    said = "".join(capsys.readouterr())
    assert f"{path} is damaged" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("scrub_bytes_per_s", [0, 16_000_000])
def test_one_bad_read_of_each_version_condemns_no_whole_file(world: World, scrub_bytes_per_s: int) -> None:
    world.serve(ServingOptions(poll_s=0.0, scrub_bytes_per_s=scrub_bytes_per_s))
    world.step()
    for file in (stored for version in (1, 2) for stored in files(world.store.manifest(version))):
        world.service.inspector.suspect(DamagedBytesError(str(world.store.home / file.path), "Too many open files"))
    for _ in range(3):
        world.step()
    answer = ask(world, QUESTIONS[1])
    assert (answer.status_code, answer.json()["meta"]["version"]) == (200, 2)
    trades = ask(world, QUESTIONS[-1])
    assert trades.status_code == 200, trades.text
    assert world.get("/health/ready").json()["reasons"] == []


def test_the_scrub_reads_again_what_was_refused_while_nothing_is_served(world: World) -> None:
    world.serve(ServingOptions(poll_s=0.0))
    world.step()
    with ExitStack() as undo:
        for version in (1, 2):
            file = view_file(world.store.manifest(version), "1m")
            flip(world.store.home / file.path, [99])
            undo.callback(flip, world.store.home / file.path, [99])
            with pytest.raises(DamagedFileError):
                world.service.inspector.reread(file)
        world.step()
        assert ask(world, QUESTIONS[1]).status_code == 503
        assert world.service.watch.snapshot is None
        scrub = world.service.scrub
        scrub._left = []
        scrub._bytes_per_s = 1000
        began, before = world.clock.elapsed_s(), scrub.read_bytes
        for _ in range(60):
            world.step()
        largest = max(file.size for version in (1, 2) for file in files(world.store.manifest(version)))
        assert 0 < scrub.read_bytes - before <= 1000 * (world.clock.elapsed_s() - began) + largest
        assert world.service.watch.snapshot is None
    scrub._bytes_per_s = 16_000_000
    for _ in range(60):
        world.step()
    assert ask(world, QUESTIONS[1]).json()["meta"]["version"] == 2
