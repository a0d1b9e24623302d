"""The SQL made from a view: summarise (events -> states), merge (states -> states), finish (states -> answers).

Aggregates are written in this room only, and a test holds that.
"""

from slackwater.streams.stream import Stream
from slackwater.views.interval import DAY_US, Interval
from slackwater.views.view import View


def summarise_sql(view: View, relation: str, apart: tuple[str, ...] = ()) -> str:
    """One SELECT from events to states at the base interval. `relation` is a table or a table function.

    Events that differ in the columns `apart` are kept apart; those columns come first.
    """
    keys = ", ".join([*apart, *(c.sql if c.sql == c.name else f"{c.sql} AS {c.name}" for c in view.key_columns)])
    states = (f"{sql} AS {c.name}" for part in view.parts for c, sql in zip(part.columns, part.summarise, strict=True))
    start = floor_sql(view.stream.time, view.intervals[0])
    return f"SELECT {keys}, {start} AS start, {', '.join(states)} FROM {relation} GROUP BY ALL"


def rows_sql(view: View, relation: str, apart: tuple[str, ...] = ()) -> str:
    """The same for Python, which reads the states by `Kind.reader`."""
    columns = [*apart, *view.key, "start", *(column.kind.python_sql(column.name) for column in view.columns)]
    return f"SELECT {', '.join(columns)} FROM ({summarise_sql(view, relation, apart)})"


def merge_sql(view: View, relation: str, interval: Interval | None = None) -> str:
    """One SELECT from states at any interval that tiles `interval` to states at it, one row a bar; None: the base."""
    interval = interval or view.intervals[0]
    keys = ", ".join(view.key)
    measures = _merged(view)
    # The group is named in full: `start` alone would mean the input's column.
    group = f"GROUP BY {keys}, {floor_sql('start', interval)}"
    return f"SELECT {keys}, {floor_sql('start', interval)} AS start, {measures} FROM {relation} {group}"


def gather_sql(view: View, relation: str) -> str:
    """One SELECT that merges the states of equal key and start, whatever their interval.

    It groups by columns as they stand, so that a condition on them reaches the files beneath.
    """
    return f"SELECT {place_sql(view)}, {_merged(view)} FROM {relation} GROUP BY {place_sql(view)}"


def finish_sql(view: View, relation: str) -> str:
    """One SELECT from states to answer columns, decimals as text."""
    answers = ", ".join(f"{answer.finish_sql(view.columns)} AS {name}" for name, answer in view.answers.items())
    return f"SELECT {place_sql(view)}, {answers} FROM {relation}"


def values_sql(view: View, relation: str) -> str:
    """One SELECT from states to answer columns, decimals as DECIMAL."""
    answers = ", ".join(f"{answer.value_sql(view.columns)} AS {name}" for name, answer in view.answers.items())
    return f"SELECT {place_sql(view)}, {answers} FROM {relation}"


def instrument_sql(stream: Stream, of: str = "") -> tuple[str, str]:
    """An entity as the two texts by which it is listed: its first column, and the others (none, one, or all in one).

    `of` stands before each column, such as `e.`.
    """
    first, *others = (f"{of}{name}" for name in stream.entity)
    if len(others) < 2:
        return first, others[0] if others else "''"
    return first, f"concat_ws(chr(31), {', '.join(others)})"


def bounds_sql(stream: Stream, relation: str) -> str:
    """Per instrument the first and last start, and the number of rows, of a table of states."""
    first, rest = instrument_sql(stream)
    return (
        f"SELECT {first} AS venue, {rest} AS symbol, min(start)::BIGINT AS first_start, "
        f"max(start)::BIGINT AS last_start, count(*)::BIGINT AS rows FROM {relation} GROUP BY ALL"
    )


def instruments_sql(stream: Stream, relation: str) -> str:
    """One SELECT of the instruments in a relation, each once."""
    first, rest = instrument_sql(stream)
    return f"SELECT DISTINCT {first} AS venue, {rest} AS symbol FROM {relation}"


