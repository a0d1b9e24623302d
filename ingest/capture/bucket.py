"""A token bucket: so many starts in so many seconds, in order, waited for on the event loop."""

import asyncio

from ingest.feeds.feed import Budget
from slackwater.core.clock import Clock

LEAST_S = 0.001
"""The shortest wait: what rounding leaves of a token would be waited for without end."""


class Bucket:
    """Full at first. Those who wait are served in turn."""

    def __init__(self, budget: Budget, clock: Clock, pace: float = 1.0) -> None:
        self._budget = budget._replace(seconds=budget.seconds / pace)
        self._clock = clock
        self._tokens = float(budget.starts)
        self._at_s = clock.elapsed_s()
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one."""
        async with self._turn:
            while True:
                now_s = self._clock.elapsed_s()
                rate = self._budget.starts / self._budget.seconds
                self._tokens = min(self._budget.starts, self._tokens + (now_s - self._at_s) * rate)
                self._at_s = now_s
                if self._tokens >= 1:
                    self._tokens -= 1
                    return
                await asyncio.sleep(max((1 - self._tokens) / rate, LEAST_S))

    def pause(self, seconds: float) -> None:
        """The venue says that it was too much: nothing for so long, whoever asks, and then from nothing."""
        self._tokens = 0.0
        self._at_s = max(self._at_s, self._clock.elapsed_s() + seconds)
