"""Data files that are somewhere else: a whole schedule over a bucket (`tests.remote_files`), as over a local disk.

    run, run, back and forward, import, correction, compaction, audit, answers, expiry, backup, restore

What a version lists is in the bucket alone: who read by a path of its own would find nothing. The answers are those of
the oracle.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_layer.audit_parts import audit_parts
from batch_layer.compute import run_pipeline
from batch_layer.expire import expire
from ops.evidence import LogEvidence
from serving.http.app import create_app
from serving.options import ServingOptions, SqlOptions
from slackwater.core.clock import SystemClock
from slackwater.corrections.selection import Selection
from slackwater.deltas.read_tail import TailReader
from slackwater.keys.keys import KeyStore
from slackwater.restatements.of_move import Restating
from slackwater.streams.trades import TRADES
from slackwater.versions.backup import back_up
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile
from slackwater.versions.restore import restore
from slackwater.versions.retention import answering
from slackwater.versions.rollback import files_of, rollback
from slackwater.versions.store import VersionStore
from slackwater.versions.suspects import mark_suspect, suspects
from slackwater.views.interval import parse_interval
from tests.beam_world import SYMBOLS, T0_US
from tests.remote_files import RemoteData, RemoteFiles
from tests.test_corrections import BTC, VIEWS, House

MINUTE = parse_interval("1m")

Bars = dict[str, list[dict[str, Any]]]


class Away(House):
    """A house whose data files are in a bucket. `expected` are the bars of 1m of each version, by the oracle."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "home")
        self.world.store = VersionStore(self.world.home, RemoteFiles(folder / "bucket"))
        self.restart()  # the speed layer has the other store
        self.expected: dict[int, Bars] = {}

    @property
    def store(self) -> VersionStore:
        return self.world.store

    @property
    def data(self) -> RemoteData:
        assert isinstance(self.store.data, RemoteData)
        return self.store.data

    def note_version(self, made: Manifest | None) -> Manifest:
        """A version is right, and what it lists is in the bucket alone."""
        assert made is not None
        self.check(made)
        oracle = self.oracle(made)
        self.expected[made.version] = {symbol: oracle.bars("v", symbol, MINUTE.us) for symbol in SYMBOLS}
        assert {file.path for file in (*files_of(made), *made.lists)} <= self.data.published()
        assert [name for name in self.data.published() if (self.world.home / name).exists()] == []
        return made

    def empty_cache(self) -> None:
        """What was fetched is gone, as from a machine that is another one."""
        shutil.rmtree(self.world.home / "cache")
        self.data.fetched.clear()


class Client:
    """Asks a service of the house, which has read nothing."""

    def __init__(self, house: Away) -> None:
        self._store = house.store
        options = ServingOptions(poll_s=0.0, sql=SqlOptions(deadline_s=60.0))
        self._app = create_app(house.log, house.world.names, house.store, VIEWS, SystemClock(), options)
        self._app.state.service.step()

    def close(self) -> None:
        self._app.state.service.stop()

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def sql(self, query: str) -> Any:
        _, key = KeyStore(self._store.home).create("ann", "admin", 1)
        return self._ask("POST", "/v1/sql", json={"sql": query}, headers={"Authorization": f"Bearer {key}"})

    def bars(self, symbol: str, more: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/v1/bars?venue=v&symbol={symbol}&interval=1m&limit=1000{more}")["bars"]
        return found

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                return await client.request(method, path, **more)

        response = asyncio.run(ask())
        assert response.status_code == 200, response.text
        return json.loads(response.text)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Away]:
    for module in ("slackwater.store.lists", "slackwater.versions.store"):
        monkeypatch.setattr(f"{module}.INLINE", 3)  # so that versions have lists in files
    made = Away(tmp_path)
    yield made
    made.speed.close()
    made.world.close()


def test_a_whole_schedule_goes_by_names_alone(house: Away, tmp_path: Path) -> None:
    store = house.store
    first = house.note_version(house.batch(120, compute=run_pipeline))
    second = house.note_version(house.batch(60))
    restating = Restating(store, VIEWS, TailReader(house.log, house.world.names))
    for version in (first.version, second.version):
        move = rollback(store, version, "worse", "ann", lambda: 7, restating)
        assert move.incomplete_reason == ""
    house.note_version(house.take(10**6, 20, tmp_path / "history.jsonl"))
    done = house.remove(Selection(entity=BTC, end=T0_US + 2_000_000))
    assert done.summary.events == len(house.gone) > 0
    corrected = house.note_version(done.version)
    again = house.note_version(house.batch(60))
    assert any(name.startswith("lists/") for name in house.data.published())
    compacted = house.note_version(house.compact())
    assert len(compacted.parts) < len(again.parts)
    _, found = audit_parts(house.context, compacted, VIEWS, 10**9, 1_000)
    assert found
    assert not any(each.differ or each.failed for each in found)

    _ask_everything(house, corrected, compacted)
    _expire(house, compacted)
    _move_house(house, compacted, tmp_path)


