"""Sources that hold nothing but what is missing: of files, and of what a venue's REST interface shows.

What they give is imported as history, so the bars that it changes are restated with the cause `repair`.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import orjson

from ingest.capture.rest import MOST_PAGES, NotNowError, put, retry_after_s, said
from ingest.chunk import Chunk, Source, of_lines
from ingest.errors import SourceError
from ingest.feeds.feed import Feed, FinalError, FrameError, Hole, Request, TooMuchError, Trade
from ingest.holes import Holes
from slackwater.streams.entities import Entity
from slackwater.streams.numbers import as_integer
from slackwater.streams.stream import Stream

TRIES = 8
"""So often a request is sent that fails for a moment."""

FIRST_S, MOST_S = 1.0, 60.0


class NoAnswerError(SourceError):
    """The venue gives no answer, whatever it is asked."""


class Missing:
    """The ids that are missing of some entities."""

    def __init__(self, holes: Mapping[Entity, Holes]) -> None:
        self.holes = holes
        self._firsts = {entity: [first for first, _ in of.holes] for entity, of in holes.items()}

    def holds(self, entity: Entity, number: int | None) -> bool:
        """Whether an id is missing."""
        if number is None or entity not in self.holes:
            return False
        at = bisect_right(self._firsts[entity], number) - 1
        return at >= 0 and number <= self.holes[entity].holes[at][1]


class OnlyMissing(Source):
    """Of another source the lines whose ids are missing, and those that are no events: these are told of."""

    def __init__(self, stream: Stream, source: Source, missing: Missing) -> None:
        self.name = source.name
        self.unit = source.unit
        self._others = 0
        self._stream = stream
        self._source = source
        self._missing = missing

    @property
    def done(self) -> int:  # type: ignore[override]
        """See Source."""
        return self._source.done

    @property
    def total(self) -> int | None:  # type: ignore[override]
        """See Source."""
        return self._source.total

    @property
    def left_out(self) -> Sequence[str]:  # type: ignore[override]
        """See Source: and how many lines had ids that are not missing."""
        others = [f"{self._others:,} lines whose ids are not missing"] if self._others else []
        return [*self._source.left_out, *others]

    @property
    def part(self) -> str:
        """See Source."""
        return self._source.part

    def read(self, timeout_s: float) -> Chunk | None:
        """See Source."""
        chunk = self._source.read(timeout_s)
        if chunk is None or not chunk.lines:
            return chunk
        at = [i for i in range(len(chunk.lines)) if i in chunk.faults or self._wanted(chunk.lines[i])]
        self._others += len(chunk.lines) - len(at)
        return chunk.take(at, chunk.more)

    def close(self) -> None:
        """See Source."""
        self._source.close()

    def _wanted(self, line: bytes) -> bool:
        try:
            facts: Any = orjson.loads(line)
            entity = tuple(facts[name] for name in self._stream.entity)
            return self._missing.holds(entity, as_integer(str(facts[self._stream.identity])))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return True  # no event: the decoder says why


class VenuePages(Source):
    """What a venue's REST interface shows of holes, a page a chunk. `given_up` says of holes why it does not show them:
    a symbol may be delisted, or need a key. The others are asked for all the same.
    """

    unit = "trades"

    def __init__(
        self,
        feed: Feed,
        missing: Missing,
        client: httpx.Client,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"{feed.venue} by REST"
        self._feed = feed
        self._missing = missing
        self._client = client
        self._sleep = sleep
        self.given_up: list[str] = []
        self._pages = self._read()

    def read(self, timeout_s: float) -> Chunk | None:
        """See Source."""
        del timeout_s
        return next(self._pages, None)

    def _read(self) -> Iterator[Chunk]:
        rest = self._feed.rest
        if rest.fill is None or rest.by_time:
            self.given_up.append(f"{self._feed.venue} cannot be asked by id: give a file of the venue, --from FILE.")
            return
        for entity, of in self._missing.holes.items():
            for first, last in of.holes:
                hole = Hole(str(entity[1]), first, last)
                request: Request | None = rest.fill(hole)
                for _ in range(MOST_PAGES):
                    if request is None:
                        break
                    try:
                        page, request = self._page(request, hole)
                    except SourceError as error:
                        self.given_up.append(error.fact)
                        if isinstance(error, NoAnswerError):
                            return  # what was shown by now is taken
                        break
                    lines = [one.line for one in page if one.number is not None and first <= one.number <= last]
                    self.done += len(lines)
                    yield of_lines(f"{self.name}, {hole.symbol} {first}..{last}", lines, "trade", more=True)

    def _page(self, request: Request, hole: Hole) -> tuple[list[Trade], Request | None]:
        pause_s, why = FIRST_S, ""
        budget = self._feed.requests
        for _ in range(TRIES):
            self._sleep(budget.seconds / budget.starts)
            asked_s = pause_s
            try:
                answer = self._client.send(put(self._client, request))
                asked_s = retry_after_s(answer, pause_s)
                page = said(answer, lambda body: self._feed.rest.read(body, request, hole))
                return [one for one in page.said if isinstance(one, Trade)], page.more
            except FinalError as error:
                why = str(error)
                break
            except (httpx.HTTPError, FrameError, TooMuchError, NotNowError) as error:
                why = str(error) or type(error).__name__
            self._sleep(asked_s)
            pause_s = min(pause_s * 2, MOST_S)
        else:
            raise NoAnswerError(f"{self._feed.venue} does not answer, asked for {hole.symbol}: {why}.")
        raise SourceError(f"{self._feed.venue} does not show {hole.symbol} {hole.first}..{hole.last}: {why}.")
