"""Keeps one connection of a venue alive: the next after each that ended, and beside one that is about to end.

session 1  |~~~~~~~~~~~~~~ the venue ends it soon ~~|
session 2                                |~~ taken ~~~~~~~~~~~~~~~        1 ends once 2 is taken
"""

import asyncio
import logging
import random
from collections.abc import Callable

from ingest.capture.bucket import Bucket
from ingest.capture.session import Session
from ingest.capture.state import VenueState
from ingest.capture.timing import Timing
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")


class Keeper:
    """Of one venue's symbols. `open_session` makes a session; `taken` is called when the venue serves one."""

    def __init__(
        self,
        state: VenueState,
        open_session: Callable[[], Session],
        bucket: Bucket,
        timing: Timing,
        clock: Clock,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._open = open_session
        self._bucket = bucket
        self._timing = timing
        self._clock = clock
        self._taken = taken
        self._current: Session | None = None
        self._ends: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep one until cancelled."""
        wait_s = self._timing.first_s
        try:
            while True:
                began_s = self._clock.elapsed_s()
                why = await self._keep()
                lived_s = self._clock.elapsed_s() - began_s
                if lived_s >= self._timing.calm_s:
                    wait_s = self._timing.first_s
                state = "denied" if self._state.state == "denied" else "waiting"
                if self._state.turn(state, why):
                    logger.warning("%s: %s", self._state.feed.venue, why)
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                wait_s = min(wait_s * 2, self._timing.most_s)
        finally:
            self._state.turn("stopped")

    def turn(self, why: str) -> None:
        """End the current connection; another begins."""
        if self._current is not None:
            task = asyncio.create_task(self._current.end(why))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _keep(self) -> str:
        """A connection, and those that take over from it, until one ends by itself: why it did."""
        session, task = await self._begin()
        try:
            while True:
                limit_s = self._state.feed.session_s
                timeout_s = limit_s - self._timing.overlap_s if limit_s else None
                done, _ = await asyncio.wait({task}, timeout=timeout_s)
                if done:
                    return task.result()
                session, task = await self._take_over(session, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _begin(self) -> tuple[Session, asyncio.Task[str]]:
        await self._bucket.take()
        session = self._current = self._open()
        return session, asyncio.create_task(self._run(session))

    async def _take_over(self, old: Session, ending: asyncio.Task[str]) -> tuple[Session, "asyncio.Task[str]"]:
        """Begin the next; the old one ends once that is taken. Where it is not, the old one stays."""
        session, task = await self._begin()
        taken = asyncio.create_task(session.taken.wait())
        await asyncio.wait({taken, task, ending}, return_when=asyncio.FIRST_COMPLETED)
        taken.cancel()
        if task.done() and not ending.done():
            self._current = old
            return old, ending
        await old.end("its time is over")
        await asyncio.gather(ending, return_exceptions=True)
        return session, task

    async def _run(self, session: Session) -> str:
        listening = asyncio.create_task(session.run())
        taken = asyncio.create_task(session.taken.wait())
        try:
            await asyncio.wait({listening, taken}, return_when=asyncio.FIRST_COMPLETED)
            if session.taken.is_set():
                logger.info("%s: %s serves %d symbols", self._state.feed.venue, session.name, len(self._state.trackers))
                self._taken()
            return await listening
        finally:
            taken.cancel()
            if not listening.done():
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
