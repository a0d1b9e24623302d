"""Views that rest when the seed says so, not when a summary took long: those of a stream get different open cells."""

from random import Random

from tests.simulation.programs import Trace


class RandomPace:
    """See `speed_layer.pace.Pace`. In two of five seeds a view rests one time of three; drawn apart from the moves."""

    def __init__(self, seed: int, trace: Trace) -> None:
        self._random = Random(f"paces {seed}")
        self._rests = self._random.random() > 0.6
        self._trace = trace

    def wait_s(self, definition: str) -> float:
        if self._rests and self._random.random() < 1 / 3:
            self._trace.count("views that rested")
            return 1.0
        return 0.0
