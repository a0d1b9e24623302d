"""How many events and how many ids each entity of a stream has, in SQL over the archive's files and their id files."""

from slackwater.streams.stream import Stream


def events_sql(stream: Stream, relation: str) -> str:
    """Per entity the number of events of a table of events."""
    return f"SELECT {_entity(stream)}, count(*)::BIGINT AS events FROM {relation} GROUP BY {_entity(stream)}"


def span_sql(stream: Stream, relation: str) -> str:
    """The number of events of a table, and the times of the first and the last; nulls where there is none."""
    time = f'"{stream.time}"'
    return f"SELECT count(*)::BIGINT AS events, min({time})::BIGINT AS low, max({time})::BIGINT AS high FROM {relation}"


def ends_sql(relation: str) -> str:
    """Per partition the offset behind the last event of a table that the log held."""
    return (
        f'SELECT "partition", max("offset")::BIGINT + 1 AS upto FROM {relation} WHERE "offset" IS NOT NULL '
        'GROUP BY "partition"'
    )


def repeated_ids_sql(stream: Stream, relation: str) -> str:
    """The entity and identity of what stands more than once in a table of events."""
    place = f'{_entity(stream)}, "{stream.identity}"'
    return f"SELECT {place} FROM {relation} GROUP BY {place} HAVING count(*) > 1"


def later_events_sql(stream: Stream, relation: str, order: str) -> str:
    """The events of a table whose identity an event before them has, by some columns; `nth` is 2 of the second."""
    place = f'{_entity(stream)}, "{stream.identity}"'
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {place} ORDER BY {order}) AS nth FROM {relation}"
    return f"SELECT * FROM ({numbered}) WHERE nth > 1"


def ids_sql(stream: Stream, relation: str) -> str:
    """Per entity the number of ids in a table of `slackwater.store.id_runs`, whose runs may overlap: each id once.

    A run adds what reaches beyond all runs that start before it. HUGEINT, since an id goes up to 2^63-1.
    """
    entity = _entity(stream)
    before = (
        f'max("last") OVER (PARTITION BY {entity} ORDER BY "first", "last" '
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    runs = (
        f'SELECT {entity}, "first"::HUGEINT AS low, "last"::HUGEINT AS high, {before} AS before FROM {relation} '
        f'WHERE "first" IS NOT NULL'
    )
    added = "greatest(0, high - greatest(low, coalesce(before, -1) + 1::HUGEINT) + 1)"
    both = (
        f"SELECT {entity}, {added} AS ids FROM ({runs}) "
        f'UNION ALL SELECT {entity}, others::HUGEINT FROM {relation} WHERE "first" IS NULL'
    )
    return f"SELECT {entity}, sum(ids)::HUGEINT AS ids FROM ({both}) GROUP BY {entity}"


def _entity(stream: Stream) -> str:
    return ", ".join(f'"{name}"' for name in stream.entity)