def of_instruments_sql(stream: Stream, relation: str, instruments: str) -> str:
    """One SELECT of the rows of a relation that are of these instruments."""
    first, rest = instrument_sql(stream, "r.")
    return f"SELECT r.* FROM {relation} r SEMI JOIN {instruments} i ON {first} = i.venue AND {rest} = i.symbol"


def slices_sql(relation: str, slices: Interval | None) -> str:
    """Per slice of a table of states its start, the number of rows, and the first and last start; None: one of all."""
    start = "0::BIGINT" if slices is None else f"({floor_sql('start', slices)})::BIGINT"
    return (
        f"SELECT {start} AS slice, count(*)::BIGINT AS rows, min(start)::BIGINT AS low, max(start)::BIGINT AS high "
        f"FROM {relation} GROUP BY ALL"
    )


def events_of_sql(view: View) -> str:
    """How many events states are of: the sum of each count that a view has of them; the number of rows has none."""
    counts = [part.columns[0].name for part in view.parts if part.events]
    return ", ".join(f"sum({name})::HUGEINT" for name in counts) or "sum(0)"


def events_by_sql(view: View, relation: str, number: str) -> str:
    """The same for each value of a column, in its order."""
    return f"SELECT {number}, {events_of_sql(view)} FROM {relation} GROUP BY {number} ORDER BY {number}"


def touched_sql(view: View, states: str, interval: Interval) -> str:
    """One SELECT of the places at an interval that states of the base, or finer ones, are merged into."""
    keys = ", ".join(view.key)
    return f"SELECT DISTINCT {keys}, {floor_sql('start', interval)} AS start FROM {states}"


def events_within_sql(view: View, events: str, places: str) -> str:
    """One SELECT of the events whose base bars start where one of `places` does."""
    time, base = view.stream.time, view.intervals[0]
    bounds = f"(SELECT min(start) FROM {places}), (SELECT max(start) FROM {places})"
    low, high = bounds.split(", ")
    at = floor_sql(f"e.{time}", base)
    # The bounds pass row groups over by their statistics; the last bar is not longer than a year.
    within = f"e.{time} >= {low} AND e.{time} < {end_sql(high, base)}"
    return f"SELECT e.* FROM {events} e SEMI JOIN {places} p ON {at} = p.start WHERE {within}"


def within_sql(view: View, states: str, places: str, interval: Interval) -> str:
    """One SELECT of finer states that are merged into `places` of an interval."""
    same = " AND ".join(f"s.{name} = p.{name}" for name in view.key)
    return f"SELECT s.* FROM {states} s SEMI JOIN {places} p ON {same} AND {floor_sql('s.start', interval)} = p.start"


def literal_sql(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def count_sql(relation: str) -> str:
    """One SELECT of the number of rows."""
    return f"SELECT count(*)::BIGINT FROM {relation}"


def place_sql(view: View) -> str:
    """The columns that tell rows apart: key and start."""
    return ", ".join([*view.key, "start"])


def floor_sql(time: str, interval: Interval) -> str:
    """The start of the bar that holds `time`; integer arithmetic on microseconds."""
    if interval.calendar:
        day = f"({time}) // {DAY_US}"
        of = f"DATE '1970-01-01' + ({day})::INTEGER"
        place = f"dayofyear({of})" if interval.text == "1y" else f"day({of})"
        return f"({day} - {place} + 1) * {DAY_US}"
    return f"{time} - ({time} - {interval.origin_us}) % {interval.us}"


def end_sql(start: str, interval: Interval) -> str:
    """The end of the bar that starts at `start`."""
    end = f"({start} + {interval.us})"
    return f"({floor_sql(end, interval)})" if interval.calendar else end


def _merged(view: View) -> str:
    parts = (zip(part.columns, part.merge, strict=True) for part in view.parts)
    return ", ".join(f"{sql} AS {column.name}" for part in parts for column, sql in part)
