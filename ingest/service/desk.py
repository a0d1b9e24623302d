"""The one thread that writes a stream: it takes bodies in turn, and answers each when what it took is durable.

    bodies, bounded -> accept, chunk by chunk -> all records of it acknowledged -> its counts
                            while the log answers for one body, the next one is judged

While somebody changes what is known (`slackwater.versions.writer_lock`), and where the log cannot be reached, bodies
are refused for a moment: nothing waits that is not in work.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ingest.chunk import Source, nothing
from ingest.errors import IngestError
from ingest.verdicts import Summary
from ingest.writer import IngestWriter
from slackwater.core.errors import SlackwaterError

logger = logging.getLogger("slackwater.ingest")

Answer = TypeVar("Answer")

Noted = Callable[[str, str, Summary], None]
"""Told the stream, the source, and the counts of what is durable."""

IDLE_S = 0.05
"""How long a quiet desk waits for a body before it looks whether it is asked to let go."""

PAUSE_S = 1.0
"""How long it waits before it opens a writer again."""


class BusyError(IngestError):
    """A body was not taken; it may come again as it is."""

    retriable = True


class AsideError(BusyError):
    """Somebody changes what is known of the stream."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"What is known of {stream} changes at this moment.", "Send it again in a moment.")


class NoLogError(BusyError):
    """The stream cannot be written now."""


@dataclass
class Body:
    """What was handed over. `counts` are there when it is done, and those of each source; `refused` are the lines of a
    body that is one chunk.
    """

    open: Callable[[], Source]
    size: int
    counts: Summary = field(default_factory=Summary)
    sources: dict[str, Summary] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    done: Future[None] = field(default_factory=Future)
    error: Exception | None = None
    records: int = 0  # of the writer, when all of this body were sent


class Desk:
    """Of one stream. `open_writer` makes its writer; `most_bytes` of bodies may wait; `noted` is told what became of
    the events of each source, once that is durable.
    """

    def __init__(
        self,
        stream: str,
        open_writer: Callable[[], IngestWriter],
        most_bytes: int,
        noted: Noted = lambda stream, source, counts: None,
    ) -> None:
        self.stream = stream
        self._noted = noted
        self.writer: IngestWriter | None = None
        self.error = "it has not begun"
        self._open_writer = open_writer
        self._most_bytes = most_bytes
        self._bodies: deque[Body] = deque()
        self._bytes = 0
        self._questions: deque[tuple[Callable[[IngestWriter], Any], Future[Any]]] = deque()
        self._sent: deque[Body] = deque()
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name=f"desk-{stream}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, body: Callable[[], Source], size: int) -> Body:
        """Hand a body over, as a function that opens it. It is done when what was taken of it is durable.

        Its future raises SourceError or MappingError where it cannot be read on, ClaimedError or BusyError where it may
        come again, VenueTakenError where another writer has a venue of it. What was counted by then is durable.

        Raises:
            BusyError: too much waits, or nothing can be written now.
        """
        with self._changed:
            if self.error:
                raise NoLogError(f"The {self.stream} cannot be written now: {self.error}", "Send it again in a moment.")
            if self._bodies and self._bytes + size > self._most_bytes:
                raise BusyError(f"{self._bytes:,} bytes of {self.stream} wait already.", "Send it again in a moment.")
            made = Body(body, size)
            made.done.set_running_or_notify_cancel()  # who waits for it and goes away cannot cancel it
            self._bodies.append(made)
            self._bytes += size
            self._changed.notify()
        return made

    def ask(self, question: Callable[[IngestWriter], Answer]) -> "Future[Answer]":
        """Ask the writer something, between two bodies. Its future raises NoLogError where nobody can answer."""
        made: Future[Any] = Future()
        made.set_running_or_notify_cancel()
        with self._changed:
            if self.error:
                raise NoLogError(f"The {self.stream} are not known now: {self.error}", "Ask again in a moment.")
            self._questions.append((question, made))
            self._changed.notify()
        return made

    def stop(self) -> None:
        """Take what waits, and end."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                if self.writer is None:
                    self.writer = self._open_writer()
                if self._step(self.writer):
                    self.writer.close()
                    self.error = "it has ended"
                    return
            except Exception as error:  # noqa: BLE001 - the thread outlives every error, and readiness shows it
                self._fail(error)
                if self._ends:
                    return

    def _step(self, writer: IngestWriter) -> bool:
        """Take what waits, or wait for it a moment; whether it is to end and all is done."""
        if not writer.stand():
            self._settle(writer)
            self.error = ""
            self._refuse(AsideError(self.stream))
            with self._changed:
                self._changed.wait(IDLE_S)
                return self._ends
        self.error = ""
        self._answer(writer)
        body = self._next(wait=not self._sent)
        if body is None and self._sent:
            writer.wait()
        elif body is None:
            writer.accept(nothing("no body"))
        else:
            self._take(writer, body)
        self._settle(writer)
        return self._ends and not self._bodies and not self._sent

    def _next(self, wait: bool) -> Body | None:
        with self._changed:
            if wait and not self._bodies and not self._questions and not self._ends:
                self._changed.wait(IDLE_S)
            if not self._bodies:
                return None
            body = self._bodies.popleft()
            self._bytes -= body.size
            return body

    def _answer(self, writer: IngestWriter) -> None:
        while self._questions:
            question, future = self._questions.popleft()
            try:
                future.set_result(question(writer))
            except (SlackwaterError, OSError) as error:  # what is asked writes nothing, so the writer goes on
                future.set_exception(NoLogError(f"The {self.stream} are not known now: {error}", "Ask again."))

    def _take(self, writer: IngestWriter, body: Body) -> None:
        self._sent.append(body)
        try:
            source = body.open()
            try:
                while (chunk := source.read(0.0)) is not None:
                    if not writer.stand():
                        raise AsideError(self.stream)
                    own = body.sources.setdefault(chunk.source, Summary())
                    body.refused += writer.accept(chunk, own)
            finally:
                source.close()
        except SlackwaterError as error:
            if not writer.usable:
                raise
            body.error = error
        writer.drain()
        body.records = writer.sent

    def _settle(self, writer: IngestWriter) -> None:
        writer.settle()
        while self._sent and self._sent[0].records <= writer.sent - writer.unacknowledged:
            body = self._sent.popleft()
            for source, counts in body.sources.items():
                body.counts.add(counts)
                self._noted(self.stream, source, counts)
            if body.error is None:
                body.done.set_result(None)
            else:
                body.done.set_exception(body.error)

    def _refuse(self, error: Exception) -> None:
        with self._changed:
            waiting, self._bodies, self._bytes = [*self._bodies], deque(), 0
            asked, self._questions = [*self._questions], deque()
        for done in (*(body.done for body in waiting), *(future for _, future in asked)):
            done.set_exception(error)

    def _fail(self, error: Exception) -> None:
        """The writer is of no use any more. Whether what was sent is in the log is not known: it may come again."""
        text = str(error)
        if text != self.error:
            logger.error("%s: %s", self.stream, text, exc_info=None if isinstance(error, SlackwaterError) else error)
        with self._changed:
            self.error = text
        sent, self._sent = [*self._sent], deque()
        for body in sent:
            body.counts = Summary()
            body.done.set_exception(NoLogError(f"The {self.stream} may not be in the log: {text}", "Send it again."))
        self._refuse(NoLogError(f"The {self.stream} cannot be written now: {text}", "Send it again in a moment."))
        if self.writer is not None:
            with suppress(Exception):  # what it could not do was told above
                self.writer.close()
            self.writer = None
        with self._changed:
            self._changed.wait_for(lambda: self._ends, PAUSE_S)
