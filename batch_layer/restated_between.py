"""The restatements between two versions: closed bars that one answers otherwise than the other. For a switch of the
pointer that is no publication of new trades: a candidate of a new definition, or a way back.

    states of one side (+) the log's trades that only the other side archived        both stand at the same trades

What the log holds beyond a version's cut is answered by the speed layer, so only what is *not* told by the log differs:
definitions, imported history, and versions that are wrong.
"""

from collections.abc import Sequence
from typing import NamedTuple

import duckdb

from versions.manifest import Manifest
from versions.restatement import Cause
from versions.store import VersionStore
from views.compare import states_sql
from views.interval import PUBLISHED_INTERVALS, Interval
from views.restate import NEWEST_COLUMNS, NO_PLACES, answers_sql, closed_sql, newest_sql, restated_sql
from views.session import files_sql
from views.sql import merge_sql, summarise_sql
from views.view import View


class Side(NamedTuple):
    """A version with the definitions that it is answered by."""

    manifest: Manifest
    views: Sequence[View]


def restated_between(
    con: duckdb.DuckDBPyConnection, store: VersionStore, before: Side, after: Side, cause: Cause
) -> list[str]:
    """Leave the rows of each view and interval in a table of its own in the session; their names.

    Their columns are those that `views.restate.ledger_sql` reads.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE known ({NEWEST_COLUMNS})")
    instruments = [i for side in (before, after) for i in side.manifest.instruments]
    if instruments:
        rows = [[i.venue, i.symbol, i.first_start, i.last_start] for i in instruments]
        con.executemany("INSERT INTO known VALUES (?, ?, ?, ?)", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE newest AS {newest_sql('known')}")
    found = []
    for old in before.views:
        for new in (view for view in after.views if view.name == old.name):
            for interval in PUBLISHED_INTERVALS:
                name = f"restated_{old.name}_{interval.text}"
                was = _answers(con, store, old, interval, before.manifest, after.manifest)
                now = _answers(con, store, new, interval, after.manifest, before.manifest)
                select = restated_sql(new, interval, cause, was, now, NO_PLACES)
                con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")
                found.append(name)
    return found


def _answers(
    con: duckdb.DuckDBPyConnection, store: VersionStore, view: View, interval: Interval, own: Manifest, other: Manifest
) -> str:
    con.register(f"nothing_{view.definition}", view.state_schema.empty_table())
    parts = [states_sql(view, f"nothing_{view.definition}")]
    files = [str(store.home / file.file.path) for file in own.files_of(view.name, interval.text)]
    if files:
        parts.append(states_sql(view, files_sql(files)))
    known = {entry.file.path for entry in own.archive}
    beyond = [e.file.path for e in other.archive if e.start is not None and e.file.path not in known]
    if beyond:
        parts.append(summarise_sql(view, files_sql(str(store.home / path) for path in beyond)))
    states = merge_sql(view, f"({' UNION ALL '.join(parts)})", interval)
    answers = answers_sql(view, f"({states})")
    return f"({closed_sql(f'({answers})', 'newest', interval)})"
