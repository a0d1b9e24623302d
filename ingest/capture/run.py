"""Capture as a whole: an event loop in a thread of its own, with a keeper and a mender for each venue.

with capturing(wanted, options) as capture:
    writer.ingest(capture.intake, stop=...)     in the caller's thread
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ingest.capture.bucket import Bucket
from ingest.capture.intake import Intake
from ingest.capture.keeper import Keeper
from ingest.capture.mender import Mender
from ingest.capture.options import Address, CaptureOptions, Known
from ingest.capture.recording import FLUSH_S, Recorder
from ingest.capture.rest import client_of
from ingest.capture.session import Session
from ingest.capture.state import VenueState
from ingest.feeds.feed import Feed
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")


class Capture:
    """Feeds that run. `states` are by venue; `intake` is what they say."""

    def __init__(
        self, wanted: Sequence[tuple[Feed, Sequence[str]]], options: CaptureOptions, clock: Clock, known: Known
    ) -> None:
        self.states = {feed.venue: VenueState(feed, symbols) for feed, symbols in wanted}
        self.error: BaseException | None = None
        self._options = options
        self._clock = clock
        self._known = known
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self.intake = Intake(self._loop)
        self._main: asyncio.Task[Any] | None = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begin in a thread."""
        for venue, state in self.states.items():
            if state.feed.dense_ids:
                now_s = self._clock.elapsed_s()
                for symbol, found in self._known(venue).items():
                    if symbol in state.trackers:
                        state.trackers[symbol].know(found.last, found.holes, now_s)
        self._thread.start()
        self._began.wait()

    def stop(self) -> None:
        """End the connections; what was said by then can still be read."""
        if self._thread.is_alive() and self._main is not None:
            self._loop.call_soon_threadsafe(self._main.cancel)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._runner.run(self._begin())
        except asyncio.CancelledError:
            logger.info("capture ends")
        except BaseException as error:  # noqa: BLE001 - it is raised where the source is read to its end
            self.error = error
        finally:
            self.intake.end()
            self._runner.close()

    async def _begin(self) -> None:
        self._main = asyncio.current_task()
        self._began.set()
        await self._all()

    async def _all(self) -> None:
        with ExitStack() as files:
            async with asyncio.TaskGroup() as group:
                for venue, state in self.states.items():
                    group.create_task(self._always(state, files), name=venue)

    async def _always(self, state: VenueState, files: ExitStack) -> None:
        """Run a venue; where something ends it that nobody expected, tell of it and begin again: the others go on."""
        while True:
            try:
                await self._venue(state, files)
            except Exception as error:
                state.turn("waiting", f"ended by {type(error).__name__}")
                logger.exception("%s ended, and begins again", state.feed.venue)
                await asyncio.sleep(self._options.timing.busy_s)

    async def _venue(self, state: VenueState, files: ExitStack) -> None:
        feed, options = state.feed, self._options
        address = options.addresses.get(feed.venue, Address())
        record: Callable[[int, bytes], None] = lambda at_ns, frame: None  # noqa: E731
        recorder = None
        if options.record is not None:
            recorder = Recorder(options.record, feed.venue, self._clock)
            files.callback(recorder.close)
            record = recorder.write
        tls = options.tls if (address.socket or feed.socket).startswith("wss:") else None
        client = client_of(feed, options)
        symbols = [*state.trackers]
        bucket = Bucket(feed.connects, self._clock, options.timing.pace)
        keepers: list[Keeper] = []
        runs: list[Callable[[], Coroutine[Any, Any, None]]] = []

        def deaf(why: str) -> None:
            for keeper in keepers:
                keeper.turn(why)

        history = "" if address.rest else feed.history
        mender = Mender(state, client, self.intake, options.timing, self._clock, deaf, history)
        for at in range(0, len(symbols), feed.most_symbols):
            some = symbols[at : at + feed.most_symbols]

            def opened(some: Sequence[str] = some) -> Session:
                url = address.socket or feed.socket
                return Session(state, url, some, self.intake, options.timing, self._clock, record, tls)

            catching = _CatchingUp(state, mender, some)
            runs.append(catching.run)
            keepers.append(Keeper(state, opened, bucket, options.timing, self._clock, catching.taken))
        async with client, asyncio.TaskGroup() as own:
            if recorder is not None:
                own.create_task(_flushed(recorder))
            for run in (*runs, *(keeper.run for keeper in keepers), mender.run):
                own.create_task(run())


class _CatchingUp:
    """Asks for what some symbols may have missed, each time when a connection is taken."""

    def __init__(self, state: VenueState, mender: Mender, symbols: Sequence[str]) -> None:
        self._state = state
        self._mender = mender
        self._symbols = symbols
        self._taken = asyncio.Event()
        self._wanted: set[str] = set()
        self._asking: set[str] = set()
        # What is known of sequences from before is nothing, so the newest are asked for once.
        self._once = state.feed.counted == "sequence"

    def taken(self) -> None:
        """A connection was."""
        self._taken.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._taken.wait()
                self._taken.clear()
                self._wanted |= {symbol for symbol in self._symbols if self._once or symbol in self._state.breaks}
                self._once = False
                for symbol in self._wanted - self._asking:
                    self._asking.add(symbol)
                    group.create_task(self._ask(symbol))

    async def _ask(self, symbol: str) -> None:
        """As often as it is wanted, one after the other."""
        while symbol in self._wanted:
            self._wanted.discard(symbol)
            await self._mender.catch_up(symbol)
        self._asking.discard(symbol)


async def _flushed(recorder: Recorder) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        recorder.flush()


@contextmanager
def capturing(
    wanted: Sequence[tuple[Feed, Sequence[str]]],
    options: CaptureOptions,
    clock: Clock,
    known: Known = lambda venue: {},
) -> Iterator[Capture]:
    """Feeds that run until the end of the block."""
    capture = Capture(wanted, options, clock, known)
    capture.start()
    try:
        yield capture
    finally:
        capture.stop()
