"""All streams of one view: in each turn one moment, the bars that changed, and the clients that are told.

    turn    take the moment -> which rows changed since the last -> their bars, made once -> channels -> clients awake

A turn is synchronous, so whatever a client is given next is of one moment. What has to be read from files first is
read by a task between two turns, and the next turn goes on with it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from serving.http.problems import ProblemError
from serving.query.read import BatchRows
from serving.store.batch import Keys
from serving.store.directory import Entity
from serving.store.hot import MAX_SNAPSHOTS, HotStore
from serving.store.snapshot import Snapshot
from serving.stream.channel import Channel, ChannelRequest
from serving.stream.client import Client
from serving.stream.place import Place, decode_place
from serving.stream.query import StreamQuery
from serving.stream.read_point import (
    ReadPoint,
    by_entity,
    changed_rows,
    newest_before,
    rows_since,
    take_read_point,
)
from serving.stream.series import Series
from serving.watch.completeness import Completeness
from serving.watch.versions_watch import VersionsWatch
from slackwater.views.interval import Interval
from slackwater.views.rows import Row
from slackwater.views.view import View

LOADS = 2
"""Series that are read at once: as many as the pool has threads, so that requests still find their place there."""

RETRY_S = 0.5
GIVE_UP = 20
"""Tries to read a series before its clients are told why they get nothing."""


class ViewStream:
    """The streams of the view of one name. Belongs to the event loop."""

    def __init__(
        self,
        name: str,
        hot: HotStore,
        watch: VersionsWatch,
        completeness: Completeness,
        rows: BatchRows,
        wake: Callable[[], None],
    ) -> None:
        self.read_point: ReadPoint | None = None
        self.clients: dict[Client, None] = {}
        self._name = name
        self._hot = hot
        self._watch = watch
        self._completeness = completeness
        self._rows = rows
        self._wake = wake
        self._series: dict[tuple[Keys, Interval], Series] = {}
        self._of: dict[Entity, list[Series]] = {}
        self._channels: dict[ChannelRequest, Channel] = {}
        self._listeners: dict[Series, dict[Channel, None]] = {}
        self._unsettled: dict[Series, None] = {}
        self._loading: dict[Series, asyncio.Task[None]] = {}
        self._tries: dict[Series, int] = {}
        self._gate = asyncio.Semaphore(LOADS)
        self._read_points: OrderedDict[str, ReadPoint] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Whether nothing is read or given now."""
        return not (self._unsettled or self._loading or any(client.awake for client in self.clients))

    def open(self, query: StreamQuery) -> Client:
        """A new client. It is given something by the next turn."""
        channels = tuple(self._channel(request) for request in _requests(query))
        after = decode_place(query.after, query.fingerprint) if query.after else None
        client = Client(channels, query.limit, query.fingerprint, after)
        for channel in channels:
            channel.clients[client] = None
            for series in channel.series:
                series.widen(query.limit)
                self._unsettled[series] = None
        self.clients[client] = None
        self._wake()
        return client

    def leave(self, client: Client) -> None:
        """Forget a client, and the channels and series that nobody else has."""
        del self.clients[client]
        for channel in client.channels:
            del channel.clients[client]
            if channel.clients:
                continue
            del self._channels[channel.request]
            for series in channel.series:
                del self._listeners[series][channel]
                if not self._listeners[series]:
                    self._forget(series)
        if not self.clients:
            self.read_point = None
            self._read_points.clear()
            self._gate = asyncio.Semaphore(LOADS)  # the next client may come in another event loop

    def fail(self, problem: ProblemError) -> None:
        """End every client."""
        for client in self.clients:
            client.end(problem)

    def turn(self) -> list[Client]:
        """Go on to the moment that is now; the clients for whom there is something."""
        snapshot = self._watch.snapshot  # once: whether it is read is asked of the one that the moment is taken of
        if not self.clients or self._is_starting(snapshot):
            return []
        try:
            read_point = take_read_point(self._hot, snapshot, self._name, self._completeness)
        except ProblemError as problem:
            self.fail(problem)
            return []
        if read_point is None:  # it is being swapped, and the watch wakes us after it
            return []
        old, self.read_point = self.read_point, read_point
        if old is not None and old.view.key != read_point.view.key:  # places of key columns that were asked for
            self.fail(ProblemError(503, "other-definition", "The view has other key columns now.", retry_after_s=1))
            return []
        if old is not None:
            self._advance(old, read_point)
        self._read_points[read_point.standing.key] = read_point
        while len(self._read_points) > MAX_SNAPSHOTS:
            self._read_points.popitem(last=False)
        return self._publish(read_point)

    def take(self, client: Client) -> bytes:
        """The next bytes for a client; empty if there are none now."""
        read_point = self.read_point
        if client.over:
            return b""
        if read_point is None:
            return self._starting(client)
        if not client.settled(read_point):
            return self._heartbeat(client, read_point, current=False)
        if client.after is not None:
            place, client.after = client.after, None
            parts = self._missed(client, place, read_point)
            if parts is None and not client.settled(read_point):
                client.after = place  # something is read first
                self._wake()
                return b""
            if parts is not None:
                version = self._read_points[place.key].snapshot.version
                return client.resume(version, parts, read_point) or self._heartbeat(client, read_point, True, due=True)
        return client.next(read_point) or self._heartbeat(client, read_point, current=True)

    def _is_starting(self, snapshot: Snapshot | None) -> bool:
        """Whether the chain is used, but not read yet: what it would give now is older than what clients had."""
        if snapshot is None or self._name not in snapshot.views:
            return False
        view = snapshot.views[self._name]
        return snapshot.of(view).chain and not self._completeness.caught_up(view.stream.name)

    def _starting(self, client: Client) -> bytes:
        snapshot = self._watch.snapshot
        if not client.beat or snapshot is None:
            return b""
        client.beat = False
        view = snapshot.views[self._name]
        return client.waiting(snapshot.version, self._watch.lag(view.stream.name, snapshot.of(view).cut))

    def _heartbeat(self, client: Client, read_point: ReadPoint, current: bool, due: bool = False) -> bytes:
        if not client.beat and not due:
            return b""
        client.beat = False
        stands = read_point if current else client.read_point or read_point
        applied = stands.basis(client.partitions(stands)).applied
        return client.heartbeat(stands, self._watch.lag(stands.view.stream.name, applied), current)

    def _channel(self, request: ChannelRequest) -> Channel:
        known = self._channels.get(request)
        if known is None:
            series = tuple(self._one(keys, request) for keys in request.keys.each())
            known = self._channels[request] = Channel(request, series, self._hot)
            for each in series:
                self._listeners[each][known] = None
        return known

    def _one(self, keys: Keys, request: ChannelRequest) -> Series:
        place = keys, request.interval
        known = self._series.get(place)
        if known is None:
            known = self._series[place] = Series(keys, request.interval)
            self._of.setdefault(known.entity, []).append(known)
            self._listeners[known] = {}
        return known

    def _forget(self, series: Series) -> None:
        del self._listeners[series], self._series[series.keys, series.interval]
        self._of[series.entity].remove(series)
        if not self._of[series.entity]:
            del self._of[series.entity]
        self._unsettled.pop(series, None)
        self._tries.pop(series, None)
        loading = self._loading.pop(series, None)
        if loading is not None:
            loading.cancel()

    def _advance(self, old: ReadPoint, read_point: ReadPoint) -> None:
        """Tell the series what changed between two moments."""
        if read_point.stands_on(old):
            for p, ends in read_point.ends.items():
                for series, starts in self._concerned(read_point.view, changed_rows(old.ends[p], ends)):
                    series.touch(starts)
                    self._unsettled[series] = None
            return
        follows = read_point.follows(old)
        if not follows:
            self._read_points.clear()
        for series in self._listeners:
            series.move(old, follows)
            self._unsettled[series] = None
        if follows:  # else everything is given anew
            for p, ends in read_point.ends.items():
                for series, starts in self._concerned(read_point.view, rows_since(ends, old.applied.get(p, 0))):
                    series.doubt(starts)

    def _concerned(self, view: View, rows: Iterable[Row]) -> Iterator[tuple[Series, set[int]]]:
        for entity, starts in by_entity(view, rows).items():
            for series in self._of.get(entity, ()):
                yield series, starts

    def _publish(self, read_point: ReadPoint) -> list[Client]:
        """Have every series whose changes are known put them; the clients of channels that are settled by it."""
        awake: dict[Channel, None] = {}
        for series in list(self._unsettled):
            if not series.ready(read_point):
                self._load(series, read_point)
                continue
            changed = series.take(read_point)
            for channel in self._listeners[series]:
                if series.replaced:
                    channel.replace()
                elif changed:
                    channel.put(changed)
                awake[channel] = None
            series.replaced = False
            if series.settled(read_point):
                del self._unsettled[series]
            else:
                self._wake()
        return list({client: None for channel in awake if channel.settled(read_point) for client in channel.clients})

    def _load(self, series: Series, read_point: ReadPoint) -> None:
        if series not in self._loading:
            self._loading[series] = asyncio.create_task(self._read(series, read_point))

    async def _read(self, series: Series, read_point: ReadPoint) -> None:
        try:
            async with self._gate:
                await series.load(read_point, self._rows)
            self._tries.pop(series, None)
        except ProblemError as problem:
            tries = self._tries[series] = self._tries.get(series, 0) + 1
            if tries >= GIVE_UP:
                for client in [client for channel in self._listeners[series] for client in channel.clients]:
                    client.end(problem)
            await asyncio.sleep(RETRY_S)
        self._loading.pop(series, None)
        self._wake()

    def _missed(self, client: Client, place: Place, read_point: ReadPoint) -> list[tuple[bytes, bytes]] | None:
        """The events of what changed since a place; None if that cannot be told, or something has to be read first."""
        since = list(self._since(place, read_point))
        if not since:
            return None
        first = self._read_points[place.key]
        touched = by_entity(read_point.view, (row for rows in since for row in rows))
        parts = []
        for channel in client.channels:
            found = []
            for series in channel.series:
                if series.entity not in touched:
                    continue
                newest = newest_before(first, series.entity, place.applied)
                changed = series.changes(read_point, touched[series.entity], newest)
                if changed is None:
                    if not series.settled(read_point):
                        self._unsettled[series] = None
                    return None
                found += changed
            if found:
                parts.append((read_point.view.name.encode(), channel.data(found, read_point)))
        return parts

    def _since(self, place: Place, read_point: ReadPoint) -> Iterator[Iterable[Row]]:
        """The rows of cells beyond a place, through all snapshots since; nothing if it cannot be told."""
        if place.key not in self._read_points or place.applied.keys() != read_point.applied.keys():
            return
        known_points = list(self._read_points.values())
        passed = known_points[list(self._read_points).index(place.key) :]
        at = dict(place.applied)
        if any(not passed[0].standing.cut[p] <= at[p] <= read_point.applied[p] for p in at):
            return
        yield ()
        for each in passed:
            for p, ends in each.ends.items():
                yield rows_since(ends, at[p])
                at[p] = max(at[p], ends.upto)


def _requests(query: StreamQuery) -> Iterator[ChannelRequest]:
    for interval in query.intervals:
        yield ChannelRequest(query.keys, interval, query.iso, query.text_ids)
