"""The SQL that finds closed bars whose answers changed, made from a view: late events, and what they changed.

An interval's bar [start, end) is closed at the first offset where an event of its instrument has time >= end + 2 s. A
record is applied whole, so an event is late if an event of an offset *before* its own closed its bar.

    newest    (venue, symbol, first, time): the times of the first and of the newest event of an instrument so far
    places    (_level, venue, symbol, partition, start, first_offset, events): bars that late events changed, the first
              one's offset, and how many they are

Bars of several intervals are handled by one statement: `_level` is the place of a row's interval in a list of them, and
one more column of the view's key. To plan a statement for each costs more than to read the bars.

Every relation here is a table or a sub-query in parentheses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from slackwater.streams.stream import Stream
from slackwater.views.compare import states_sql
from slackwater.views.interval import CLOSED_AFTER_US, Interval
from slackwater.views.sql import end_sql, finish_sql, floor_sql, instrument_sql, literal_sql, summarise_sql
from slackwater.views.view import View

LEVEL = "_level"
"""The column with the place of a row's interval; no view has one of this name."""

_SIDE = "_side"

PLACE_COLUMNS = (
    f'{LEVEL} BIGINT, venue VARCHAR, symbol VARCHAR, "partition" INTEGER, start BIGINT, '
    "first_offset BIGINT, events BIGINT"
)

RESTATED_COLUMNS = (
    "view VARCHAR, venue VARCHAR, symbol VARCHAR, key VARCHAR[], start BIGINT, interval VARCHAR, interval_us BIGINT, "
    "cause VARCHAR, place STRUCT(p INTEGER, o BIGINT), trades BIGINT, before VARCHAR, after VARCHAR"
)

NO_PLACES = (
    f"(SELECT NULL::BIGINT AS {LEVEL}, NULL::VARCHAR AS venue, NULL::VARCHAR AS symbol, NULL::VARCHAR[] AS key, "
    "NULL::BIGINT AS start, NULL::STRUCT(p INTEGER, o BIGINT) AS place, NULL::BIGINT AS trades WHERE false)"
)
"""What `added_sql` gives where no trades changed anything."""


def newest_sql(known: Iterable[str]) -> str:
    """One SELECT of `newest`, a row an instrument, from relations of instruments with their first and last start."""
    rows = " UNION ALL ".join(f"SELECT venue, symbol, first_start, last_start FROM {each}" for each in known)
    times = "min(first_start) AS first, max(last_start) AS time"
    return f"SELECT venue, symbol, {times} FROM ({rows}) GROUP BY venue, symbol"


def leveled(view: View) -> View:
    """The view of states with a level."""
    return view.apart(LEVEL)


def at_level_sql(relation: str, level: int) -> str:
    """One SELECT of the rows of a level."""
    return f"SELECT * FROM {relation} WHERE {LEVEL} = {level}"


def with_level_sql(relation: str, level: int) -> str:
    """One SELECT of rows, all of which are of one level."""
    return f"SELECT *, {level}::BIGINT AS {LEVEL} FROM {relation}"


def late_places_sql(late: str, intervals: Sequence[Interval]) -> str:
    """One SELECT of the places of these intervals that `late` changed."""
    return " UNION ALL ".join(
        f"SELECT {level}::BIGINT AS {LEVEL}, venue, symbol, partition, {floor_sql('time', interval)} AS start, "
        f'min("offset") AS first_offset, count(*)::BIGINT AS events '
        f"FROM {late} WHERE {_closed('time', interval, 'closer')} GROUP BY ALL"
        for level, interval in enumerate(intervals)
    )


def first_places_sql(places: str) -> str:
    """One SELECT: places of several slices as one row each."""
    return (
        f"SELECT {LEVEL}, venue, symbol, partition, start, min(first_offset) AS first_offset, "
        f"sum(events)::BIGINT AS events FROM {places} GROUP BY ALL"
    )


def starts_sql(places: str) -> str:
    """One SELECT of the levels and starts of places, each once and in order."""
    return f"SELECT DISTINCT {LEVEL}, start FROM {places} ORDER BY ALL"


def by_start_sql(places: str) -> str:
    """One SELECT of the starts of places in order, and the number of events of each."""
    return f"SELECT start, sum(events)::BIGINT AS events FROM {places} GROUP BY start ORDER BY start"


def places_within_sql(places: str, low: int | None, high: int | None) -> str:
    """One SELECT of the places with low <= start < high; None: no bound."""
    bounds = [f"start >= {int(low)}"] if low is not None else []
    bounds += [f"start < {int(high)}"] if high is not None else []
    return f"SELECT * FROM {places} WHERE {' AND '.join(bounds) or 'true'}"


