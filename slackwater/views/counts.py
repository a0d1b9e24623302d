"""How many events and how many ids each entity of a stream has, in SQL over the archive's files and their id files."""

from slackwater.streams.stream import Stream


def events_sql(stream: Stream, relation: str) -> str:
    """Per entity the number of events of a table of events."""
    return f"SELECT {_entity(stream)}, count(*)::BIGINT AS events FROM {relation} GROUP BY {_entity(stream)}"


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
