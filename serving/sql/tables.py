"""The tables of a query: every view at every published interval, batch (+) speed, and the instruments, at one moment.

    moment.bars_1m    the speed layer's states from the cut on, merged to 1m      (a table)
    moment.newest     the newest event's second of each instrument                (a table)
    bars_1m           the version's files and moment.bars_1m, merged, finished    (a view)
    instruments       as in `/v1/instruments`                                     (a table)

A view reads the files when it is asked, and only what is asked of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from serving.http.problems import not_serving
from serving.query.basis import Ground, apart
from serving.query.units import quantity_unit
from serving.service import Service
from serving.store.ends import Ends
from serving.store.listing import Wanted, listed, newest
from serving.store.snapshot import Snapshot
from serving.watch.completeness import REFUSED
from slackwater.versions.manifest import StoredFile
from slackwater.views.interval import CLOSED_AFTER_US, PUBLISHED_INTERVALS, Interval
from slackwater.views.rows import Row, table_of
from slackwater.views.session import files_sql
from slackwater.views.sql import gather_sql, merge_sql, values_sql
from slackwater.views.view import View

HERE = Path()
"""The home folder, as the process of a query sees it: it runs there."""

_TRIES = 3
_AT_ONCE = 4_096  # rows that are taken out of a chain under its lock


@dataclass(frozen=True)
class Moment:
    """One version and, by view, its chains' ends: in all views the same positions. `ends` is empty without chains.

    `lacking` is why deltas may be missing from them.
    """

    snapshot: Snapshot
    ends: Mapping[str, Mapping[int, Ends]]
    lacking: str | None = None

    def about(self) -> dict[str, Any]:
        """What an answer says of itself."""
        views = tuple(self.snapshot.views.values())
        ends = self.ends.get(views[0].name, {})
        apart_at = next(filter(None, map(apart, self.ends.values())), None)
        incomplete = (self.lacking or apart_at) if ends else REFUSED
        layer = "merged" if ends else "batch"
        about = Ground(self.snapshot, views[0], layer, frozenset(self.snapshot.cut), ends, incomplete).about()
        del about["definition"]
        return {**about, "definitions": {view.name: view.definition for view in views}}


@dataclass(frozen=True)
class Tables:
    """What a database needs to hold them: the files, the tables that are given, and the statements, in order."""

    files: tuple[StoredFile, ...]
    given: Mapping[str, pa.Table]
    setup: tuple[str, ...]
    names: tuple[str, ...]


def take_moment(service: Service) -> Moment:
    """This moment, of what is served now.

    Raises:
        ProblemError: 503 if nothing is served, or not every view.
    """
    for _ in range(_TRIES):  # a snapshot may be swapped away between two lines
        snapshot = service.snapshot()
        if snapshot.refused_views:
            raise not_serving(" ".join(snapshot.refused_views.values()))
        if not snapshot.chain:
            return _given(service, Moment(snapshot, {}))
        lacking = service.completeness.lacking(snapshot.cut)  # before the ends: they can only be later
        ends = service.hot.moment(snapshot.key)
        if ends is not None:
            return _given(service, Moment(snapshot, ends, lacking))
    raise not_serving("Versions change faster than they can be read.")


def _given(service: Service, moment: Moment) -> Moment:
    reason: str | None = moment.about().get("reason")
    if reason is not None and service.options.incomplete == "refuse":
        raise not_serving(reason)
    return moment


def tables_of(service: Service, moment: Moment) -> Tables:
    """The tables of a moment; the chains' rows are copied, the files are not read."""
    views = tuple(moment.snapshot.views.values())
    manifest = moment.snapshot.manifest
    given = _instruments(service, moment, views[0])
    setup = [
        "CREATE SCHEMA moment",
        "CREATE TABLE moment.newest AS SELECT * FROM given_newest",
        "CREATE TABLE instruments AS SELECT * FROM given_instruments ORDER BY ALL",
    ]
    names = ["instruments"]
    for view in views:
        given[f"given_{view.name}"] = table_of(view, _rows(service, view, moment.ends.get(view.name, {})))
        for interval in PUBLISHED_INTERVALS:
            name = f"{view.name}_{interval.text}"
            here = [each.file.checked(HERE) for each in manifest.files_of(view.name, interval.text)]
            setup.append(f"CREATE TABLE moment.{name} AS {merge_sql(view, f'given_{view.name}', interval)}")
            setup.append(f"CREATE VIEW {name} AS {_answers_sql(view, interval, name, here)}")
            names.append(name)
    files = tuple(each.file for each in manifest.views if each.view in moment.snapshot.views)
    return Tables(files, given, tuple(setup), tuple(names))


def _answers_sql(view: View, interval: Interval, name: str, paths: list[str]) -> str:
    parts = [f"SELECT * FROM {files_sql(paths)}"] if paths else []
    states = " UNION ALL BY NAME ".join([*parts, f"SELECT * FROM moment.{name}"])
    values = values_sql(view, f"({gather_sql(view, f'({states})')})")
    columns = ", ".join([*view.key, "start", *view.answers])
    closed = f"start <= newest - {CLOSED_AFTER_US + interval.us} AS closed"
    return f"SELECT {columns}, {closed} FROM ({values}) JOIN moment.newest USING (venue, symbol)"


def _instruments(service: Service, moment: Moment, view: View) -> dict[str, pa.Table]:
    """The instruments as `/v1/instruments` gives them, and the newest second of each, which says what is closed."""
    found = listed(moment.snapshot, service.hot, view, moment.ends.get(view.name, {}), Wanted())
    duplicates = moment.snapshot.batch.duplicates
    instruments = pa.table(
        {
            "venue": pa.array([place.venue for place in found], pa.string()),
            "symbol": pa.array([place.symbol for place in found], pa.string()),
            "partition": pa.array([place.partition for place in found], pa.int32()),
            "first_start": pa.array([first for first, _ in found.values()], pa.int64()),
            "last_start": pa.array([last for _, last in found.values()], pa.int64()),
            "quantity_unit": pa.array([quantity_unit(place.venue) for place in found], pa.string()),
            "duplicates": pa.array([duplicates.get(place[:2], 0) for place in found], pa.int64()),
        }
    )
    last = newest(found)
    of_each = pa.table(
        {
            "venue": pa.array([venue for venue, _ in last], pa.string()),
            "symbol": pa.array([symbol for _, symbol in last], pa.string()),
            "newest": pa.array(last.values(), pa.int64()),
        }
    )
    return {"given_instruments": instruments, "given_newest": of_each}


def _rows(service: Service, view: View, ends: Mapping[int, Ends]) -> Iterator[Row]:
    """The chains' states at the base interval; a key has a row for each partition that holds it."""
    for instrument, partitions in service.hot.instruments(view).items() if ends else ():
        for partition in sorted(partitions & ends.keys()):
            for key in sorted(ends[partition].keys(instrument)):
                yield from _rows_of_key(ends[partition], key)


def _rows_of_key(ends: Ends, key: tuple[str, ...]) -> Iterator[Row]:
    """In portions, since the feed and every other answer wait while a chain is read."""
    base = PUBLISHED_INTERVALS[0]
    low = 0
    while states := ends.bars(key, base, low, None, _AT_ONCE, newest_first=False):
        starts = sorted(states)[:_AT_ONCE]
        yield from (Row(key, start, states[start]) for start in starts)
        low = starts[-1] + base.us