def imported_places_sql(stream: Stream, events: str, newest: str, intervals: Sequence[Interval]) -> str:
    """One SELECT of the closed places that imported events lie in."""
    of_each = (_imported_places_sql(stream, events, newest, interval) for interval in intervals)
    return " UNION ALL ".join(with_level_sql(f"({places})", level) for level, places in enumerate(of_each))


def _imported_places_sql(stream: Stream, events: str, newest: str, interval: Interval) -> str:
    """Of one interval.

    Bars before the first one of an instrument were closed by nobody: there, history grows at its beginning.
    """
    time, start = f"e.{stream.time}", floor_sql(f"e.{stream.time}", interval)
    return (
        f"SELECT n.venue, n.symbol, NULL::INTEGER AS partition, {start} AS start, "
        f"NULL::BIGINT AS first_offset, count(*)::BIGINT AS events "
        f"FROM {events} e JOIN {newest} n ON {_same_instrument(stream, 'e', 'n')} "
        f"WHERE {_closed(time, interval, 'n.time')} AND {start} >= {floor_sql('n.first', interval)} GROUP BY ALL"
    )


def events_at_sql(stream: Stream, events: str, places: str, interval: Interval) -> str:
    """One SELECT of the log's events at some places; `added` is true from the first late one on."""
    bar = f"ON {_at_place(stream, interval)}"
    # An instrument that moved has events of one bar in two partitions, and is late in one of them.
    return (
        f'SELECT e.*, coalesce(e."offset" >= p.first_offset, false) AS added '
        f"FROM (SELECT e.* FROM {events} e SEMI JOIN {places} p {bar}) e "
        f"LEFT JOIN {places} p {bar} AND e.partition = p.partition"
    )


def imported_at_sql(stream: Stream, events: str, places: str, interval: Interval) -> str:
    """One SELECT of imported events at some places; all of them are added."""
    return f"SELECT e.*, true AS added FROM {events} e SEMI JOIN {places} p ON {_at_place(stream, interval)}"


def states_at_sql(view: View, states: str, places: str) -> str:
    """One SELECT of states at some places."""
    columns = ", ".join([*view.key, "start", *(column.name for column in view.columns)])
    at = f"{_same_instrument(view.stream, 's', 'p')} AND s.start = p.start"
    return f"SELECT {columns} FROM {states} s SEMI JOIN {places} p ON {at}"


def summed_sql(view: View, events: str, intervals: Sequence[Interval]) -> str:
    """One SELECT of the states of events with a level, at its interval; of those that the view publishes."""
    own = leveled(view)
    levels = ", ".join(str(level) for level, interval in enumerate(intervals) if interval in view.intervals)
    states = summarise_sql(own, f"(SELECT * FROM {events} WHERE {LEVEL} IN ({levels}))")
    start = _by_level_sql(intervals, lambda interval: floor_sql("start", interval))
    return states_sql(own, f"(SELECT * REPLACE ({start} AS start) FROM ({states}))")


def added_sql(view: View, events: str, intervals: Sequence[Interval]) -> str:
    """One SELECT: per bar, the position of the first event that was added, and how many were."""
    start = _by_level_sql(intervals, lambda interval: floor_sql(view.stream.time, interval))
    columns = [column for column in view.key_columns if column.name in view.rest]
    key = f"[{', '.join(f'({column.sql})::VARCHAR' for column in columns)}]::VARCHAR[]"
    return (
        f"SELECT {LEVEL}, {_instrument(view.stream)}, {key} AS key, {start} AS start, "
        f"min({{'p': partition, 'o': \"offset\"}}) AS place, count(*)::BIGINT AS trades "
        f"FROM {events} WHERE added GROUP BY ALL"
    )


def answers_sql(before: tuple[View, str], after: tuple[View, str]) -> str:
    """One SELECT of the finished answers of the states of both sides, a relation each with levels: (_level, venue,
    symbol, key, start, answer, _side), `answer` a JSON object. Sides of one view are finished by one expression: it is
    long, and planned each time.
    """
    each = [(view, f"SELECT *, {side} AS {_SIDE} FROM {states}") for side, (view, states) in enumerate((before, after))]
    if before[0] == after[0]:
        view = leveled(before[0]).apart(_SIDE)
        each = [(after[0], " UNION ALL ".join(states_sql(view, f"({states})") for _, states in each))]
    return " UNION ALL ".join(_answers_sql(view, f"({states})") for view, states in each)


