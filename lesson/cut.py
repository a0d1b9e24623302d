"""Slackwater's own boundary: the marks of a batch run in the log, at which the speed layer cuts its cells.

Nothing of it is rebuilt here: ingest, the batch run with archive, proof and publication, the worker with tiling and
sink, and the service with feed, chains, merge and the route are the project's own, on a log in memory and real files.
Two things are left out: the Beam runner of the speed layer (the summary is the view's SQL all the same), and threads.
"""

import asyncio
import json
import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from batch_layer.compute import run_pipeline
from batch_layer.errors import ProofFailedError
from batch_layer.run import BatchRun
from ingest.chunk import of_lines
from ingest.writer import open_ingest
from lesson.memory_log import MemoryLog
from lesson.play import Play, PlayClock
from lesson.schedule import Run
from lesson.score import Answer, Example
from lesson.stream import INTERVAL, PARTITIONS, Arrival, Instrument
from lesson.truth import Bar
from serving.http.app import create_app
from serving.options import ServingOptions
from slackwater.context import Context
from slackwater.log.names import TopicNames
from slackwater.pipeline.segment import Block, States
from slackwater.streams.trades import TRADES
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.session import Summariser
from speed_layer.sink import PublishDeltas
from speed_layer.worker import Worker

NAMES = TopicNames("lesson")
VIEWS = (BARS,)
PROOF_DEADLINE_S = 5.0


class _KilledError(Exception):
    """A batch run died where it stood."""


class Cut:
    """See `lesson.play.Rule`."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._clock = PlayClock(play)
        self._open = ExitStack()
        home = Path(self._open.enter_context(TemporaryDirectory(prefix="slackwater-lesson-")))
        self._log = MemoryLog(play.now_us // 1000)
        for topic in (NAMES.topic("trades"), NAMES.deltas("trades")):
            self._log.create(topic, PARTITIONS)
        self._log.create(NAMES.dead_letters, 1)
        self._store = VersionStore(home)
        self._ingest = self._open.enter_context(open_ingest(TRADES, self._log, NAMES, self._store, self._clock))
        self._speed: _Speed | None = None
        self._app = create_app(self._log, NAMES, self._store, VIEWS, self._clock, ServingOptions(poll_s=0.0))
        self._loop = asyncio.new_event_loop()
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(app=self._app), base_url="http://lesson")
        self._summariser = Summariser(VIEWS)
        self._arrived = [0] * PARTITIONS
        self._ends: list[list[int]] = [[0] for _ in range(PARTITIONS)]
        self._counts: list[list[int]] = [[0] for _ in range(PARTITIONS)]
        self._read = [0] * PARTITIONS
        self._partitions: dict[Instrument, int] = {}
        self._notes: Counter[str] = Counter()

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """See `Rule.arrive`: through the writer."""
        self._log.now_ms = self._play.now_us // 1000
        self._ingest.accept(of_lines("lesson", [arrival.trade.line for arrival in arrivals]))
        self._ingest.flush()
        for arrival in arrivals:
            p = arrival.trade.partition
            self._partitions[arrival.trade.instrument] = p
            self._arrived[p] += 1
        for p, (_, end, _) in self._log.bounds(NAMES.topic("trades")).items():
            self._ends[p].append(end)
            self._counts[p].append(self._arrived[p])

    def step(self) -> None:
        """See `Rule.step`."""
        if self._speed is None:
            self._speed = _Speed(self._log, self._store, self._clock, self._summariser)
        self._speed.step()
        self._read = list(self._arrived)

    def kill(self) -> None:
        """See `Rule.kill`: in the middle of a step, with half of its deltas sent."""
        if self._speed is not None:
            self._speed.step(halfway=True)
            self._speed = None
            self._notes["kills of the speed layer"] += 1

    def archive(self) -> None:
        """See `Rule.archive`: the batch run reads the log itself."""

    def begin(self, run: Run) -> None:
        """See `Rule.begin`: one batch run, whole; while it computes, everything else goes on."""

        def compute(*arguments: Any) -> None:
            self._play.until(run.publishes_us)
            if run.dies:
                raise _KilledError
            run_pipeline(*arguments)

        batch = BatchRun(Context(self._log, NAMES, self._store, VIEWS, self._clock))
        batch.compute, batch.proof_deadline_s = compute, PROOF_DEADLINE_S
        self._log.now_ms = self._play.now_us // 1000
        try:
            manifest = batch.run()
        except _KilledError:
            self._notes["kills of a batch run"] += 1
        except ProofFailedError:
            self._notes["hand-offs refuted"] += 1
        else:
            self._notes["versions"] += 1
            self._notes[f"hand-offs proven {manifest.proof.outcome}"] += 1

    def publish(self, run: Run) -> None:
        """See `Rule.publish`: the run does it."""

    def answers(self) -> Iterator[tuple[Instrument, Answer]]:
        """See `Rule.answers`: right at the positions that it names, if the speed layer is not past them."""
        self._app.state.service.step()
        for instrument, p in self._partitions.items():
            body = self._loop.run_until_complete(self._ask(*instrument))
            bars: dict[int, Bar] = {}
            for bar in body.get("bars", ()):
                del bar["closed"]
                bars[bar["start"]] = bar
            applied = body["meta"]["applied"].get(str(p), 0) if body else 0
            at = max(self._counts[p][bisect_right(self._ends[p], applied) - 1], self._read[p])
            yield instrument, Answer(bars, at, at)

    async def _ask(self, venue: str, symbol: str) -> dict[str, Any]:
        query = {"venue": venue, "symbol": symbol, "interval": INTERVAL.text, "start": "1970-01-01", "limit": "10000"}
        response = await self._http.get("/v1/bars", params=query)
        if response.status_code == httpx.codes.NOT_FOUND:  # no trade of it was applied yet
            return {}
        response.raise_for_status()
        body: dict[str, Any] = json.loads(response.content)
        return body

    def story(self, example: Example) -> str:
        """See `Rule.story`."""
        del example
        return ""

    def notes(self) -> dict[str, int]:
        """See `Rule.notes`."""
        return dict(self._notes)

    def close(self) -> None:
        """See `Rule.close`."""
        self._loop.run_until_complete(self._http.aclose())
        self._loop.close()
        self._app.state.service.stop()
        self._summariser.close()
        self._open.close()


class _Speed:
    """One process of the speed layer: the worker and the sink, the summary between them without a runner."""

    def __init__(self, log: MemoryLog, store: VersionStore, clock: PlayClock, summariser: Summariser) -> None:
        self._summariser = summariser
        self._worker = Worker(log, NAMES, store, VIEWS, list(log.bounds(NAMES.topic("trades"))), clock)
        self._sink = PublishDeltas(lambda: log, NAMES, VIEWS, clock)
        self._sink.setup()

    def step(self, halfway: bool = False) -> None:
        """Read what there is and send its cells; `halfway`: only the first half of them."""
        for block in self._worker.step(0.0):
            states = list(self._states(block))
            for found in states[: len(states) // 2] if halfway else states:
                self._sink.process(found)

    def _states(self, block: Block) -> Iterable[States]:
        for view in VIEWS:
            rows = self._summariser.rows_of_each(view, [segment.table for segment in block.segments])
            for segment, found in zip(block.segments, rows, strict=True):
                yield States(view.definition, segment.slot, None, tuple(found))


ROOMS = ("batch_layer", "speed_layer", "serving", "ingest", "slackwater")


@contextmanager
def quiet() -> Iterator[None]:
    """What the rooms log of the things that are done to them on purpose is not printed."""
    loggers = [logging.getLogger(name) for name in ROOMS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
