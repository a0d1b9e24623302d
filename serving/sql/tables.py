"""The tables of a query: every view at every published interval, batch (+) speed, and the instruments, at one moment.

    tail.bars_1m      the speed layer's states from the cut on, merged to 1m      (a table)
    tail.newest_...   the newest event's second of each entity of a stream        (a table)
    bars_1m           the version's files and tail.bars_1m, merged, finished    (a view)
    sizes_quantiles_1m    the quantiles of a view that declares some              (a view)
    instruments       as in `/v1/instruments`                                     (a table)

A view reads the files when it is asked, and only what is asked of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from serving.query.basis import Basis
from serving.query.read import chain_rows
from serving.store.hot import HotStore
from serving.store.listing import Wanted, instrument_items, instruments_schema, listed
from serving.store.request import Keys, Range
from serving.store.snapshot import Snapshot
from slackwater.store.files import Locate
from slackwater.versions.manifest import StoredFile
from slackwater.versions.store import VersionStore
from slackwater.views.interval import CLOSED_AFTER_US, Interval
from slackwater.views.quantiles import quantiles_sql
from slackwater.views.rows import table_of
from slackwater.views.session import files_sql
from slackwater.views.sql import end_sql, gather_sql, merge_sql, values_sql
from slackwater.views.view import View


@dataclass(frozen=True)
class ReadPoint:
    """The basis of every view, by name: one version, and the same positions in all views."""

    bases: Mapping[str, Basis]

    @property
    def snapshot(self) -> Snapshot:
        """The version."""
        return next(iter(self.bases.values())).snapshot

    def meta(self) -> dict[str, Any]:
        """What an answer says of itself."""
        streams: dict[str, dict[str, Any]] = {}
        for basis in self.bases.values():  # the views of a stream stand alike
            meta, of_view = basis.meta(), {"version", "definition", "stream"}
            streams[meta["stream"]] = {name: value for name, value in meta.items() if name not in of_view}
        return {
            "version": self.snapshot.version,
            "definitions": {name: basis.view.definition for name, basis in self.bases.items()},
            "streams": streams,
            "complete": all(each["complete"] for each in streams.values()),
        }


@dataclass(frozen=True)
class Tables:
    """What a database needs to hold them: the files, by the names that it knows them by, the tables that are given, and
    the statements, in order.
    """

    files: Mapping[str, StoredFile]
    given: Mapping[str, pa.Table]
    setup: tuple[str, ...]
    names: tuple[str, ...]


def tables_of(hot: HotStore, read_point: ReadPoint, path: Locate) -> Tables:
    """The tables of one basis; the chains' rows are copied, the files are not read. `path` is `paths_here`."""
    manifest = read_point.snapshot.manifest
    given = {"given_instruments": _instruments(hot, read_point.bases.values())}
    setup = [
        "CREATE SCHEMA tail",
        "CREATE TABLE instruments AS SELECT * FROM given_instruments ORDER BY ALL",
    ]
    names = ["instruments"]
    for basis in read_point.bases.values():
        view, newest = basis.view, f"newest_{basis.view.stream.name}"
        if f"given_{newest}" not in given:
            given[f"given_{newest}"] = _newest(hot, basis)
            setup.append(f"CREATE TABLE tail.{newest} AS SELECT * FROM given_{newest}")
        given[f"given_{view.name}"] = _chain(hot, basis)
        for interval in view.intervals:
            name = f"{view.name}_{interval.word}"
            here = [each.file.checked(path) for each in manifest.parts_of(view.name, interval.text)]
            setup.append(f"CREATE TABLE tail.{name} AS {merge_sql(view, f'given_{view.name}', interval)}")
            states = _states_sql(view, name, here)
            setup.append(f"CREATE VIEW {name} AS {_closing_sql(view, interval, values_sql(view, states))}")
            names.append(name)
            if view.quantiles:
                names.append(f"{view.name}_quantiles_{interval.word}")
                setup.append(f"CREATE VIEW {names[-1]} AS {_closing_sql(view, interval, quantiles_sql(view, states))}")
    own = (each.file for each in manifest.parts if each.view in read_point.snapshot.views)
    files = {file.checked(path): file for file in own}
    return Tables(files, given, tuple(setup), tuple(names))


def paths_here(store: VersionStore) -> Locate:
    """Where files are for the process of a query, which runs in the home."""
    return lambda file: store.data.path(file).relative_to(store.home)


def _states_sql(view: View, name: str, paths: list[str]) -> str:
    """The states of both layers at one interval."""
    parts = [f"SELECT * FROM {files_sql(paths)}"] if paths else []
    states = " UNION ALL BY NAME ".join([*parts, f"SELECT * FROM tail.{name}"])
    return f"({gather_sql(view, f'({states})')})"


def _closing_sql(view: View, interval: Interval, answers: str) -> str:
    """Answers with what says whether their bars are closed."""
    closed = f"{end_sql('start', interval)} <= newest - {CLOSED_AFTER_US} AS closed"
    newest = f"tail.newest_{view.stream.name} USING ({', '.join(view.entity)})"
    return f"SELECT * EXCLUDE (newest), {closed} FROM ({answers}) JOIN {newest}"


def _instruments(hot: HotStore, bases: Iterable[Basis]) -> pa.Table:
    """The instruments of every stream as `/v1/instruments` gives them."""
    views = {basis.view.stream: basis for basis in reversed([*bases])}
    items: list[dict[str, Any]] = []
    for stream, basis in reversed(views.items()):
        found = listed(basis.snapshot, hot, basis.view, basis.ends, Wanted(((),) * len(stream.entity)))
        items += instrument_items(basis.snapshot, basis.view, found)
    return pa.Table.from_pylist(items, instruments_schema(views, pa.int64()))


def _newest(hot: HotStore, basis: Basis) -> pa.Table:
    """The newest second of each entity of a stream, which says what is closed."""
    view = basis.view
    entities = basis.snapshot.batch.entities(view) | (set(hot.instruments(view)) if basis.ends else set())
    newest = {entity: at for entity in entities if (at := basis.newest(entity)) is not None}
    columns = view.key_columns[: len(view.entity)]
    found = {c.name: pa.array([entity[i] for entity in newest], c.kind.arrow) for i, c in enumerate(columns)}
    return pa.table({**found, "newest": pa.array(newest.values(), pa.int64())})


def _chain(hot: HotStore, basis: Basis) -> pa.Table:
    """The chains' states at the base interval; a key has a row for each partition that holds it."""
    entities = tuple(hot.instruments(basis.view)) if basis.ends else ()
    return table_of(basis.view, chain_rows(basis, Keys(entities), Range(basis.view.intervals[0])))
