"""The SQL made from a view: summarise (events -> states), merge (states -> states), finish (states -> answers).

Aggregates are written in this room only, and a test holds that.
"""

from slackwater.views.interval import Interval, parse_interval
from slackwater.views.view import View

BASE = parse_interval("1s")


def summarise_sql(view: View, relation: str, apart: tuple[str, ...] = ()) -> str:
    """One SELECT from events to states at the base interval. `relation` is a table or a table function.

    Events that differ in the columns `apart` are kept apart; those columns come first.
    """
    keys = ", ".join([*apart, *view.key])
    measures = ", ".join(measure.summarise_sql(name) for name, measure in view.measures.items())
    return f"SELECT {keys}, {floor_sql('time', BASE)} AS start, {measures} FROM {relation} GROUP BY ALL"


def merge_sql(view: View, relation: str, interval: Interval = BASE) -> str:
    """One SELECT from states at any interval that divides `interval` to states at it, one row a bar."""
    keys = ", ".join(view.key)
    measures = ", ".join(measure.merge_sql(name) for name, measure in view.measures.items())
    # The group is named in full: `start` alone would mean the input's column.
    group = f"GROUP BY {keys}, {floor_sql('start', interval)}"
    return f"SELECT {keys}, {floor_sql('start', interval)} AS start, {measures} FROM {relation} {group}"


def gather_sql(view: View, relation: str) -> str:
    """One SELECT that merges the states of equal key and start, whatever their interval.

    It groups by columns as they stand, so that a condition on them reaches the files beneath.
    """
    keys = ", ".join([*view.key, "start"])
    measures = ", ".join(measure.merge_sql(name) for name, measure in view.measures.items())
    return f"SELECT {keys}, {measures} FROM {relation} GROUP BY {keys}"


def finish_sql(view: View, relation: str) -> str:
    """One SELECT from states to answer columns, decimals as text."""
    answers = ", ".join(f"{answer.finish_sql(view.columns)} AS {name}" for name, answer in view.answers.items())
    return f"SELECT {', '.join(view.key)}, start, {answers} FROM {relation}"


def values_sql(view: View, relation: str) -> str:
    """One SELECT from states to answer columns, decimals as DECIMAL."""
    answers = ", ".join(f"{answer.value_sql(view.columns)} AS {name}" for name, answer in view.answers.items())
    return f"SELECT {', '.join(view.key)}, start, {answers} FROM {relation}"


def bounds_sql(relation: str) -> str:
    """Per instrument the first and last start, and the number of rows, of a table of states."""
    return (
        f"SELECT venue, symbol, min(start)::BIGINT AS first_start, max(start)::BIGINT AS last_start, "
        f"count(*)::BIGINT AS rows FROM {relation} GROUP BY venue, symbol"
    )


def events_sql(relation: str) -> str:
    """Per instrument the number of events of a table of events."""
    return f"SELECT venue, symbol, count(*)::BIGINT AS events FROM {relation} GROUP BY venue, symbol"


def ids_in_runs_sql(relation: str) -> str:
    """Per instrument the number of ids in a table of runs [first, last], which may overlap: each id once.

    A run adds what reaches beyond all runs that start before it. HUGEINT, since an id goes up to 2^63-1.
    """
    before = (
        'max("last") OVER (PARTITION BY venue, symbol ORDER BY "first", "last" '
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    runs = f'SELECT venue, symbol, "first"::HUGEINT AS low, "last"::HUGEINT AS high, {before} AS before FROM {relation}'
    added = "greatest(0, high - greatest(low, coalesce(before, -1) + 1::HUGEINT) + 1)"
    return f"SELECT venue, symbol, sum({added})::HUGEINT AS ids FROM ({runs}) GROUP BY venue, symbol"


def floor_sql(time: str, interval: Interval) -> str:
    """The start of the bar that holds `time`; integer arithmetic on microseconds."""
    return f"{time} - ({time} - {interval.origin_us}) % {interval.us}"
