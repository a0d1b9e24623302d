"""One connection: uvicorn's HTTP/1.1 protocol with bounds, which it has none of for a request's head, body and times.

    bytes -> head (url, headers: sizes, time) -> full? -> body (size, time) -> a task -> answer -> idle -> ...
                     |                            |          |                            |          |
                  414 431 408                    503      413 408                    aborted if   closed
                                                                                     nobody reads

Only at this level can a request be refused before anything is made for it; an application never sees a head that does
not end. One timer checks all connections (`Gate`) instead of one or two timers for each.

A client that is refused while it still sends could lose the answer to a reset. So the answer is written, the sending
side closed, and what still comes is read and dropped for `linger_s`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from slackwater.http.guard.admission import Admission, Place, Refusal, Refusals
from slackwater.http.options import Limits
from slackwater.http.server import Draining

TRANSPORT = "slackwater.transport"
"""The extension of a scope that gives a route the connection's transport."""

PUSH = "slackwater.push"
"""The extension that gives it `Connection.push`."""

MOST_THROWN_AWAY = 1 << 20
"""Bytes of a refused client that are read and thrown away; then it is not read any more."""


class Gate:
    """What all connections of a server share."""

    def __init__(self, limits: Limits, admission: Admission, draining: Draining) -> None:
        self.limits = limits
        self.admission = admission
        self.draining = draining
        self.refusals = Refusals(limits)
        self._sweep: asyncio.TimerHandle | None = None

    def protocol(self) -> type["Connection"]:
        """The protocol class that uvicorn makes connections of."""
        return type("Connection", (Connection,), {"gate": self})

    def watch(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Check all connections every `sweep_s` while there are any."""
        if self._sweep is None:
            self._sweep = loop.call_later(self.limits.sweep_s, self._check, connections, loop)

    def _check(self, connections: set[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        now_s = loop.time()
        for connection in list(connections):
            connection.check(now_s)
        if connections:
            self.watch(connections, loop)


class _RefusedError(Exception):
    """Stops the parser."""


class Connection(HttpToolsProtocol):
    """See the module."""

    gate: Gate

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since_s = 0.0  # when what it does now began: a head, a request, being idle
        self._head_bytes = 0  # of a head that has not ended
        self._asked = False  # at least once
        self._in_head = False
        self._in_body = False  # the head has ended, the request has not
        self._body_bytes = 0
        self._refusal: Refusal | None = None  # set in a callback of the parser, which then stops
        self._ignored = False  # this request was refused for load, at its head
        self._answered = False  # this request has its answer, whether or not all of its body has come
        self._closing_s: float | None = None  # since when it is only waited for its end
        self._thrown_away = 0
        self._place: Place | None = None
        self._pause_s = self.gate.limits.pause_s
        self._stalled_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self._since_s = self.loop.time()
        self.gate.watch(self.connections, self.loop)
        most = self.gate.limits.connections
        if len(self.connections) > most + most // 10 + 10:  # not even those that are refused may grow for ever
            self.gate.admission.refuse("connections")
            transport.abort()
        elif len(self.connections) > most:
            self._refuse(self.gate.refusals.connections)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse what the parser or a bound refuses."""
        if self._closing_s is not None:
            self._throw_away(data)
            return
        if self._in_head or self._between:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # nothing here speaks another protocol: it is answered as plain HTTP
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(self._refusal or self.gate.refusals.bad)
            return
        if self._in_head and self._head_bytes > self.gate.limits.head:
            self._refuse(self.gate.refusals.head)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        super().pause_writing()
        self._stalled_s = self.loop.time()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._stalled_s = None

    def push(self, take: Callable[[], bytes]) -> bool:
        """Write what `take` gives as a piece of the answer under way, past what ASGI does for each piece.

        False, and `take` is not called, if the connection cannot take it now: what was written before is not sent yet,
        the answer has not begun or is over, or it has no pieces.
        """
        cycle, transport = self.cycle, self.transport
        under_way = cycle.response_started and cycle.chunked_encoding and not cycle.response_complete
        if not under_way or cycle.disconnected or transport.is_closing() or transport.get_write_buffer_size():
            return False
        piece = take()
        if piece:
            transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    # the parser's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        ours: Any = {TRANSPORT: self.transport, PUSH: self.push}  # for streams
        self.scope["extensions"] = ours
        self._since_s = self.loop.time()
        self._in_head = True
        self._ignored = self._answered = False
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the URL."""
        super().on_url(url)
        if len(self.url) > self.gate.limits.url:
            self._stop(self.gate.refusals.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        super().on_header(name, value)
        if len(self.headers) > self.gate.limits.headers:
            self._stop(self.gate.refusals.head)

    def on_headers_complete(self) -> None:
        """The head has ended: refuse it, or start its task."""
        limits, refusals = self.gate.limits, self.gate.refusals
        self._asked = True
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        size, bodied = len(self.url), False
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name == b"content-length":
                bodied = True
                if int(value) > limits.body:
                    self._stop(refusals.body)
            elif name == b"transfer-encoding":
                bodied = True
        if size > limits.head:
            self._stop(refusals.head)
        if self.gate.admission.full(self.url) and (self.cycle is None or self.cycle.response_complete):
            self._refuse_for_load(bodied or not self.parser.should_keep_alive())
            return
        self._since_s = self.loop.time()
        self._pause_s = limits.pause_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._ignored:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self.gate.limits.body:
            self._stop(self.gate.refusals.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has ended."""
        self._in_body = False
        if not self._ignored:
            super().on_message_complete()

    # what uvicorn's class does with a request

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """As the base does; a request is in progress until its task is done."""
        place = self.gate.admission.enter(cycle.scope["raw_path"])
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if place is not None:
            self._place = place
            task.add_done_callback(place.leave)  # if it ended without an answer
        if self.gate.draining.began:
            cycle.keep_alive = False  # so that a client goes where it is served longer

    def on_response_complete(self) -> None:
        """As the base does, but the sweep is what ends an idle connection."""
        self.server_state.total_requests += 1
        if self._place is not None:
            self._place.leave()  # at once: the next request may be here before the task is done
            self._place = None
        self._since_s = self.loop.time()
        self._answered = self._in_body
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    @property
    def _between(self) -> bool:
        """Whether no request is being sent or answered: what comes next is the beginning of a head."""
        return not self._in_head and not self._in_body and not self._busy

    @property
    def _busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _stop(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _RefusedError

    def _refuse_for_load(self, close: bool) -> None:
        if close:
            self._stop(self.gate.refusals.overload_close)
        self.gate.admission.refuse("overload")
        refusals = self.gate.refusals
        self.transport.write(
            refusals.overload_head if self.parser.get_method() == b"HEAD" else refusals.overload.answer
        )
        self._ignored = True
        self._since_s = self.loop.time()
        self.flow.pause_reading()
        self.loop.call_later(self._pause_s, self._read_again)
        self._pause_s = min(self._pause_s * 2, self.gate.limits.longest_pause_s)

    def _read_again(self) -> None:
        if self._closing_s is None and not self.transport.is_closing():
            self.flow.resume_reading()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, and end the connection; what was being answered is dropped."""
        self.gate.admission.refuse(refusal.reason)
        self._closing_s = self.loop.time()
        self.pipeline.clear()
        if self._busy:
            self.cycle.disconnected = True  # the application is told that the client has gone
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()  # an answer that ends early must not look whole
                return
        elif self._answered:
            self.transport.close()  # it has its answer, and was still sending
            return
        self.transport.write(refusal.answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > MOST_THROWN_AWAY:
            self.flow.pause_reading()

    def check(self, now_s: float) -> None:
        """End what takes too long."""
        limits = self.gate.limits
        if self._closing_s is not None:
            if now_s - self._closing_s > limits.linger_s:
                self.transport.abort()
        elif self.transport.is_closing():  # closed, with bytes that the client has not read
            self._closing_s = now_s + limits.stalled_s - limits.linger_s
        elif self._stalled_s is not None:
            if now_s - self._stalled_s > limits.stalled_s:
                self.gate.admission.refuse("slow-reader")
                self.transport.abort()
        else:
            self._check_request(now_s - self._since_s)

    def _check_request(self, passed_s: float) -> None:
        limits, refusals = self.gate.limits, self.gate.refusals
        if self._in_head:
            if passed_s > limits.head_s:
                self._refuse(refusals.slow)
        elif self._in_body:
            if passed_s > limits.body_s:
                self._refuse(refusals.slow)
        elif self._busy:
            if not self.cycle.response_started and passed_s > limits.answer_s:
                self._refuse(refusals.no_answer)
        elif passed_s > (limits.idle_s if self._asked else limits.head_s):
            self.transport.close()
