"""What a worker needs besides a log, moved by the test's hand: a clock, and the one method it asks of a store."""

from slackwater.versions.manifest import Manifest


class HandClock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return int(self.seconds * 1e6)

    def elapsed_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Versions:
    """What a worker asks of a store."""

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []

    def retained(self) -> list[Manifest]:
        return self.manifests
