"""The SQL that says what two tables of finished answers differ in, made from two definitions of one view.

Answers are compared as they print, exactly. How far two of them lie apart is measured in DECIMAL(38,16); where that
does not hold it, the row still counts as different.
"""

from slackwater.views.interval import Interval
from slackwater.views.sql import finish_sql, merge_sql, place_sql
from slackwater.views.view import View

_NUMBER = "DECIMAL(38,16)"


def finished_sql(view: View, states: str, interval: Interval) -> str:
    """One SELECT of the answers of a relation of states, a row a bar, in whatever shards they lie."""
    return finish_sql(view, f"({merge_sql(view, states, interval)})")


def counts_sql(view: View, a: str, b: str) -> str:
    """One SELECT of one row: the rows of both, of `a` alone, of `b` alone."""
    place = place_sql(view)
    both = f"SELECT count(*)::BIGINT FROM {a} SEMI JOIN {b} USING ({place})"
    only_a = f"SELECT count(*)::BIGINT FROM {a} ANTI JOIN {b} USING ({place})"
    only_b = f"SELECT count(*)::BIGINT FROM {b} ANTI JOIN {a} USING ({place})"
    return f"SELECT ({both}), ({only_a}), ({only_b})"


def alone_sql(view: View, a: str, b: str, limit: int) -> str:
    """One SELECT of the first places that only `a` has."""
    place = place_sql(view)
    return f"SELECT {place} FROM {a} ANTI JOIN {b} USING ({place}) ORDER BY {place} LIMIT {int(limit)}"


def changed_sql(view: View, fields: tuple[str, ...], a: str, b: str) -> str:
    """One SELECT of the places where a field differs, with both sides of each: `a_<field>`, `b_<field>`."""
    place = place_sql(view)
    sides = ", ".join(f"{a}.{name} AS a_{name}, {b}.{name} AS b_{name}" for name in fields)
    differ = " OR ".join(f"{a}.{name} IS DISTINCT FROM {b}.{name}" for name in fields)
    return f"SELECT {place}, {sides} FROM {a} JOIN {b} USING ({place}) WHERE {differ}"


def field_sql(view: View, field: str, changed: str) -> str:
    """One SELECT of one row: the rows where a field differs, and (place, a, b) of the largest difference.

    First by the difference itself, then by its ratio to `a`, in whole billionths and of both rounded to 8 digits.
    """
    row = f"[{', '.join(f'{name}::VARCHAR' for name in [*view.key, 'start', f'a_{field}', f'b_{field}'])}]"
    a, b = (f"TRY_CAST({side}_{field} AS {_NUMBER})" for side in ("a", "b"))
    size = f"abs(TRY({b} - {a}))"
    ratio = f"{_units(size)} * 1000000000 // nullif({_units(f'abs({a})')}, 0)"
    return (
        f"SELECT count(*)::BIGINT, arg_max({row}, {size}), arg_max({row}, {ratio}) "
        f"FROM (SELECT * FROM {changed} WHERE a_{field} IS DISTINCT FROM b_{field})"
    )


def rows_sql(view: View, changed: str, limit: int) -> str:
    """One SELECT of the first places that differ, with both sides."""
    return f"SELECT * FROM {changed} ORDER BY {place_sql(view)} LIMIT {int(limit)}"


def _units(number: str) -> str:
    return f"(TRY_CAST({number} AS DECIMAL(29,8)) * 100000000::DECIMAL(9,0))::HUGEINT"
