"""Work that goes on behind its caller: jobs on a thread of their own, one after the other, few of them waiting."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Behind:
    """Runs jobs in their order. After one that failed none is begun. Not thread safe."""

    def __init__(self, waiting: int) -> None:
        """`waiting`: how many jobs may be unfinished before `put` waits for the oldest."""
        self._thread = ThreadPoolExecutor(1, "behind")
        self._waiting = waiting
        self._jobs: deque[Future[Any]] = deque()

    def put(self, job: Callable[[], _Result]) -> "Future[_Result]":
        """Do this after all that was put before. Raises what one of those raised, once it is known."""
        while self._jobs and (len(self._jobs) > self._waiting or self._jobs[0].done()):
            self._jobs[0].result()
            self._jobs.popleft()
        before = self._jobs[-1] if self._jobs else None

        def run() -> _Result:
            if before is not None and (error := before.exception()) is not None:
                raise error
            return job()

        found = self._thread.submit(run)
        self._jobs.append(found)
        return found

    def end(self) -> None:
        """Wait for the job that runs; what waits is not begun. What they raised is not told any more."""
        self._thread.shutdown(cancel_futures=True)
