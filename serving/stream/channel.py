"""A channel: some series of one interval as the bytes of events, made once for all clients that ask for the same.

    changed   12 [a]   13 [b, c]   14 [a]      the newest form of each bar, with the number of its last change
    a client that has 12 is given b, c and the new a; one that has 13 the new a alone

So a slow client is given each bar once, in its newest form, and memory does not grow with it. A client that is further
behind than what is retained is given a snapshot.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from serving.query.answer import Form, bar_encoder
from serving.query.bases import Bases
from serving.query.basis import Basis
from serving.query.read import place_of
from serving.store.request import Keys
from serving.stream.series import Changed, Series, revision_of
from slackwater.views.interval import Interval
from slackwater.views.view import View

MAX_BARS = 4096
"""Changed bars that are retained for clients that are behind."""

Event = tuple[bytes, bytes]
"""An event's name and its data."""


class ChannelRequest(NamedTuple):
    """What a channel gives."""

    keys: Keys
    interval: Interval
    iso: bool
    text_ids: bool


class Channel:
    """See the module. Belongs to the event loop. `changes` is the number of the last change."""

    def __init__(self, request: ChannelRequest, series: tuple[Series, ...], bases: Bases) -> None:
        self.request = request
        self.series = series
        self.changes = 0
        self._bases = bases
        self._first = 0
        self._changed: OrderedDict[tuple[tuple[str | int, ...], int], tuple[int, Changed]] = OrderedDict()
        self._made: dict[object, Event] = {}
        self._made_of: Basis | None = None

    def settled(self, read_point: Basis) -> bool:
        """Whether every change up to `read_point` was put."""
        return all(series.settled(read_point) for series in self.series)

    def put(self, changed: Iterable[Changed]) -> None:
        """Bars that changed together."""
        self.changes += 1
        for bar in changed:
            place = bar.row.key, bar.row.start
            self._changed[place] = self.changes, bar
            self._changed.move_to_end(place)
        while len(self._changed) > MAX_BARS:
            _, (number, _) = self._changed.popitem(last=False)
            self._first = number

    def replace(self) -> None:
        """Anything may be different: every client needs a snapshot."""
        self.changes += 1
        self._changed.clear()
        self._first = self.changes

    def event(self, given: int, limit: int, read_point: Basis) -> Event:
        """The next event of a client that has all up to the change `given`: what changed since, or a snapshot."""
        if self._made_of is not read_point:
            self._made.clear()
            self._made_of = read_point
        place = given if given >= self._first else ("snapshot", limit)
        made = self._made.get(place)
        if made is None:
            if given >= self._first:
                made = read_point.view.name.encode(), self.data(self._since(given), read_point)
            else:
                bars = [bar for series in self.series for bar in series.latest(read_point, limit)]
                made = b"snapshot", self.data(bars, read_point)
            self._made[place] = made
        return made

    def data(self, bars: list[Changed], read_point: Basis) -> bytes:
        """The data of an event with these bars."""
        bars.sort(key=lambda bar: place_of(bar.row))
        request, view = self.request, read_point.view
        items = b",".join(_encoded(view, request, bar) for bar in bars)
        meta = orjson.dumps(self._bases.narrowed(read_point, request.keys.entities).meta())
        name = view.name.encode()
        return b'{"interval":"%b","%b":[%b],"meta":%b}' % (request.interval.text.encode(), name, items, meta)

    def _since(self, given: int) -> list[Changed]:
        found = []
        for number, bar in reversed(self._changed.values()):
            if number <= given:
                break
            found.append(bar)
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
