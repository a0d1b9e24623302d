"""Asks a venue by REST: for the trades of holes, and, where it is silent or ids are not dense, for its newest.

A venue that says "too much" is left in peace as long as it asks for. What it does not have after several tries is given
up, and counted as lost. Where ids are not dense, a break is over once the venue shows trades that reach back to what
was heard before it, and on to what is heard now:

    heard before    a b c            newest shown     c d e f g        d and e are taken; nothing is missing
    heard since           f g h      newest shown       e f g          between c and e something may be: a suspect
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import httpx

from ingest.capture.bucket import Bucket
from ingest.capture.intake import Intake
from ingest.capture.rest import MOST_PAGES, NotNowError, put, retry_after_s, said
from ingest.capture.state import Break, VenueState, end_us
from ingest.capture.timing import Timing
from ingest.chunk import Fault
from ingest.feeds.feed import FinalError, FrameError, Hole, Page, Request, TooMuchError, Trade, Void
from slackwater.core.clock import Clock

logger = logging.getLogger("slackwater.capture")

TRIES = 4
"""So often a venue is asked for ids that it does not show, and answers with success each time.

Each wait is four times as long as the one before: what REST shows may lag behind the socket.
"""

MOST_IDS = 200_000
"""A hole with more is not filled by REST: at a thousand a request that takes hours of a venue's patience."""

MOST_BAD = 6
"""So many answers in a row that are none, each a while after the one before, are a refusal."""


class _UnreadableError(FinalError):
    """None of so many answers could be read."""


class _Shown(NamedTuple):
    """What the newest trades were: joined to what was heard since the break, and how many were new."""

    joined: bool
    new: int


