"""The compact form of a table of events: texts are dictionaries, and the identity is an int64 where all of them are
canonical integers. What makes much of it at once gives it, and what writes files takes it."""

import pyarrow as pa

from slackwater.streams.columns import Choice, Text
from slackwater.streams.stream import APPENDED, Stream


def compact_schema(stream: Stream, numbered: bool = False) -> pa.Schema:
    """The Arrow schema of a compact table; `numbered`: its identities are integers."""
    fields = []
    for one in stream.schema:
        kind = one.type
        if one.name != APPENDED and isinstance(stream.column(one.name), Text | Choice):
            kind = pa.dictionary(pa.int32(), pa.string())
        fields.append(one.with_type(pa.int64() if numbered and one.name == stream.identity else kind))
    return pa.schema(fields)


def plain(stream: Stream, events: pa.Table) -> pa.Table:
    """A compact table in the stream's own schema."""
    return events.cast(stream.schema)
