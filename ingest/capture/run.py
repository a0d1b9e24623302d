"""Capture as a whole: an event loop in a thread of its own, with a keeper and a mender for each venue.

with capturing(wanted, options) as capture:
    writer.ingest(capture.intake, stop=...)     in the caller's thread
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from ingest.capture.bucket import Bucket
from ingest.capture.intake import Intake
from ingest.capture.keeper import Keeper
from ingest.capture.mender import Mender
from ingest.capture.recording import FLUSH_S, Recorder
from ingest.capture.session import Session
from ingest.capture.state import VenueState
from ingest.capture.timing import TIMING, Timing
from ingest.feeds.feed import Feed
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")


class Address(NamedTuple):
    """Where a venue is found instead: the bases of its socket and REST interface; "" for its own."""

    socket: str = ""
    rest: str = ""


class KnownIds(NamedTuple):
    """What is known of a symbol from before: its newest id, and the holes below that, both ends in them."""

    last: int
    holes: Sequence[tuple[int, int]] = ()


Known = Callable[[str], Mapping[str, KnownIds]]
"""Venue -> what is known of its symbols."""


@dataclass(frozen=True)
class CaptureOptions:
    """How capture runs. `record` is the folder for raw frames; `tls` is for sockets and REST at other addresses."""

    addresses: Mapping[str, Address] = field(default_factory=dict)
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    record: Path | None = None
    timing: Timing = TIMING
    tls: ssl.SSLContext | None = None


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
            if state.feed.dense:
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
                    group.create_task(self._venue(state, files, group), name=venue)

    async def _venue(self, state: VenueState, files: ExitStack, group: asyncio.TaskGroup) -> None:
        feed, options = state.feed, self._options
        address = options.addresses.get(feed.venue, Address())
        record: Callable[[int, bytes], None] = lambda at_ns, frame: None  # noqa: E731
        recorder = None
        if options.record is not None:
            recorder = Recorder(options.record, feed.venue, self._clock)
            files.callback(recorder.close)
            record = recorder.write
        tls = options.tls if (address.socket or feed.socket).startswith("wss:") else None
        client = httpx.AsyncClient(
            base_url=address.rest or feed.url,
            timeout=options.timing.open_s,
            headers={"User-Agent": "slackwater", **options.headers.get(feed.venue, {})},
            verify=options.tls or True,
        )
        symbols = [*state.trackers]
        bucket = Bucket(feed.connects, self._clock, options.timing.pace)
        keepers: list[Keeper] = []

        def deaf(why: str) -> None:
            for keeper in keepers:
                keeper.turn(why)

        mender = Mender(state, client, self.intake, options.timing, self._clock, deaf)
        looks: set[asyncio.Task[None]] = set()

        def again() -> None:
            if not feed.dense:
                for symbol in symbols:
                    task = group.create_task(mender.look(symbol, again=True))
                    looks.add(task)
                    task.add_done_callback(looks.discard)

        for at in range(0, len(symbols), feed.most_symbols):
            some = symbols[at : at + feed.most_symbols]

            def opened(some: Sequence[str] = some) -> Session:
                asked = feed.subscribe(some)
                url = address.socket or feed.socket
                return Session(state, url, asked, self.intake, options.timing, self._clock, record, tls)

            keepers.append(Keeper(state, opened, bucket, options.timing, self._clock, again))
        async with client, asyncio.TaskGroup() as own:
            if recorder is not None:
                own.create_task(_flushed(recorder))
            for keeper in keepers:
                own.create_task(keeper.run())
            own.create_task(mender.run())


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
