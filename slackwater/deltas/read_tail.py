"""Reads the tail above a cut, as states: the cells that join there, and the log where no cells are.

log       C ------------------------> now
served    C [cell)[cell)[cell) upto              so far it is answered, and no further
another   C [cell)[cell) . . . upto              the rest of it is read from the log
"""

from collections.abc import Mapping, Sequence

from slackwater.deltas.chains import chains_since
from slackwater.deltas.tail import Cut, Tail
from slackwater.log.errors import LogError, TopicRecreatedError
from slackwater.log.events import decode
from slackwater.log.log import Log, read_range
from slackwater.log.names import TopicNames
from slackwater.views.definitions import streams_of
from slackwater.views.rows import Row
from slackwater.views.session import Summariser
from slackwater.views.view import View


class TailReader:
    """See `slackwater.deltas.tail.ReadTail`."""

    def __init__(self, log: Log, names: TopicNames) -> None:
        self._log = log
        self._names = names

    def __call__(self, cut: Cut, served: Sequence[View], others: Sequence[View]) -> Tail:
        """The states of all views from `cut` to where the furthest chain of `served` ends now.

        Where the log cannot be read, or is another one, there are none, and it says why.
        """
        views = tuple(dict.fromkeys([*served, *others]))
        try:
            return self._read(cut, served, views) if views else Tail(cut.at, {})
        except LogError as error:
            return Tail(cut.at, {}, str(error))

    def _read(self, cut: Cut, served: Sequence[View], views: tuple[View, ...]) -> Tail:
        (stream,) = streams_of(views)
        topic = self._names.topic(stream)
        topic_id = self._log.topic_id(topic)
        if cut.topic_id != topic_id:
            raise TopicRecreatedError(topic, cut.topic_id or "none", topic_id)
        at = {**{p: bounds.start for p, bounds in self._log.bounds(topic).items()}, **cut.at}
        chains = chains_since(self._log, self._names.deltas(stream), views, topic_id, cut, at)
        upto = dict(at)
        for (view, p), chain in chains.items():
            if view in served:
                upto[p] = max(upto[p], chain.end(at[p]))
        rows: dict[View, list[Row]] = {view: [] for view in views}
        short: dict[tuple[View, int], int] = {}
        for (view, p), chain in chains.items():
            end = at[p]
            for cell in chain.walk(at[p]):
                if cell.upto <= upto[p]:
                    rows[view] += cell.rows
                    end = cell.upto
            if end < upto[p]:
                short[view, p] = end
        self._fill(topic, rows, short, upto)
        return Tail(upto, rows)

    def _fill(
        self,
        topic: str,
        rows: Mapping[View, list[Row]],
        short: Mapping[tuple[View, int], int],
        upto: Mapping[int, int],
    ) -> None:
        """Add what the log holds from the last cells of `short`, (view, partition) -> their end, to `upto`."""
        low = {p: min(end for (_, of), end in short.items() if of == p) for _, p in short}
        if not low:
            return
        summariser = Summariser(tuple(rows))
        try:
            for found in read_range(self._log, topic, low, {p: upto[p] for p in low}):
                for (view, p), end in short.items():
                    if p == found.partition:
                        records = [record for record in found.records if record.offset >= end]
                        events = decode(view.stream, records).table.select(view.stream.schema.names)
                        rows[view] += summariser.rows(view, events)
        finally:
            summariser.close()
