"""The hub: one update of all streams whenever the feed or the watch of versions has something new, and their ends.

    feed, watch (threads) -- wake --> the event loop: an update of each view -> its clients that get something
    once a second                     heartbeats, and clients that take nothing any more

Nothing polls. After an update the hub rests as long as the update and its clients took, so that streams get at most
half of the event loop, however many there are: they are given fewer, larger changes then.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextvars import Context

from serving.options import StreamOptions
from serving.query.bases import Bases
from serving.query.read import BatchRows
from serving.stream.client import Client, Push
from serving.stream.query import StreamQuery
from serving.stream.view import ViewStream
from slackwater.core.clock import Clock
from slackwater.http.problems import ProblemError

_LOG = logging.getLogger("slackwater.serving")

REASONS = ("gone", "slow-client", "shutting-down")
"""Why streams end most often; the others are problems that a request may be answered with too."""

AT_ONCE = 64
"""Clients that are woken before the event loop goes on with requests."""

REST_S = 0.001
"""The hub does not rest after an update that took less."""


class Hub:
    """See the module. `wake` may be called by any thread, all else belongs to the event loop.

    `streamed` is called when the clients of an update were given what is new.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        bases: Bases,
        rows: BatchRows,
        clock: Clock,
        options: StreamOptions | None = None,
        streamed: Callable[[], None] = lambda: None,
    ) -> None:
        self.options = options or StreamOptions()
        self.ended: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self._views = {name: ViewStream(name, bases, rows, self.wake) for name in names}
        self._clock = clock
        self._streamed = streamed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._called = self._updating = False
        self._clients: dict[Client, ViewStream] = {}
        self._closed: ProblemError | None = None

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    @property
    def stuck(self) -> int:
        """How many streams wait for their client to take something."""
        return sum(client.sending_s is not None for client in list(self._clients))

    @property
    def idle(self) -> bool:
        """Whether every stream was given everything."""
        busy = self._called or self._changed.is_set() or self._updating
        return not busy and all(view.idle for view in self._views.values())

    def wake(self) -> None:
        """Something may have changed."""
        loop = self._loop
        if loop is None or self._called:
            return
        self._called = True
        try:
            loop.call_soon_threadsafe(self._call)
        except RuntimeError:  # the loop has ended, and the streams with it
            self._called = False

    def admit(self) -> None:
        """Raises ProblemError, 503, if there is no room for another stream."""
        if self._closed is not None:
            raise self._closed
        if self.streams >= self.options.most:
            detail = f"There are {self.streams} streams already, which is the limit."
            raise ProblemError(503, "too-many-streams", detail, retry_after_s=5)

    def open(self, name: str, query: StreamQuery, abort: Callable[[], None], push: Push | None = None) -> Client:
        """A new client of the view `name`; `abort` ends its connection at once, whatever waits to be sent, and `push`
        writes to it without its task."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the first, or of another run of the application
            self._loop, self._changed = loop, asyncio.Event()
            self._updating = False
            self._tasks = [loop.create_task(run, context=Context()) for run in (self._update_again(), self._tick())]
        client = Client(query, abort, push)
        client.sent_s = self.now_s()
        self._clients[client] = self._views[name]
        self._clients[client].add(client, query)
        if self._closed is not None:
            client.end(self._closed)
        return client

    def leave(self, client: Client) -> None:
        """A client's stream has ended."""
        self.ended[client.ended.kind if client.ended else "gone"] += 1  # first: who counts the streams may ask why
        self._clients[client].remove(client)
        del self._clients[client]
        if not self._clients:
            self._loop = None
            self._updating = False
            self._changed.clear()
            for task in self._tasks:
                task.cancel()

    def take(self, client: Client) -> bytes:
        """The next bytes for a client; empty if there are none now."""
        return self._clients[client].take(client)

    def now_s(self) -> float:
        """The time that clients are held against."""
        return self._clock.elapsed_s()

    def close(self, problem: ProblemError | None = None) -> None:
        """End every stream, and let no other begin."""
        self._closed = problem or ProblemError(503, "shutting-down", "The service is shutting down.", retry_after_s=1)
        for client in self._clients:
            client.end(self._closed)

    def check(self) -> None:
        """Heartbeats that are due, and clients that are stuck."""
        now, options = self.now_s(), self.options
        for client in list(self._clients):
            if client.sending_s is not None:
                if now - client.sending_s >= options.stuck_s:
                    detail = f"The client took nothing for {options.stuck_s:g} s. Come again with the last id."
                    client.end(ProblemError(503, "slow-client", detail, retry_after_s=1))
                    client.abort()
            elif now - client.sent_s >= options.heartbeat_s - options.tick_s:
                client.heartbeat_due = True
                client.wake()

    def _call(self) -> None:
        self._called = False
        self._changed.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.options.tick_s)
            self.check()

    async def _update_again(self) -> None:
        """Update whenever something changed, and rest after it; what changes meanwhile is one more update."""
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._updating = True
            began_s = loop.time()
            clients = self._update()
            for at in range(0, len(clients), AT_ONCE):
                for client in clients[at : at + AT_ONCE]:
                    self._give(client)
                await asyncio.sleep(0)  # the clients that were woken, and what else there is to do
            if clients:
                self._streamed()
            took_s = loop.time() - began_s
            if took_s >= REST_S:
                await asyncio.sleep(took_s)
            self._updating = False

    def _give(self, client: Client) -> None:
        def take() -> bytes:
            data = self.take(client)
            if data:
                client.sent_s = self.now_s()
            return data

        if client not in self._clients:  # it left while others were given theirs
            return
        try:
            if not client.push(take):
                client.wake()
        except Exception:  # noqa: BLE001 - the others' streams go on
            _LOG.exception("A stream failed")
            client.end(_failed())

    def _update(self) -> list[Client]:
        clients: list[Client] = []
        for view in self._views.values():
            try:
                clients += view.update()
            except Exception:  # noqa: BLE001 - other views' streams go on, and these get the reason
                _LOG.exception("An update of the streams failed")
                view.fail(_failed())
        return clients


def _failed() -> ProblemError:
    return ProblemError(500, "internal", "The service failed on this stream; its log says why.")
