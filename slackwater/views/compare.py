"""The SQL that compares two tables of states, made from a view, and the differences as facts that a person can read.

A place is one row's (key, start). Comparing is exact: every state column of every place, in its own type.
"""

from collections.abc import Iterable
from typing import NamedTuple

from slackwater.views.kinds import Value
from slackwater.views.rows import Row
from slackwater.views.sql import merge_sql, place_sql
from slackwater.views.view import View


class Differing(NamedTuple):
    """One column of one place that differs; `field` is `row` where a side has no row there, or has it twice."""

    key: tuple[Value, ...]
    start: int
    field: str
    expected: str
    found: str


def states_sql(view: View, relation: str) -> str:
    """One SELECT of a relation's states, their columns in the view's order."""
    return f"SELECT {_columns(view)} FROM {relation}"


def grown_sql(view: View, before: str, more: str) -> str:
    """One SELECT: the states `before`, a row a place, merged with any states `more`.

    Rows of `before` that `more` does not touch are carried as they are: to merge a row with nothing costs ten times
    what it costs to carry it.
    """
    touched, carried = at_sql(view, before, more), not_at_sql(view, before, more)
    return f"{carried} UNION ALL {merge_sql(view, f'({touched} UNION ALL {states_sql(view, more)})')}"


def differing_sql(view: View, expected: str, found: str) -> str:
    """One SELECT of the places where two relations differ, or where one of them has no row."""
    names = [*view.key, "start"]
    same = " AND ".join(f"e.{name} = f.{name}" for name in names)
    places = ", ".join(f"coalesce(e.{name}, f.{name}) AS {name}" for name in names)
    differ = " OR ".join(f"e.{column.name} IS DISTINCT FROM f.{column.name}" for column in view.columns)
    return f"SELECT {places} FROM {expected} e FULL JOIN {found} f ON {same} WHERE {differ}"


def repeated_sql(view: View, relation: str) -> str:
    """One SELECT of the places that a relation holds more than once."""
    return f"SELECT {place_sql(view)} FROM {relation} GROUP BY {place_sql(view)} HAVING count(*) > 1"


def first_sql(view: View, places: str, limit: int) -> str:
    """One SELECT of the first places, in the order of key and start."""
    return f"SELECT {place_sql(view)} FROM {places} ORDER BY {place_sql(view)} LIMIT {limit}"


def at_sql(view: View, relation: str, places: str) -> str:
    """One SELECT of a relation's states at some places."""
    return f"{states_sql(view, relation)} SEMI JOIN {places} USING ({place_sql(view)})"


def not_at_sql(view: View, relation: str, places: str) -> str:
    """The same of all others."""
    return f"{states_sql(view, relation)} ANTI JOIN {places} USING ({place_sql(view)})"


def explain(view: View, expected: Iterable[Row], found: Iterable[Row]) -> list[Differing]:
    """What differs between the rows of two sides, in the order of key, start and column."""
    sides: dict[tuple[tuple[Value, ...], int], tuple[list[Row], list[Row]]] = {}
    for number, rows in enumerate((expected, found)):
        for row in rows:
            sides.setdefault((row.key, row.start), ([], []))[number].append(row)
    differing: list[Differing] = []
    for (key, start), (ours, theirs) in sorted(sides.items()):
        if len(ours) != 1 or len(theirs) != 1:
            differing.append(Differing(key, start, "row", _times(len(ours)), _times(len(theirs))))
            continue
        for column, a, b in zip(view.columns, ours[0].state, theirs[0].state, strict=True):
            if a != b:
                texts = (str(column.kind.answer(value)) for value in (a, b))
                differing.append(Differing(key, start, column.name, *texts))
    return differing


def _times(count: int) -> str:
    return {0: "no row", 1: "one row"}.get(count, f"{count} rows")


def _columns(view: View) -> str:
    return ", ".join([place_sql(view), *(column.name for column in view.columns)])
