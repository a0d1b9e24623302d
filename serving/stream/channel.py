"""A channel: some series of one interval as the bytes of events, made once for all clients that ask for the same.

    changed   12 [a]   13 [b, c]   14 [a]         the newest bytes of each bar, with the turn in which it changed
    a client that has 12 is given b, c and the new a; one that has 13 the new a alone

So a client that is slow is given each bar once, in its newest form, and what is kept does not grow with it. A client
that has less than what is kept is given a snapshot.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import orjson

from serving.query.answer import Form, bar_encoder
from serving.query.read import place_of
from serving.store.batch import Keys
from serving.store.directory import Entity
from serving.store.hot import HotStore
from serving.stream.read_point import ReadPoint
from serving.stream.series import Changed, Series, revision_of
from slackwater.views.interval import Interval
from slackwater.views.view import View

if TYPE_CHECKING:
    from serving.stream.client import Client

MAX_BARS = 4096
"""Changed bars that are kept for clients that are behind."""


class ChannelRequest(NamedTuple):
    """What a channel is of."""

    keys: Keys
    interval: Interval
    iso: bool
    text_ids: bool


class Channel:
    """See the module. Belongs to the event loop."""

    def __init__(self, request: ChannelRequest, series: tuple[Series, ...], hot: HotStore) -> None:
        self.request = request
        self.series = series
        self.clients: dict[Client, None] = {}
        self.turn = 0
        self._hot = hot
        self._first_turn = 0
        self._changed: OrderedDict[tuple[tuple[str | int, ...], int], tuple[int, Changed]] = OrderedDict()
        self._made: dict[object, bytes] = {}
        self._made_at: ReadPoint | None = None

    def settled(self, read_point: ReadPoint) -> bool:
        """Whether every change up to `read_point` was put."""
        return all(series.settled(read_point) for series in self.series)

    def put(self, changed: Iterable[Changed]) -> None:
        """Bars that changed in this turn."""
        self.turn += 1
        self._made.clear()
        for each in changed:
            place = each.row.key, each.row.start
            self._changed[place] = self.turn, each
            self._changed.move_to_end(place)
        while len(self._changed) > MAX_BARS:
            _, (turn, _) = self._changed.popitem(last=False)
            self._first_turn = turn

    def replace(self) -> None:
        """Anything may be different: every client needs a snapshot."""
        self.turn += 1
        self._made.clear()
        self._changed.clear()
        self._first_turn = self.turn

    def has(self, turn: int) -> bool:
        """Whether a client that has everything up to `turn` can be told what changed since."""
        return turn >= self._first_turn

    def since(self, turn: int, read_point: ReadPoint) -> bytes:
        """The data of an event with the bars that changed behind `turn`; it `has` them."""
        made = self._cache(read_point)
        if turn not in made:
            found = []
            for behind, each in reversed(self._changed.values()):
                if behind <= turn:
                    break
                found.append(each)
            made[turn] = self.data(found, read_point)
        return made[turn]

    def snapshot(self, limit: int, read_point: ReadPoint) -> bytes:
        """The data of an event with the newest bars of each series."""
        made, place = self._cache(read_point), ("snapshot", limit)
        if place not in made:
            made[place] = self.data([each for of in self.series for each in of.latest(read_point, limit)], read_point)
        return made[place]

    def data(self, bars: list[Changed], read_point: ReadPoint) -> bytes:
        """The data of an event with these bars."""
        bars.sort(key=lambda each: place_of(each.row))
        request, view = self.request, read_point.view
        items = b",".join(_encoded(view, request, each) for each in bars)
        meta = orjson.dumps(read_point.meta(self.partitions(read_point)))
        name = view.name.encode()
        return b'{"interval":"%b","%b":[%b],"meta":%b}' % (request.interval.text.encode(), name, items, meta)

    def partitions(self, read_point: ReadPoint) -> set[int]:
        """The partitions that hold the instruments."""
        return partitions_of(read_point, self._hot, (series.entity for series in self.series))

    def _cache(self, read_point: ReadPoint) -> dict[object, bytes]:
        if self._made_at is not read_point:
            self._made.clear()
            self._made_at = read_point
        return self._made


def partitions_of(read_point: ReadPoint, hot: HotStore, instruments: Iterable[Entity]) -> set[int]:
    """The partitions that hold some instruments."""
    found: set[int] = set()
    for instrument in instruments:
        found |= {known.partition for known in read_point.snapshot.places(read_point.view, instrument)}
        found |= hot.partitions_of(read_point.view, instrument)
    return found


def _encoded(view: View, request: ChannelRequest, changed: Changed) -> bytes:
    at = revision_of(view)
    assert at is not None  # noqa: S101 - only views that count are streamed
    row, closed, correction = changed
    events = row.state[at]
    assert isinstance(events, int)  # noqa: S101 - a count
    return b'%b,"closed":%b,"revision":%d%b}' % (
        bar_encoder(view, Form(True, request.iso, text_ids=request.text_ids))([row])[0],
        b"true" if closed else b"false",
        2 * events + closed,
        b',"correction":true' if correction else b"",
    )
