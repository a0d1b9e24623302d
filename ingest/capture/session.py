"""One connection to a venue, from its first byte to its end.

A connection that is dead without a word is noticed by the socket's own pings. Not here: when the next one begins
(`keeper`), what a venue that is silent is asked (`mender`).
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from ingest.capture.intake import Intake
from ingest.capture.state import VenueState
from ingest.capture.timing import Timing
from ingest.chunk import Fault
from ingest.feeds.feed import MAX_FRAME, Denied, FrameError, Reply, Said, Subscribed, Trade, Turned
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")

Record = Callable[[int, bytes], None]
"""Takes a frame and its time of receipt, nanoseconds since 1970."""


class Session:
    """Of some symbols of a venue. `name` stands in dead letters; `taken` is set once the venue serves it."""

    def __init__(
        self,
        state: VenueState,
        url: str,
        symbols: Sequence[str],
        intake: Intake,
        timing: Timing,
        clock: Clock,
        record: Record,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.state = state
        self.taken = asyncio.Event()
        state.connections += 1
        self._number = state.connections
        self.name = f"connection {self._number}"
        self._symbols = symbols
        self._asked = state.feed.subscribe(symbols)
        self._url = url + self._asked.path
        self._replayed: set[str] = set()
        self._intake = intake
        self._timing = timing
        self._clock = clock
        self._record = record
        self._tls = tls
        self._why = ""
        self._socket: ClientConnection | None = None

    async def run(self) -> str:
        """Run it to its end: why it ended, in a few words."""
        try:
            return await self._run()
        finally:
            if self.taken.is_set():
                self.state.end(self._symbols)

    async def _run(self) -> str:
        t, feed = self._timing, self.state.feed
        try:
            opened = connect(
                self._url,
                open_timeout=t.open_s,
                ping_interval=t.ping_s,
                ping_timeout=t.pong_s,
                close_timeout=t.pong_s,
                max_size=MAX_FRAME,
                user_agent_header="slackwater",
                ssl=(self._tls or True) if self._url.startswith("wss:") else None,
            )
            async with opened as socket:
                self._socket = socket
                for message in self._asked.messages:
                    await socket.send(message)
                pinging = asyncio.create_task(self._ping(socket)) if feed.ping else None
                try:
                    await self._listen(socket)
                finally:
                    if pinging is not None:
                        pinging.cancel()
            return self._why or "closed"
        except ConnectionClosed as error:
            return self._why or f"closed: {error}"
        except TimeoutError:
            return f"no connection within {t.open_s:g} s"
        except (InvalidHandshake, InvalidURI, OSError, ssl.SSLError) as error:
            return f"no connection: {error}"

    async def end(self, why: str) -> None:
        """Close it, for this reason."""
        self._why = why
        if self._socket is not None:
            await self._socket.close()

    async def _listen(self, socket: ClientConnection) -> None:
        number, until_s = 0, self._clock.elapsed_s() + self._timing.subscribe_s
        while not self._why:
            if self.taken.is_set():
                frame = await socket.recv(decode=False)
            else:
                left_s = until_s - self._clock.elapsed_s()
                try:
                    # Not wait_for: before Python 3.12 that loses a cancellation which comes together with a frame.
                    async with asyncio.timeout(max(left_s, 0)):
                        frame = await socket.recv(decode=False)
                except TimeoutError:
                    self._why = f"no subscription within {self._timing.subscribe_s:g} s"
                    return
            number += 1
            await self._take(frame, number)

    async def _take(self, frame: bytes, number: int) -> None:
        state, now_ns = self.state, time.time_ns()
        state.frames += 1
        self._record(now_ns, frame)
        position = f"{self.name}, frame {number}"
        try:
            said = state.feed.parse(frame)
        except FrameError as error:
            state.bad_frames += 1
            state.doubt(self._symbols, self._clock.elapsed_s())
            fault = Fault(error.reason, error.fact)
            await self._intake.put(state.feed.venue, position, frame, (), fault)
            return
        if not said:
            return
        for one in said:
            await self._heed(one)
        if state.feed.replays:
            self._note_replay([one for one in said if isinstance(one, Trade)])
        lines = state.take(said, self._clock.elapsed_s(), self._number)
        if lines:
            newest_us = max(one.time_us for one in said if isinstance(one, Trade))
            state.lag_s = max(0.0, now_ns / 1e9 - newest_us / 1e6)
            await self._intake.put(state.feed.venue, position, frame, lines)

    async def _heed(self, one: Said) -> None:
        """What is said about this connection."""
        state, venue = self.state, self.state.feed.venue
        if isinstance(one, Denied):
            # Some venues go on with the symbols that they know; where none does, nothing is taken.
            if not self.taken.is_set():
                state.turn("denied", one.text[:200])
            logger.error("%s refuses: %s", venue, one.text[:500])
        elif isinstance(one, Turned):
            self._why = "the venue asks for a new connection"
        elif isinstance(one, Reply) and self._socket is not None:
            await self._socket.send(one.text)
        elif isinstance(one, Subscribed | Trade) and not self.taken.is_set():
            self.taken.set()
            state.begin(self._symbols, self._number)
            state.turn("live")
        if isinstance(one, Subscribed) and one.only is not None:
            for symbol in sorted({*self._symbols} - {*one.only}):
                logger.error("%s does not serve %s: it took the subscription without it.", venue, symbol)

    def _note_replay(self, trades: Sequence[Trade]) -> None:
        """The first frame of a symbol shows its newest trades."""
        for symbol in {trade.symbol for trade in trades} - self._replayed:
            self._replayed.add(symbol)
            self.state.replayed([trade for trade in trades if trade.symbol == symbol])

    async def _ping(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.state.feed.ping_s)
                await socket.send(self.state.feed.ping)