def _ask_everything(house: Away, corrected: Manifest, served: Manifest) -> None:
    house.speed.step()
    house.empty_cache()
    client = Client(house)
    try:
        parts = {part.file.path for part in served.parts}
        assert {symbol: client.bars(symbol) for symbol in SYMBOLS} == house.expected[served.version]
        fetched = {*house.data.fetched}
        assert fetched <= parts | {file.path for file in served.lists}, "no answer of bars needs the archive"
        query = "/v1/trades?venue=v&symbol=ETHUSDT&start=1700000000000000&end=1800000000000000&limit=1000"
        trades = client.get(query)["trades"]
        of_archive = {*house.data.fetched} - fetched
        own = {entry.file.path for entry in served.archive_of(TRADES)}
        assert set() < of_archive < own, "one partition holds the entity"
        assert len(trades) == sum(bar["trades"] for bar in house.expected[served.version]["ETHUSDT"])
        for version, bars in house.expected.items():
            assert {symbol: client.bars(symbol, f"&as_of={version}") for symbol in SYMBOLS} == bars
        restated = client.get("/v1/restatements?since=0&limit=10000")["restatements"]
        own_rows = [row for row in restated if row["version"] == corrected.version and row["cause"] == "correction"]
        assert len(own_rows) == len(house.restated(corrected, "correction")) > 0
        ((count,),) = client.sql("SELECT count(*) FROM bars_1m")["rows"]
        assert count == sum(len(bars) for bars in house.expected[served.version].values())
    finally:
        client.close()
    evidence = LogEvidence(house.log, house.world.names, house.store)
    assert all(each.path.exists() for each in evidence.archive(served.version, "trades"))


def _expire(house: Away, served: Manifest) -> None:
    before = house.data.published()
    planned = expire(house.context, 1, dry_run=True)
    assert house.data.published() == before
    size = sum(map(house.data.size, planned.names))
    done = expire(house.context, 1)
    assert done.names == planned.names
    assert size > 0
    standing = {file.path for manifest in answering(house.store) for file in (*files_of(manifest), *manifest.lists)}
    standing |= {file.path for correction in house.store.corrections.all() for file in correction.files}
    standing |= {ledger.file.path for ledger in house.store.moves.ledgers()}
    assert house.data.published() == standing < before
    assert house.data.objects() < {path.name for path in (house.world.home / "cache").iterdir()} | house.data.objects()
    house.empty_cache()
    house.check(served)


def _move_house(house: Away, served: Manifest, tmp_path: Path) -> None:
    house.empty_cache()
    made = back_up(house.store, tmp_path / "backup", 7)
    assert made.copied == len(made.backup.files)
    assert back_up(house.store, tmp_path / "backup", 8).copied == 0
    home, files = tmp_path / "other", RemoteFiles(tmp_path / "other-bucket")
    restore(tmp_path / "backup", home, files)
    moved = VersionStore(home, files)
    assert isinstance(moved.data, RemoteData)
    assert moved.data.published() == house.data.published()
    assert not [name for name in moved.data.published() if (home / name).exists()]
    house.world.store = moved
    house.restart()
    house.check(moved.current())
    assert house.knows().judge(_events_of(moved, served)).tolist().count(1) == served.count("events")


def _events_of(store: VersionStore, version: Manifest) -> Any:
    tables = [pq.read_table(store.data.fetch(entry.file)) for entry in version.archive_of(TRADES)]
    return pa.concat_tables(tables).select(TRADES.schema.names)


def test_what_is_damaged_in_the_bucket_is_not_fetched_and_what_is_damaged_here_has_its_name(house: Away) -> None:
    made = house.note_version(house.batch(60))
    house.empty_cache()
    here, there = made.parts[0].file, made.parts[1].file
    house.data.damage(there.sha256)
    with pytest.raises(DamagedFileError, match="was changed"):
        house.store.check([there])
    inspector = Inspector(house.store, lambda path: mark_suspect(house.store, path))
    _flip(house.data.fetch(here))
    for file in (here, there):
        with pytest.raises(DamagedFileError):
            inspector.check([file])
    assert {*suspects(house.store)} == {here.path, there.path}
    mended = house.note_version(house.batch(1))
    assert not {here.path, there.path} & {part.file.path for part in mended.parts}
    assert suspects(house.store) == {}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_a_run_that_failed_has_written_is_listed_and_goes(house: Away) -> None:
    made = house.note_version(house.batch(60))

    def dies(*_: object) -> None:
        house.data.create("states/torn/bars").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        house.batch(20, compute=dies)
    assert house.data.names("states/torn") == ["bars"]
    expire(house.context, 1)
    assert house.data.names("states/torn") == []
    left = {file.path for file in (*files_of(made), *made.lists)}
    assert house.data.published() == left


def _stored(store: VersionStore, name: str, data: bytes) -> StoredFile:
    path = store.data.create(name)
    path.write_bytes(data)
    return store.stored(path, 1)


@pytest.mark.parametrize("remote", [False, True])
def test_names_and_paths(remote: bool, tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "home", RemoteFiles(tmp_path / "bucket") if remote else None)
    data, written = store.data, [_stored(store, f"archive/e/{name}", b"x" * 9) for name in ("a", "b")]
    store.data.put("lists/e/parts-0.json", b"{}")
    with pytest.raises(FileExistsError):
        store.data.put("lists/e/parts-0.json", b"{}")
    for file in written:
        assert data.path(file) == data.fetch(file)
        assert data.fetch(file).read_bytes() == b"x" * 9
        assert data.fetch(file).is_relative_to(store.home)
    assert data.name_of(data.path(written[1])) == "archive/e/b"
    assert (data.names("archive"), data.names("archive/e"), data.names("none")) == (["e"], ["a", "b"], [])
    assert (data.size("archive/e/a"), data.size("archive"), data.size("archive/none")) == (9, 18, 0)
    data.remove("archive/e/a")
    data.remove("archive/e/a")
    assert data.names("archive/e") == ["b"]
    assert data.fetch(written[1]).read_bytes() == b"x" * 9
    data.remove("archive")
    assert data.names("archive") == []
