"""What this process of the speed layer has been let do so far, and how its DoFns raise what the log refuses.

One object a process, as STOP is. `run` decides by it whether another try may do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from slackwater.log.errors import LogError
from slackwater.views.view import View


class SoFar:
    """Whether the log was read and a delta was taken; whose deltas were taken, refused or not made in this pipeline."""

    def __init__(self) -> None:
        self.read = self.wrote = False
        self.taken: set[str] = set()
        self.refused: set[str] = set()
        self.unmade: set[str] = set()


SO_FAR = SoFar()


def not_summed(view: View) -> None:
    """A view can make no states of events of its stream."""
    SO_FAR.unmade.add(view.stream.name)


@contextmanager
def as_it_is(stream: str | None = None) -> Iterator[None]:
    """Have Beam pass on an error of the log as it is: it would make a RuntimeError of it, and log its trace.

    `stream` is whose deltas are not taken then.
    """
    try:
        yield
    except LogError as error:
        if stream is not None:
            SO_FAR.refused.add(stream)
        error._tagged_with_step = True  # type: ignore[attr-defined]  # Beam's own mark that it has done so
        raise
