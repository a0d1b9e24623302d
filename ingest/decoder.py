"""Decodes the lines of a source; and makes the ids of venues that give none, which only imported history may come from.

    content, second                   ->  id
    buy 2 at 100.5, 10:00:03          ->  9f2c..-1723161243-0
    buy 2 at 100.5, 10:00:03          ->  9f2c..-1723161243-1     the same once more within the second
    buy 2 at 100.5, 10:00:04          ->  9f2c..-1723161244-0

Such an id is the same whenever the same seconds are read again, in whatever unit. A source has to be in order of time
there, second by second. Beside live data nothing would tell a trade that is new from one that comes again, so the log's
writer takes no event of such a venue.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingest.chunk import Chunk
from slackwater.log.dead_letter import NO_IDS, OUT_OF_ORDER
from slackwater.streams.compact import plain
from slackwater.streams.content import contents_of
from slackwater.streams.decode import decode_lines
from slackwater.streams.entities import Entity, by_entity
from slackwater.streams.order import sequences
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import Stream
from slackwater.streams.texts import array_of

SECOND_US = 1_000_000


class Decoder:
    """Of one source, in its order. `names`: whether events of venues without ids get theirs, or are refused."""

    def __init__(self, stream: Stream, names: bool = False) -> None:
        self.stream = stream
        self._names = names
        self._second: dict[Entity, int] = {}
        self._seen: dict[Entity, Counter[int]] = {}

    def decode_chunk(self, chunk: Chunk, latest_us: Any) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
        """The same for a chunk: what is certain of it is taken as it is, as a compact table if that is all."""
        if chunk.certain is None:
            return self.decode(chunk.lines, latest_us)
        events, numbers = chunk.certain
        venues = events.column(self.stream.entity[0]).unique().to_pylist() if self.stream.unnamed else ()
        if not self.stream.unnamed.isdisjoint(venues):
            return self.decode(chunk.lines, latest_us)
        early = events.column(self.stream.time).to_numpy() <= latest_us[numbers]
        if not early.all():
            events, numbers = events.filter(pa.array(early)), numbers[early]
        if len(numbers) == len(chunk.lines):
            return events, numbers, {}
        rest = np.setdiff1d(np.arange(len(chunk.lines)), numbers, assume_unique=True)
        slow, accepted, bad = self.decode(chunk.lines_of(rest), latest_us[rest])
        bad = {int(rest[i]): error for i, error in bad.items()}
        if not len(accepted):
            return events, numbers, bad
        places = np.concatenate([numbers, rest[accepted]])
        order = np.argsort(places, kind="stable")
        together = pa.concat_tables([plain(self.stream, events), slow]).take(pa.array(order))
        return together.combine_chunks(), places[order], bad

    def decode(self, lines: Sequence[bytes], latest_us: Any) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
        """See `slackwater.streams.decode.decode_lines`."""
        events, accepted, bad = decode_lines(self.stream, lines, latest_us)
        if not self._may_be_unnamed(events, [lines[i] for i in bad]):
            return events, accepted, bad
        events, accepted, bad = decode_lines(self.stream, [self._with_id(line) for line in lines], latest_us)
        made: dict[int, str] = {}
        refused: dict[int, RefusedError] = {}
        for entity, rows in by_entity(self.stream, events):
            if entity[0] not in self.stream.unnamed:
                continue
            if self._names:
                self._name(entity, events, rows, made, refused)
            else:
                hint = f"{entity[0]} gives no ids: only `slackwater archive import` takes its events"
                refused |= dict.fromkeys(rows.tolist(), RefusedError(NO_IDS, hint))
        bad |= {int(accepted[row]): error for row, error in refused.items()}
        stays = np.ones(len(accepted), bool)
        stays[list(refused)] = False
        return self._named(events, made).filter(pa.array(stays)), accepted[stays], bad

    def _may_be_unnamed(self, events: pa.Table, refused: Sequence[bytes]) -> bool:
        """Whether a line may be of a venue without ids: an event is, or one that was refused, as it has none, holds the
        name of one or something escaped.
        """
        unnamed = self.stream.unnamed
        if not unnamed:
            return False
        if not unnamed.isdisjoint(events.column(self.stream.entity[0]).unique().to_pylist()):
            return True
        data = b"\n".join(refused)
        return b"\\" in data or any(venue.encode() in data for venue in unnamed)

    def _with_id(self, line: bytes) -> bytes:
        """A line of such a venue with an id for the decoder to take."""
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            return line
        stream = self.stream
        if type(found) is not dict or stream.identity in found or found.get(stream.entity[0]) not in stream.unnamed:
            return line
        return line.rstrip()[:-1] + f',"{stream.identity}":"0"}}'.encode()

    def _name(
        self, entity: Entity, events: pa.Table, rows: Any, made: dict[int, str], refused: dict[int, RefusedError]
    ) -> None:
        mine = events.take(pa.array(rows))
        digests = contents_of(self.stream, mine)["digest"].tolist()
        seconds = (mine.column(self.stream.time).to_numpy() // SECOND_US).tolist()
        for row, digest, second in zip(rows.tolist(), digests, seconds, strict=True):
            newest = self._second.get(entity, -1)
            if second < newest:
                fact = f"{self.stream.time} is in second {second}, and second {newest} came before it"
                refused[row] = RefusedError(OUT_OF_ORDER, f"{fact}: put the file in order of time")
                continue
            if second > newest:
                self._second[entity], self._seen[entity] = second, Counter()
            made[row] = f"{digest:016x}-{second}-{self._seen[entity][digest]}"
            self._seen[entity][digest] += 1

    def _named(self, events: pa.Table, made: dict[int, str]) -> pa.Table:
        if not made:
            return events
        stream = self.stream
        ids = events.column(stream.identity).to_pylist()
        for row, text in made.items():
            ids[row] = text
        identities = pa.array(ids, pa.string())
        venues, times = array_of(events.column(stream.entity[0])), events.column(stream.time).to_numpy()
        order = events.column(stream.order).to_numpy().copy()
        by_time = [row for row in made if stream.venue(venues[row].as_py()).sequence == "time"]
        order[by_time] = sequences(stream, venues, identities, times)[0][by_time]
        changed = {stream.identity: identities, stream.order: pa.array(order)}
        columns = [changed.get(name, events.column(name)) for name in events.schema.names]
        return pa.Table.from_arrays(columns, schema=events.schema)
