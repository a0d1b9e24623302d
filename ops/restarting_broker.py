"""A broker that is started again when it ends, as often as it ends, while its clients wait for it."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ops.backoff import Backoff
from ops.broker import Broker
from slackwater.core.errors import SlackwaterError


class RestartingBroker:
    """`with` it: the broker is ready inside, and stopped after. Only its first start may fail for good.

    Later ones are tried again for ever: the log is on disk, and every service waits for its broker.
    """

    def __init__(self, broker: Broker, on_line: Callable[[str], None]) -> None:
        self.broker = broker
        self._on_line = on_line
        self._backoff = Backoff()
        self._started_s = 0.0

    def __enter__(self) -> Self:
        self._started_s = time.monotonic()
        self.broker.__enter__()
        self._on_line(f"ready at {self.broker.bootstrap}, log in {self.broker.log_path}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.broker.__exit__(kind, error, traceback)

    def keep(self, now_s: float) -> None:
        """Start it again if it ended, after a wait that grows while it keeps failing. Does not wait for it."""
        if self.broker.running:
            return
        if not self._backoff.waiting:
            lived_s = now_s - self._started_s
            wait_s = self._backoff.ended(lived_s, now_s)
            self._on_line(f"ended after {lived_s:.1f} s; next start in {wait_s} s")
        elif self._backoff.due(now_s):
            self._started_s = now_s
            try:
                self.broker.start()
            except (SlackwaterError, OSError) as error:
                self._on_line(f"not started: {error}")
