"""Asks a venue by REST: for the trades of holes, and, where it is silent, for its newest.

A venue that says "too much" is left in peace as long as it asks for. What it does not have after several tries is given
up, and counted as lost.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable

import httpx

from ingest.capture.bucket import Bucket
from ingest.capture.intake import Intake
from ingest.capture.state import Suspect, VenueState
from ingest.capture.timing import Timing
from ingest.chunk import Fault
from ingest.feeds.feed import FrameError, Hole, Page, Request, Trade, Void
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")

TRIES = 3
"""So often a venue is asked for ids that it does not show, and answers with success each time."""

MOST_IDS = 200_000
"""A hole with more is not filled by REST: at a thousand a request that takes hours of a venue's patience."""

MOST_PAGES = 1_000
"""Answers that one hole may take."""

TOO_MUCH = frozenset({418, 429})


class VenueError(Exception):
    """The venue says that it will not answer this, however often it is asked."""


class Mender:
    """Of one venue. `client` has the REST interface as its base. `deaf` is called where the venue has trades that the
    socket did not show.
    """

    def __init__(
        self,
        state: VenueState,
        client: httpx.AsyncClient,
        intake: Intake,
        timing: Timing,
        clock: Clock,
        deaf: Callable[[str], None],
    ) -> None:
        self._state = state
        self._client = client
        self._intake = intake
        self._timing = timing
        self._clock = clock
        self._deaf = deaf
        self._bucket = Bucket(state.feed.requests, clock, timing.pace)
        self._tried: Counter[tuple[str, int, int]] = Counter()
        self._ask_s: dict[str, tuple[float, float]] = {}
        self._waits_s = timing.first_s

    async def run(self) -> None:
        """Look at holes and at silence until cancelled."""
        while True:
            await asyncio.sleep(self._timing.look_s)
            now_s = self._clock.elapsed_s()
            for tracker in list(self._state.trackers.values()):
                for hole in tracker.due(now_s, self._timing.grace_s):
                    await self._mend(hole)
            for symbol in [symbol for symbol in self._state.trackers if self._silent(symbol, now_s)]:
                await self.look(symbol)

    async def look(self, symbol: str, again: bool = False) -> None:
        """Ask for the newest trades of a symbol. `again`: after a break, in which some may have been missed."""
        state = self._state
        heard_us = state.heard_us.get(symbol)
        try:
            page = await self._get(state.feed.rest.newest(symbol), None)
        except VenueError as error:
            logger.error("%s does not show %s: %s", state.feed.venue, symbol, error)
            return
        trades = [one for one in page.said if isinstance(one, Trade)]
        if not trades:
            return
        news = [trade for trade in trades if self._unheard(trade)]
        if state.feed.dense:
            tracker = state.trackers[symbol]
            newest = max(trade.number or 0 for trade in trades)
            if tracker.last is not None and newest > tracker.last:
                tracker.newest(newest, self._clock.elapsed_s() - self._timing.grace_s)
                self._deaf(f"silent, while {symbol} is traded")
            return
        if again and heard_us is not None and len(news) == len(trades):
            state.suspects.append(Suspect(symbol, heard_us, min(trade.time_us for trade in trades)))
            logger.warning("%s %s: the newest trades do not reach back to what was heard.", state.feed.venue, symbol)
        if news:
            lines = state.take(news, self._clock.elapsed_s())
            state.refilled += len(lines)
            await self._intake.put(state.feed.venue, f"newest of {symbol}", b"", lines)
            if not again:
                self._deaf(f"silent, while {symbol} is traded")

    def _unheard(self, trade: Trade) -> bool:
        recent = self._state.recent.get(trade.symbol)
        return recent is None or trade.identity not in recent.ids

    def _silent(self, symbol: str, now_s: float) -> bool:
        """Whether it is time to ask: after `silent_s`, then after twice as long each time: many symbols are quiet."""
        state = self._state
        if state.state != "live":
            return False
        first_s = state.feed.silent_s * self._timing.silent_s
        heard_s = state.heard_s.get(symbol, 0.0)
        at_s, wait_s = self._ask_s.get(symbol, (now_s, 0.0))
        if heard_s >= at_s or wait_s == 0.0:
            at_s, wait_s = max(heard_s, at_s), first_s
            self._ask_s[symbol] = at_s, wait_s
        if now_s - at_s < wait_s:
            return False
        self._ask_s[symbol] = now_s, min(wait_s * 2, first_s * 64)
        return True

    async def _mend(self, hole: Hole) -> None:
        state = self._state
        fill, tracker = state.feed.rest.fill, state.trackers[hole.symbol]
        count = hole.last - hole.first + 1
        timeless = state.feed.rest.by_time and hole.after_us is None and hole.before_us is None
        if fill is None or count > MOST_IDS or timeless:
            lost, why = tracker.lose(hole.first, hole.last), "of no known time" if timeless else "too many to ask for"
            logger.error(
                "%s %s: %d ids from %d on are missing, %s: fill them by `slackwater gaps repair --from FILE`.",
                *(state.feed.venue, hole.symbol, lost, hole.first, why),
            )
            return
        logger.warning("%s %s: asking for %d missing from %d on.", state.feed.venue, hole.symbol, count, hole.first)
        request: Request | None = fill(hole)
        pages = 0
        try:
            while request is not None and pages < MOST_PAGES:
                pages += 1
                page = await self._get(request, hole)
                await self._take(page, hole)
                request = page.more
        except VenueError as error:
            lost = tracker.lose(hole.first, hole.last)
            logger.error(
                "%s %s: %d ids from %d on stay missing: %s", state.feed.venue, hole.symbol, lost, hole.first, error
            )
            return
        key = hole.symbol, hole.first, hole.last
        left = sum(min(one.last, hole.last) - max(one.first, hole.first) + 1 for one in tracker.holes
                   if not one.lost and one.first <= hole.last and one.last >= hole.first)  # fmt: skip
        if not left:
            self._tried.pop(key, None)
            return
        self._tried[key] += 1
        if self._tried[key] >= TRIES:
            del self._tried[key]
            tracker.lose(hole.first, hole.last)
            logger.error("%s %s: the venue shows no trades for %d ids of %d..%d.",
                         state.feed.venue, hole.symbol, left, hole.first, hole.last)  # fmt: skip
        else:
            await self._rest()

    async def _take(self, page: Page, hole: Hole) -> None:
        wanted = [one for one in page.said if one.number is not None and hole.first <= one.number <= hole.last]
        state = self._state
        new: list[Trade | Void] = [*wanted]
        lines = state.take(new, self._clock.elapsed_s())
        state.refilled += len(lines)
        if lines:
            position = f"refill of {hole.symbol} {hole.first}..{hole.last}"
            await self._intake.put(state.feed.venue, position, b"", lines)

    async def _get(self, request: Request, hole: Hole | None) -> Page:
        """The answer to a request, asked for until it comes. Raises VenueError."""
        while True:
            await self._bucket.take()
            self._state.requests += 1
            try:
                answer = await self._client.get(request.path, params=request.params)
            except httpx.HTTPError as error:
                logger.warning("%s: %s", self._state.feed.venue, str(error) or type(error).__name__)
                await self._rest()
                continue
            status = answer.status_code
            if status in TOO_MUCH:
                asked = answer.headers.get("Retry-After", "")
                self._bucket.empty()
                await asyncio.sleep(float(asked) if asked.isdecimal() else self._timing.busy_s)
            elif answer.is_server_error:
                await self._rest()
            elif not answer.is_success:
                raise VenueError(f"it answers {status}: {answer.text[:200]}")
            else:
                try:
                    page = self._state.feed.rest.read(answer.content, request, hole)
                except FrameError as error:
                    fault = Fault(error.reason, error.fact)
                    await self._intake.put(self._state.feed.venue, f"GET {request.path}", answer.content, (), fault)
                    await self._rest()
                    continue
                self._waits_s = self._timing.first_s
                return page

    async def _rest(self) -> None:
        """Wait longer each time, and not in step with others."""
        await asyncio.sleep(self._waits_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._waits_s = min(self._waits_s * 2, self._timing.most_s)
