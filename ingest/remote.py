"""Hands the chunks of a source to the ingest service, and adds up what it says.

A chunk that the service cannot take at this moment is sent again, as it is: what of it went in before is a duplicate
then. It waits as long as the service says so (429); where that cannot be reached, or says that the log cannot be, it is
tried for PATIENCE_S, or as long as the caller says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from ingest import handed
from ingest.chunk import Chunk, Source
from ingest.errors import HandOverError
from ingest.holes import Holes
from ingest.verdicts import Example, Summary
from ingest.writer import IDLE_S, Look, Progress
from slackwater.core.clock import Clock
from slackwater.streams.entities import Entity

PATIENCE_S = 60.0
MOST_BYTES = 8 * 1024 * 1024
"""Of a request; a chunk with more is sent in halves."""


AGAIN = frozenset({429, 502, 503, 504})
"""What is worth another try; proxies give the others, too."""


@dataclass(frozen=True)
class _Later:
    """Why a chunk is to be sent again. `busy`: the service says so itself, so there is one."""

    why: str
    wait_s: float = 1.0
    busy: bool = False


class RemoteWriter:
    """Of one stream. `client` has the service as its base, and its key. Not thread safe."""

    def __init__(self, stream: str, client: httpx.Client, clock: Clock, patience_s: float = PATIENCE_S) -> None:
        self.stream = stream
        self._patience_s = patience_s
        self._client = client
        self._clock = clock
        self._tally = Summary()

    def ingest(
        self,
        source: Source,
        on_progress: Progress = lambda done, total: None,
        stop: Callable[[], bool] = lambda: False,
        look: Look = lambda tally, ended: None,
    ) -> Summary:
        """As `IngestWriter.ingest`: what is counted is durable.

        Raises:
            SourceError, MappingError: the source cannot be read on; what was read before it is in the log.
            HandOverError: the service refuses it, or cannot be reached.
        """
        while not stop():
            chunk = source.read(IDLE_S)
            if chunk is None:
                look(self._tally, True)
                break
            if chunk.lines and self.take(chunk, stop) is None:
                break
            on_progress(source.done, source.total)
            look(self._tally, False)
        return self.summary()

    def summary(self) -> Summary:
        """The counts so far."""
        return self._tally.copy()

    def flush(self) -> None:
        """Nothing: what was taken is durable."""

    def holes(self, venue: str, stop: Callable[[], bool] = lambda: False) -> dict[Entity, Holes] | None:
        """The holes among the ids of a venue whose ids are dense; None if it is told to stop before they are known.

        Raises HandOverError: the service refuses it, or cannot be reached for as long as it is waited for.
        """
        until_s = self._clock.elapsed_s() + self._patience_s
        while True:
            try:
                return self._holes(venue)
            except HandOverError as error:
                if not error.again or self._clock.elapsed_s() >= until_s:
                    raise
            if stop():
                return None
            self._clock.sleep(_Later.wait_s)

    def _holes(self, venue: str) -> dict[Entity, Holes]:
        try:
            response = self._client.get(f"/v1/ingest/{self.stream}/ids", params={"venue": venue})
            if (status := response.status_code) in AGAIN:
                raise HandOverError(f"{self._client.base_url} does not say what is missing: {status}.", "", True)
            facts = response.json()
            if status != httpx.codes.OK:
                raise HandOverError(str(facts.get("detail", facts)), "Nothing is known of what is missing.")
            names = [name for name in facts["ids"][0] if name not in Holes._fields] if facts["ids"] else []
            return {
                tuple(one[name] for name in names): Holes(
                    one["first"], one["last"], one["missing"], [(first, last) for first, last in one["holes"]]
                )
                for one in facts["ids"]
            }
        except (httpx.TransportError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = str(error) or type(error).__name__
            raise HandOverError(f"{self._client.base_url} does not say what is missing: {text}.", "", True) from error

    def take(self, chunk: Chunk, stop: Callable[[], bool] = lambda: False) -> list[int] | None:
        """Hand a chunk over: the numbers of the lines that were refused; None if it is told to stop before that.

        Raises HandOverError.
        """
        data = handed.encode(chunk)
        if len(data) > MOST_BYTES and len(chunk.lines) > 1:
            half = len(chunk.lines) // 2
            rows = list(range(len(chunk.lines)))
            first = self.take(chunk.take(rows[:half], True), stop)
            second = None if first is None else self.take(chunk.take(rows[half:], True), stop)
            return None if first is None or second is None else [*first, *(half + i for i in second)]
        until_s = self._clock.elapsed_s() + self._patience_s
        while True:
            found = self._sent(data)
            if not isinstance(found, _Later):
                self._tally.add(_summary(found))
                return list(found["lines"])
            if stop():
                return None
            now_s = self._clock.elapsed_s()
            if found.busy:
                until_s = now_s + self._patience_s
            elif now_s >= until_s:
                raise HandOverError(found.why, "Run it again: what was taken before is a duplicate then.", again=True)
            self._clock.sleep(found.wait_s)

    def _sent(self, data: bytes) -> dict[str, Any] | _Later:
        url, kind = f"/v1/ingest/{self.stream}", {"Content-Type": handed.MEDIA_TYPE}
        try:
            response = self._client.post(url, content=data, headers=kind)
        except httpx.TransportError as error:
            text = str(error) or type(error).__name__
            return _Later(f"The ingest service at {self._client.base_url} cannot be reached: {text}.")
        try:
            facts: dict[str, Any] = response.json()
        except ValueError:
            facts = {
                "detail": f"{self._client.base_url} answers {response.status_code}, and not as the ingest service."
            }
        status = response.status_code
        if status == httpx.codes.OK and "lines" in facts:
            return facts
        why = str(facts.get("detail", f"{self._client.base_url} answers {status}."))
        if status not in AGAIN:
            raise HandOverError(why, "Nothing of this chunk was taken.")
        asked = response.headers.get("Retry-After", "")
        wait_s = float(asked) if asked.isdecimal() else _Later.wait_s
        return _Later(why, wait_s, status == httpx.codes.TOO_MANY_REQUESTS)


def _summary(facts: dict[str, Any]) -> Summary:
    examples = {
        reason: Example(of["source"], of["position"], of["error"], of["line"].encode("utf-8", "surrogatepass"))
        for reason, of in facts["examples"].items()
    }
    found = Summary(facts["accepted"], facts["duplicates"], facts["conflicts"], examples=examples)
    found.refused.update(facts["refused"])
    return found
