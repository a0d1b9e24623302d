"""What this process of the speed layer has been let do so far, and how its DoFns raise what the log refuses.

One object a process, as STOP is. `run` decides by it whether another try may do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from slackwater.log.errors import LogError


class SoFar:
    """Whether the log was read, and whether a delta was taken."""

    def __init__(self) -> None:
        self.read = self.wrote = False


SO_FAR = SoFar()


@contextmanager
def as_it_is() -> Iterator[None]:
    """Have Beam pass on an error of the log as it is: it would make a RuntimeError of it, and log its trace."""
    try:
        yield
    except LogError as error:
        error._tagged_with_step = True  # type: ignore[attr-defined]  # Beam's own mark that it has done so
        raise