def _answers_sql(view: View, states: str) -> str:
    fields = ", ".join(f"'{name}': {name}" for name in view.answers)
    answer = f"to_json({{{fields}}})::VARCHAR"
    key = f"[{', '.join(f'{name}::VARCHAR' for name in view.rest)}]::VARCHAR[]"
    finished = finish_sql(leveled(view).apart(_SIDE), states)
    columns = f"{LEVEL}, {_instrument(view.stream)}, {key} AS key, start, {answer} AS answer, {_SIDE}"
    return f"SELECT {columns} FROM ({finished})"


def restated_sql(view: View, intervals: Sequence[Interval], cause: str, answers: str, added: str) -> str:
    """One SELECT of the bars whose answers differ, with what `added` says of them. `answers` is of `answers_sql`."""
    bar = f"{LEVEL}, venue, symbol, key, start"
    before, after = (f"(SELECT {bar}, answer FROM answered WHERE {_SIDE} = {side})" for side in (0, 1))
    text = _by_level_sql(intervals, lambda interval: literal_sql(interval.text))
    us = _by_level_sql(intervals, lambda interval: f"{interval.us}::BIGINT")
    return (
        f"WITH answered AS ({answers}) "
        f"SELECT '{view.name}' AS view, venue, symbol, key, start, {text} AS interval, {us} AS interval_us, "
        f"'{cause}' AS cause, place, trades, b.answer AS before, a.answer AS after "
        f"FROM {before} b FULL JOIN {after} a USING ({bar}) LEFT JOIN {added} USING ({bar}) "
        f"WHERE b.answer IS DISTINCT FROM a.answer"
    )


def closed_sql(answers: str, newest: str, intervals: Sequence[Interval]) -> str:
    """One SELECT of the answers of bars that are closed."""
    closed = _by_level_sql(intervals, lambda interval: _closed("start", interval, "n.time"))
    return f"SELECT w.* FROM ({answers}) w JOIN {newest} n USING (venue, symbol) WHERE {closed}"


def from_offsets_sql(events: str, cut: Mapping[int, int]) -> str:
    """One SELECT of the log's events from a cut on; of a partition that it does not name, all."""
    known = " ".join(f"WHEN partition = {int(p)} THEN {int(at)}" for p, at in sorted(cut.items()))
    at = f"CASE {known} ELSE 0 END" if known else "0"
    return f'SELECT * FROM {events} WHERE "offset" >= {at}'


def ledger_sql(version: int, restated: str) -> str:
    """One SELECT of the rows of `slackwater.restatements.ledger.RESTATEMENT_SCHEMA`, in order."""
    order = "start, venue, symbol, interval_us, view, key, cause"
    late = "CASE WHEN cause = 'late_trade' THEN place"
    place = f'({late}.p END)::INTEGER AS partition, {late}.o END AS "offset"'
    # Numbered as they come: to number by an order and to sort by the numbers is to sort twice.
    return (
        f"SELECT {version}::BIGINT AS version, row_number() OVER () - 1 AS number, view, venue, symbol, key, interval, "
        f"start, cause, {place}, trades, before, after FROM (SELECT * FROM {restated} ORDER BY {order})"
    )


def causes_sql(restated: str) -> str:
    """One SELECT of each cause and its number of rows."""
    return f"SELECT cause, count(*)::BIGINT FROM {restated} GROUP BY cause"


def _by_level_sql(intervals: Sequence[Interval], of: Callable[[Interval], str]) -> str:
    """An expression that depends on a row's interval."""
    each = dict.fromkeys(map(of, intervals))
    if len(each) == 1:
        return next(iter(each))
    cases = " ".join(f"WHEN {level} THEN {of(interval)}" for level, interval in enumerate(intervals))
    return f"CASE {LEVEL} {cases} END"


def _closed(time: str, interval: Interval, newest: str) -> str:
    return f"{end_sql(f'({floor_sql(time, interval)})', interval)} + {CLOSED_AFTER_US} <= {newest}"


def _instrument(stream: Stream) -> str:
    first, rest = instrument_sql(stream)
    return f"{first} AS venue, {rest} AS symbol"


def _same_instrument(stream: Stream, events: str, other: str) -> str:
    first, rest = instrument_sql(stream, f"{events}.")
    return f"{first} = {other}.venue AND {rest} = {other}.symbol"


def _at_place(stream: Stream, interval: Interval) -> str:
    return f"{_same_instrument(stream, 'e', 'p')} AND {floor_sql(f'e.{stream.time}', interval)} = p.start"