class Mender:
    """Of one venue. `client` has the REST interface as its base; `history` is that of the one for old trades, "" where
    it is the same. `deaf` is called where the venue has trades that the socket did not show.
    """

    def __init__(
        self,
        state: VenueState,
        client: httpx.AsyncClient,
        intake: Intake,
        timing: Timing,
        clock: Clock,
        deaf: Callable[[str], None],
        history: str = "",
    ) -> None:
        self._state = state
        self._client = client
        self._intake = intake
        self._timing = timing
        self._clock = clock
        self._deaf = deaf
        self._history = history
        self._bucket = Bucket(state.feed.requests, clock, timing.pace)
        self._tried: Counter[tuple[str, int, int]] = Counter()
        self._not_before_s: dict[tuple[str, int, int], float] = {}
        self._ask_s: dict[str, tuple[float, float]] = {}
        self._never: set[str] = set()
        self._waits_s = timing.first_s

    async def run(self) -> None:
        """Look at holes and at silence until cancelled: apart, since all holes may take a venue hours."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._mend_all())
            both.create_task(self._watch())

    async def _mend_all(self) -> None:
        while True:
            await asyncio.sleep(self._timing.look_s)
            now_s = self._clock.elapsed_s()
            for tracker in list(self._state.trackers.values()):
                for hole in tracker.due(now_s, self._timing.grace_s):
                    if now_s >= self._not_before_s.get((hole.symbol, hole.first, hole.last), 0.0):
                        await self._mend(hole)
            for symbol, since_s in list(self._state.doubts.items()):
                if now_s - since_s >= self._timing.grace_s:
                    del self._state.doubts[symbol]
                    await self._look_back(symbol)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._timing.look_s)
            now_s = self._clock.elapsed_s()
            for symbol in [symbol for symbol in self._state.trackers if self._silent(symbol, now_s)]:
                await self.look(symbol)

    async def catch_up(self, symbol: str) -> None:
        """Ask for the newest trades of a symbol after a connection was taken: at once, and, where that does not show
        anything that was heard since, once more: answers may be some moments old.
        """
        self._never.discard(symbol)
        if not (await self._look_back(symbol, close=False)).joined and symbol not in self._never:
            await asyncio.sleep(self._timing.grace_s)
            await self._look_back(symbol)

    async def look(self, symbol: str) -> None:
        """Ask for the newest trades of a symbol that is silent."""
        state = self._state
        if symbol in self._never:
            return
        if not state.feed.dense:
            if (await self._look_back(symbol)).new:
                self._deaf(f"silent, while {symbol} is traded")
            return
        page = await self._newest(symbol, state.feed.rest.newest(symbol))
        tracker = state.trackers[symbol]
        newest = max((one.number or 0 for one in page.said if isinstance(one, Trade)), default=0)
        if tracker.last is None and newest:  # what comes from now on is to be heard
            tracker.know(newest, (), self._clock.elapsed_s())
        elif tracker.last is not None and newest > tracker.last:
            # They are taken, not only counted: what is missing below them is known by their times.
            news = [one for one in page.said if isinstance(one, Trade) and (one.number or 0) > tracker.last]
            await self._give(symbol, sorted(news, key=lambda one: one.number or 0))
            self._deaf(f"silent, while {symbol} is traded")

    async def _give(self, symbol: str, news: Sequence[Trade]) -> None:
        """Newest trades that were not heard."""
        lines = self._state.take(news, self._clock.elapsed_s())
        self._state.refilled += len(lines)
        await self._intake.put(self._state.feed.venue, f"newest of {symbol}", b"", lines)

    async def _look_back(self, symbol: str, close: bool = True) -> "_Shown":
        """Take the newest trades of a symbol, back to what was heard before its break, as far as the venue shows them.

        The break ends once that is joined to what was heard since, or where it is to `close` anyway. Without one, what
        was heard so far is what has to be reached.
        """
        state = self._state
        if symbol not in state.breaks:
            state.broke([symbol])
        known = state.breaks.get(symbol)
        times = known.times if known is not None else 0
        shown: list[Trade] = []  # one after the other, oldest first
        newer: list[Trade] = []  # shown before by a narrower answer: between both there may be others
        request: Request | None = state.feed.rest.newest(symbol)
        reached, pages = known is None, 0
        while request is not None and pages < MOST_PAGES:
            pages += 1
            page = await self._newest(symbol, request)
            trades = sorted((one for one in page.said if isinstance(one, Trade)), key=lambda one: one.time_us)
            reached = reached or _reaches(trades, known)
            request = None if reached else page.more
            if state.feed.rest.wider:
                newer, shown = newer + shown, trades
            else:
                shown = trades + shown
        news = [trade for trade in _once(newer + shown) if self._unheard(trade)]
        if news and state.breaks.get(symbol) is not known:
            # It took so long that it answers for another break: what it shows is not known to join anything now.
            await self._intake.put(state.feed.venue, f"newest of {symbol}", b"", [trade.line for trade in news])
            return await self._look_back(symbol, close)
        if news:
            await self._give(symbol, news)
        if known is None:
            return _Shown(True, len(news))
        joined = any(trade.identity in known.since for trade in shown)
        if shown and not reached:
            self._suspect(symbol, known, end_us(shown[0]))
        elif symbol in self._never and known.heard:
            self._suspect(symbol, known, known.since_us or self._clock.now_us())
        if shown:
            known.show(shown)
        if joined or symbol in self._never or (close and (shown or not known.heard)):
            state.join(symbol, known, times)
        return _Shown(joined, len(news))

    def _suspect(self, symbol: str, known: Break, before_us: int) -> None:
        """Something may be missing from the break on, until what is shown begins."""
        after_us = known.after_us if known.heard else known.since_us or before_us
        if after_us <= before_us:
            self._state.suspect(symbol, after_us, before_us)
            logger.warning(
                "%s %s: the newest trades do not reach back to what was heard.", self._state.feed.venue, symbol
            )

    async def _newest(self, symbol: str, request: Request) -> Page:
        if symbol in self._never:
            return Page(())
        try:
            return await self._get(request, None)
        except FinalError as error:
            if not isinstance(error, _UnreadableError):
                self._never.add(symbol)
            logger.error("%s does not show %s: %s", self._state.feed.venue, symbol, error)
            return Page(())

    def _unheard(self, trade: Trade) -> bool:
        recent = self._state.recent.get(trade.symbol)
        return recent is None or trade.identity not in recent.ids

    def _silent(self, symbol: str, now_s: float) -> bool:
        """Whether it is time to ask: after `silent_s`, then after twice as long each time: many symbols are quiet."""
        state = self._state
        if state.state != "live":
            return False
        first_s = state.feed.silent_s * self._timing.silent_s
        if state.feed.dense and state.trackers[symbol].last is None:
            first_s /= 2  # the first answer says what the newest is, and no more
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
        except FinalError as error:
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
            self._not_before_s.pop(key, None)
            return
        self._tried[key] += 1
        if self._tried[key] >= TRIES:
            del self._tried[key]
            self._not_before_s.pop(key, None)
            tracker.lose(hole.first, hole.last)
            logger.error("%s %s: the venue shows no trades for %d ids of %d..%d.",
                         state.feed.venue, hole.symbol, left, hole.first, hole.last)  # fmt: skip
        else:
            wait_s = self._timing.again_s * 4 ** (self._tried[key] - 1)
            self._not_before_s[key] = self._clock.elapsed_s() + wait_s

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
        """The answer to a request, asked for until it comes. Raises FinalError."""
        state, bad = self._state, 0
        while True:
            await self._bucket.take()
            self._state.requests += 1
            try:
                answer = await self._client.send(put(self._client, request, self._history))
            except httpx.HTTPError as error:
                logger.warning("%s: %s", self._state.feed.venue, str(error) or type(error).__name__)
                await self._rest()
                continue
            try:
                page = said(answer, lambda body: self._state.feed.rest.read(body, request, hole))
            except TooMuchError:
                self._bucket.pause(retry_after_s(answer, self._timing.busy_s))
            except NotNowError:
                await self._rest()
            except FrameError as error:
                bad += 1
                if bad == 1:
                    fault = Fault(error.reason, error.fact)
                    await self._intake.put(state.feed.venue, f"GET {request.path}", answer.content, (), fault)
                if bad == MOST_BAD:
                    raise _UnreadableError(error.fact) from error
                await self._rest()
            else:
                self._waits_s = self._timing.first_s
                return page

    async def _rest(self) -> None:
        """Wait longer each time, and not in step with others."""
        await asyncio.sleep(self._waits_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._waits_s = min(self._waits_s * 2, self._timing.most_s)


def _reaches(page: Sequence[Trade], known: Break | None) -> bool:
    """Whether trades that follow one another go back to something that was heard before, or to a time before it.

    Where nothing was, that is what the socket said since, if anything.
    """
    if known is None:
        return True
    heard, after_us = (known.heard, known.after_us) if known.heard else (known.since, known.since_us or 0)
    return not heard or any(trade.identity in heard for trade in page) or (bool(page) and end_us(page[0]) < after_us)


def _once(trades: Sequence[Trade]) -> Sequence[Trade]:
    return [*{trade.identity: trade for trade in trades}.values()]
