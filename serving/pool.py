"""The pool for work that blocks (DuckDB, files, the log): so many at once, so many waiting, a deadline each."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from serving.problems import ProblemError
from slackwater.request import REQUEST

_T = TypeVar("_T")


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
        future = asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, call)
        future.add_done_callback(self._release)
        try:
            done, _ = await asyncio.wait({future}, timeout=self._deadline_s)
        except asyncio.CancelledError:  # nobody waits for it any more
            if interrupt is not None:
                interrupt()
            raise
        if done:
            return future.result()
        if interrupt is not None:
            interrupt()
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
