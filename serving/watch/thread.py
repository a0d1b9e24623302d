"""A thread that does one step again and again until it is stopped, and that no error ends.

The step is a plain method, so that tests and a simulation call it themselves, without a thread.
"""

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger("slackwater.serving")


class Steps:
    """Runs `step` until `stop`. After an error it waits `pause_s`; a run of equal errors is logged once."""

    def __init__(self, name: str, step: Callable[[], None], every_s: float = 0.0, pause_s: float = 1.0) -> None:
        self.error: str | None = None
        self._step = step
        self._every_s = every_s
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def reasons(self) -> list[str]:
        """The error that its last step ended with."""
        return [self.error] if self.error else []

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop it and wait for the step in progress."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
                self.error = None
                wait_s = self._every_s
            except Exception as error:  # noqa: BLE001 - the thread outlives every error and shows it in readiness
                text = f"{self._thread.name}: {error}"
                if text != self.error:
                    _LOG.exception("%s failed, and is tried again", self._thread.name)
                self.error = text
                wait_s = self._pause_s
            if wait_s:
                self._stop.wait(wait_s)
