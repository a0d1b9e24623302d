"""What two versions answer differently, exactly: rows that one of them lacks, rows that differ, by how much.

Each version is answered by its own definitions, from its own files alone; a row is one key and start at a published
interval. With one cut, as a candidate has, what differs is the definition; with two, the events between them, too. A
view that one version alone holds needs no definition: its rows are counted in the manifest.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from batch_layer.errors import BatchError
from slackwater.versions.manifest import Manifest
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import names_of
from slackwater.views.difference import alone_sql, changed_sql, counts_sql, field_sql, finished_sql, rows_sql
from slackwater.views.interval import Interval
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import count_sql
from slackwater.views.view import View


@dataclass(frozen=True)
class FieldDiff:
    """How many rows differ in a field. `largest` and `largest_ratio` are (key and start, a, b), as they print."""

    field: str
    rows: int
    largest: Mapping[str, Any] | None
    largest_ratio: Mapping[str, Any] | None


@dataclass(frozen=True)
class Diff:
    """One view at one interval. `both` rows are in both versions, `differ` of them are not equal.

    A definition is None where that version does not hold the view: it, or its stream, was added or dropped.
    `fields_a` and `fields_b` are answers that only one definition has. `first` shows the first rows that differ,
    `alone` the first places that only one version has, by its number.
    """

    view: str
    interval: str
    definitions: tuple[str | None, str | None]
    both: int
    only_a: int
    only_b: int
    differ: int = 0
    fields_a: tuple[str, ...] = ()
    fields_b: tuple[str, ...] = ()
    fields: tuple[FieldDiff, ...] = ()
    first: tuple[Mapping[str, Any], ...] = ()
    alone: Mapping[int, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        lacking = None in self.definitions
        return not (lacking or self.only_a or self.only_b or self.differ or self.fields_a or self.fields_b)


def diff_versions(
    store: VersionStore, views: tuple[View, ...], a: int, b: int, examples: int = 10, limits: Limits = UNLIMITED
) -> list[Diff]:
    """Compare two versions that are kept, be it as snapshots; `views` are all definitions, `examples` how many rows are
    shown.

    Raises:
        RetiredVersionError, NoSuchVersionError, ManifestError, RecordError, DamagedFileError: one cannot be read.
        BatchError: a view of both has, in one of them, a definition that is not among `views`.
    """
    manifests = store.answering(a), store.answering(b)
    names = dict.fromkeys([*names_of(views), *sorted({*manifests[0].definitions, *manifests[1].definitions})])
    for manifest in manifests:
        store.check(file.file for file in manifest.parts)
    found: list[Diff] = []
    with limits.connect() as con:
        for name in names:
            held = [manifest for manifest in manifests if name in manifest.definitions]
            if len(held) == 1:
                found += _alone(name, held[0], manifests)
            elif held:
                of_a, of_b = (_view(name, manifest, views) for manifest in manifests)
                for interval in (i for i in of_a.intervals if i in of_b.intervals):
                    _finish(con, store, "a", of_a, manifests[0], interval)
                    _finish(con, store, "b", of_b, manifests[1], interval)
                    found.append(_compare(con, of_a, of_b, (a, b), interval, examples))
    return found


def _alone(name: str, holder: Manifest, manifests: tuple[Manifest, Manifest]) -> Iterator[Diff]:
    """A view that one version does not hold, by the intervals that the other has files of."""
    rows = Counter[str]()
    for file in holder.parts:
        if file.view == name:
            rows[file.interval] += file.file.rows
    a, b = (manifest.definitions.get(name) for manifest in manifests)
    for interval, count in (rows or {"": 0}).items():
        yield Diff(name, interval, (a, b), 0, count if b is None else 0, count if a is None else 0)


def _view(name: str, manifest: Manifest, views: tuple[View, ...]) -> View:
    definition = manifest.definitions[name]
    for view in views:
        if (view.name, view.definition) == (name, definition):
            return view
    raise BatchError(
        f"Version {manifest.version} holds definition {definition} of {name}, which this program does not have.",
        "Register it in CANDIDATES of slackwater/views/registry.py, or name its module in SLACKWATER_VIEWS.",
    )


def _finish(
    con: duckdb.DuckDBPyConnection, store: VersionStore, side: str, view: View, manifest: Manifest, interval: Interval
) -> None:
    names = [file.file.checked(store.data.fetch) for file in manifest.parts_of(view.name, interval.text)]
    con.register("nothing", view.state_schema.empty_table())
    source = files_sql(names) if names else "nothing"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {side} AS {finished_sql(view, source, interval)}")


def _compare(
    con: duckdb.DuckDBPyConnection, of_a: View, of_b: View, numbers: tuple[int, int], interval: Interval, examples: int
) -> Diff:
    ((both, only_a, only_b),) = con.execute(counts_sql(of_a, "a", "b")).fetchall()
    common = tuple(name for name in of_a.answers if name in of_b.answers)
    differ, fields, first = 0, list[FieldDiff](), list[Mapping[str, Any]]()
    if common:
        con.execute(f"CREATE OR REPLACE TEMP TABLE changed AS {changed_sql(of_a, common, 'a', 'b')}")
        for name in common:
            ((rows, largest, ratio),) = con.execute(field_sql(of_a, name, "changed")).fetchall()
            if rows:
                fields.append(FieldDiff(name, rows, _shown(of_a, largest), _shown(of_a, ratio)))
        ((differ,),) = con.execute(count_sql("changed")).fetchall()
        first = [_row(of_a, common, row) for row in con.execute(rows_sql(of_a, "changed", examples)).fetchall()]
    alone = {}
    for number, one, other in ((numbers[0], "a", "b"), (numbers[1], "b", "a")):
        places = con.execute(alone_sql(of_a, one, other, examples)).fetchall()
        alone[number] = tuple(dict(zip([*of_a.key, "start"], place, strict=True)) for place in places)
    return Diff(
        view=of_a.name,
        interval=interval.text,
        definitions=(of_a.definition, of_b.definition),
        both=both,
        only_a=only_a,
        only_b=only_b,
        differ=differ,
        fields_a=tuple(name for name in of_a.answers if name not in of_b.answers),
        fields_b=tuple(name for name in of_b.answers if name not in of_a.answers),
        fields=tuple(fields),
        first=tuple(first),
        alone=alone,
    )


def _shown(view: View, row: list[str] | None) -> Mapping[str, Any] | None:
    """Null where no difference can be measured: too large, or from 0 for a ratio."""
    return None if row is None else dict(zip([*view.key, "start", "a", "b"], row, strict=True))


def _row(view: View, fields: tuple[str, ...], row: tuple[Any, ...]) -> Mapping[str, Any]:
    width = len(view.key) + 1
    sides = zip(fields, row[width::2], row[width + 1 :: 2], strict=True)
    changed = {name: {"a": one, "b": other} for name, one, other in sides if one != other}
    return {**dict(zip([*view.key, "start"], row, strict=False)), **changed}
