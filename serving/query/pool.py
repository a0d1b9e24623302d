"""The pool for work that blocks (DuckDB, files, the log): so many at once, so many waiting, a deadline each."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from slackwater.core.request import REQUEST
from slackwater.http.problems import ProblemError

_T = TypeVar("_T")


INTERRUPT_AGAIN_S = 0.05


class Pool:
    """Runs blocking calls for the event loop."""

    def __init__(self, workers: int = 2, waiting: int = 64, deadline_s: float = 10.0) -> None:
        self._executor = ThreadPoolExecutor(workers, "slackwater-cold")
        self._most = workers + waiting
        self._deadline_s = deadline_s
        self._taken = 0

    async def run(self, call: Callable[[], _T], interrupt: Callable[[], None] | None = None) -> _T:
        """The result of `call`. `interrupt` makes it end early; without one it runs on behind the deadline.

        Raises:
            ProblemError: 503 if too many wait already, 504 behind the deadline.
        """
        if self._taken >= self._most:
            raise ProblemError(503, "busy", "Too many cold reads are waiting.", retry_after_s=1)
        self._taken += 1
        request = REQUEST.get()
        if request is not None:
            request.cold = True
        # What the call logs names the request.
        work = self._executor.submit(copy_context().run, call)
        future = asyncio.wrap_future(work)
        future.add_done_callback(self._release)
        try:
            done, _ = await asyncio.wait({future}, timeout=self._deadline_s)
        except asyncio.CancelledError:  # nobody waits for it any more
            _end(work, interrupt)
            raise
        if done:
            return future.result()
        _end(work, interrupt)
        raise ProblemError(504, "deadline", f"Not answered within {self._deadline_s:g} s. Ask for a shorter range.")

    @property
    def taken(self) -> int:
        """Calls that run or wait."""
        return self._taken

    def close(self) -> None:
        """Wait for what runs and release the threads."""
        self._executor.shutdown(cancel_futures=True)

    def _release(self, future: "asyncio.Future[_T]") -> None:
        self._taken -= 1
        if not future.cancelled():
            future.exception()  # taken, so that nothing is said about an error that nobody waits for


def _end(work: "Future[Any]", interrupt: Callable[[], None] | None) -> None:
    """Take back a call that did not begin; interrupt one that runs, again where it had not come to its query yet."""
    if work.cancel() or work.done() or interrupt is None:
        return
    interrupt()
    asyncio.get_running_loop().call_later(INTERRUPT_AGAIN_S, _end, work, interrupt)
