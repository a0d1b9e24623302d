"""All streams of one view: in each update one read point, the bars that changed, and the clients that get them.

    update    take the read point -> which rows changed since the last -> their bars, made once -> channels -> clients

An update is synchronous, so whatever a client is given next is of one read point. What has to be read from files first
is read by a task between two updates, and the next update goes on with it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from serving.query.bases import Bases
from serving.query.basis import Basis
from serving.query.read import BatchRows
from serving.store.request import Entity, Keys
from serving.stream.channel import Channel, ChannelRequest, Event
from serving.stream.client import Client, heartbeat_event, version_event
from serving.stream.query import StreamQuery
from serving.stream.read_point import (
    NOWHERE,
    Place,
    Recent,
    changed_rows,
    follows,
    newest_before,
    rows_after,
    same_chains,
    starts_of,
    token_of,
)
from serving.stream.series import Series
from serving.watch.live import UNREAD
from slackwater.http.problems import ProblemError
from slackwater.views.interval import Interval
from slackwater.views.rows import Row
from slackwater.views.view import View

LOADS = 2
"""Series that are read at once: as many as the pool has threads, so that requests still find their place there."""

RETRY_S = 0.5
GIVE_UP = 20
"""Failed reads of a series after which its clients are ended, with the reason."""


class ViewStream:
    """The streams of the view of one name: its series, the channels made of them, and the clients of each channel.

    Belongs to the event loop.
    """

    def __init__(self, name: str, bases: Bases, rows: BatchRows, wake: Callable[[], None]) -> None:
        self._name = name
        self._bases = bases
        self._rows = rows
        self._wake = wake
        self._read_point: Basis | None = None
        self._token = NOWHERE
        self._recent = Recent()
        self._made: dict[object, bytes] = {}  # what a client in some state is given at this read point
        self._made_of: Basis | None = None
        self._clients: dict[Client, tuple[Channel, ...]] = {}
        self._channels: dict[ChannelRequest, Channel] = {}
        self._clients_of: dict[Channel, dict[Client, None]] = {}
        self._channels_of: dict[Series, dict[Channel, None]] = {}
        self._series: dict[Entity, dict[tuple[Keys, Interval], Series]] = {}
        self._unsettled: dict[Series, None] = {}
        self._loading: dict[Series, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(LOADS)

    @property
    def idle(self) -> bool:
        """Whether nothing is read or given now."""
        return not (self._unsettled or self._loading or any(client.busy for client in self._clients))

    def add(self, client: Client, query: StreamQuery) -> None:
        """A new client. It is given something after the next update."""
        channels = tuple(
            self._channel(ChannelRequest(query.keys, interval, query.times == "iso", query.ids == "text"))
            for interval in query.interval
        )
        for channel in channels:
            self._clients_of[channel][client] = None
            for series in channel.series:
                series.widen(query.limit)
                self._unsettled[series] = None
        self._clients[client] = channels
        self._wake()

    def remove(self, client: Client) -> None:
        """Forget a client, and the channels and series that nobody else has."""
        for channel in self._clients.pop(client):
            del self._clients_of[channel][client]
            if self._clients_of[channel]:
                continue
            del self._clients_of[channel], self._channels[channel.request]
            for series in channel.series:
                del self._channels_of[series][channel]
                if not self._channels_of[series]:
                    self._forget(series)
        if not self._clients:
            self._read_point = self._made_of = None
            self._made.clear()
            self._recent.clear()
            self._gate = asyncio.Semaphore(LOADS)  # the next client may come in another event loop

    def fail(self, problem: ProblemError) -> None:
        """End every client."""
        for client in self._clients:
            client.end(problem)

    def update(self) -> Iterable[Client]:
        """Go on to the read point that is now; the clients for which there is something."""
        if not self._clients:
            return ()
        try:
            read_point = self._bases.read_point(self._name)
        except ProblemError as problem:
            self.fail(problem)
            return ()
        if read_point is None:  # the feed or the watch of versions wakes us when there is one
            return ()
        old, self._read_point, self._token = self._read_point, read_point, token_of(read_point)
        if old is not None and old.view.key != read_point.view.key:
            self.fail(ProblemError(503, "other-definition", "The view has other key columns now.", retry_after_s=1))
            return ()
        if old is not None:
            self._advance(old, read_point)
        self._recent.add(read_point)
        return self._publish(read_point)

    def take(self, client: Client) -> bytes:
        """The next bytes for a client; empty if there are none now."""
        read_point, channels = self._read_point, self._clients[client]
        if client.closed:
            return b""
        if self._made_of is not read_point:
            self._made.clear()
            self._made_of = read_point
        changes = [channel.changes for channel in channels]
        state = channels, tuple(client.given), tuple(changes), client.state
        made = self._made.get(state) if client.after is None else None
        if made is not None and read_point is not None:
            client.given = changes
            client.took(read_point, self._token)
            return made
        if read_point is None or not _settled(channels, read_point):
            return self._heartbeat(client)
        if client.after is not None:
            place, client.after = client.after, None
            missed = self._missed(channels, place, read_point)
            if missed is None and not _settled(channels, read_point):
                client.after = place  # something is read first
                self._wake()
                return b""
            if missed is not None:
                client.given = changes
                client.heartbeat_due = True
                return self._events(client, self._recent.of(place), missed, read_point)
        given = [(channel, at) for channel, at in zip(channels, client.given, strict=True) if at != channel.changes]
        events = [channel.event(at, client.limit, read_point) for channel, at in given]
        client.given = changes
        found = self._events(client, client.read_point, events, read_point)
        if events:
            self._made[state] = found
        return found

    def _events(self, client: Client, known: Basis | None, events: list[Event], read_point: Basis) -> bytes:
        """Events, after one of a new version where the client knows another; where there are none, the heartbeat."""
        if known is not None and known.snapshot.version != read_point.snapshot.version:
            events = [version_event(self._bases.narrowed(read_point, client.entities).meta()), *events]
        if events:
            return client.events(events, read_point, self._token)
        return self._heartbeat(client, read_point)

    def _heartbeat(self, client: Client, read_point: Basis | None = None) -> bytes:
        """That nothing changed up to `read_point`; without it, that what changed is not there yet."""
        if not client.heartbeat_due:
            return b""
        client.heartbeat_due = False
        known = read_point or client.read_point or self._read_point
        if known is None:
            snapshot = self._bases.served
            if snapshot is None:
                return b""
            lag = self._bases.lag(self._name, snapshot.of(snapshot.views[self._name]).cut)
            meta = {"applied": {}, "version": snapshot.version, "complete": False, "reason": UNREAD}
            return client.event(*heartbeat_event(meta, lag))
        basis = self._bases.narrowed(known, client.entities)
        event = heartbeat_event(basis.meta(), self._bases.lag(self._name, basis.applied))
        return client.event(*event) if read_point is None else client.events([event], read_point, self._token)

    def _channel(self, request: ChannelRequest) -> Channel:
        known = self._channels.get(request)
        if known is None:
            series = tuple(self._one_series(keys, request.interval) for keys in request.keys.each())
            known = self._channels[request] = Channel(request, series, self._bases)
            self._clients_of[known] = {}
            for one in series:
                self._channels_of[one][known] = None
        return known

    def _one_series(self, keys: Keys, interval: Interval) -> Series:
        of = self._series.setdefault(keys.entities[0], {})
        if (keys, interval) not in of:
            series = of[keys, interval] = Series(keys, interval)
            self._channels_of[series] = {}
        return of[keys, interval]

    def _forget(self, series: Series) -> None:
        of = self._series[series.entity]
        del self._channels_of[series], of[series.keys, series.interval]
        if not of:
            del self._series[series.entity]
        self._unsettled.pop(series, None)
        loading = self._loading.pop(series, None)
        if loading is not None:
            loading.cancel()

    def _advance(self, old: Basis, new: Basis) -> None:
        """Say to the series what changed between two read points."""
        if same_chains(new, old):
            for p, ends in new.ends.items():
                for series, starts in self._series_of(new.view, changed_rows(old.ends[p], ends)):
                    series.mark(starts)
                    self._unsettled[series] = None
            return
        continued = follows(new, old)
        if not continued:
            self._recent.clear()
        for series in self._channels_of:
            series.rebase(old, continued)
            self._unsettled[series] = None
        if continued:  # else everything is given anew
            for p, ends in new.ends.items():
                for series, starts in self._series_of(new.view, rows_after(ends, old.applied.get(p, 0))):
                    series.suspect(starts)

    def _series_of(self, view: View, rows: Iterable[Row]) -> Iterator[tuple[Series, set[int]]]:
        for entity, starts in starts_of(view, rows).items():
            for series in self._series.get(entity, {}).values():
                yield series, starts

    def _publish(self, read_point: Basis) -> Iterable[Client]:
        """Have every series whose changes are known put them; the clients of channels that are settled by it."""
        found: dict[Channel, None] = {}
        for series in list(self._unsettled):
            if not series.ready(read_point):
                if series not in self._loading:
                    self._loading[series] = asyncio.create_task(self._read(series, read_point))
                continue
            changed = series.take(read_point)
            for channel in self._channels_of[series]:
                if series.replaced:
                    channel.replace()
                elif changed:
                    channel.put(changed)
                found[channel] = None
            series.replaced = False
            if series.settled(read_point):
                del self._unsettled[series]
            else:
                self._wake()
        settled = [channel for channel in found if channel.settled(read_point)]
        return dict.fromkeys(client for channel in settled for client in self._clients_of[channel])

    async def _read(self, series: Series, read_point: Basis) -> None:
        try:
            async with self._gate:
                await series.load(read_point, self._rows)
            series.failures = 0
        except ProblemError as problem:
            series.failures += 1
            if series.failures >= GIVE_UP:
                for client in [client for channel in self._channels_of[series] for client in self._clients_of[channel]]:
                    client.end(problem)
            await asyncio.sleep(RETRY_S)
        self._loading.pop(series, None)
        self._wake()

    def _missed(self, channels: Iterable[Channel], place: Place, read_point: Basis) -> list[Event] | None:
        """The events of what changed since a place; None if that is not known, or something has to be read first."""
        rows = self._recent.rows_since(place, read_point)
        if rows is None:
            return None
        first = self._recent.of(place)
        touched = starts_of(read_point.view, rows)
        events = []
        for channel in channels:
            bars = []
            for series in channel.series:
                if series.entity not in touched:
                    continue
                newest = newest_before(first, series.entity, place.applied)
                changed = series.changes(read_point, touched[series.entity], newest)
                if changed is None:
                    if not series.settled(read_point):
                        self._unsettled[series] = None
                    return None
                bars += changed
            if bars:
                events.append((read_point.view.name.encode(), channel.data(bars, read_point)))
        return events


def _settled(channels: Iterable[Channel], read_point: Basis) -> bool:
    return all(channel.settled(read_point) for channel in channels)
