"""The end of a server: first it is not ready but serves on, then streams end, then what is in flight is finished.

    SIGTERM --> began (readiness off, at once) --drain seconds--> ended (streams say why and end) --> exit

Not here: who moves it (`serving.http.server`).
"""

import asyncio
from collections.abc import Callable


class Draining:
    """Where the server is. `began` may be set by a signal handler; tasks of the event loop wait for `ended`."""

    REASON = "The service is shutting down."

    def __init__(self) -> None:
        self.began = False
        self.ended = asyncio.Event()
        self._at_end: list[Callable[[], None]] = []

    def reasons(self) -> list[str]:
        """That it has begun."""
        return [self.REASON] if self.began else []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this, on the event loop, when streams are to end."""
        self._at_end.append(call)

    def end(self) -> None:
        """End streams, once."""
        if not self.ended.is_set():
            self.ended.set()
            for call in self._at_end:
                call()
