"""The loop of an ingest: source -> door, until the source ends or someone says stop."""

from collections.abc import Callable

from ingest.door import Door
from ingest.sources import Source
from ingest.summary import Summary

Progress = Callable[[int, int | None], None]
"""Called after each chunk with how much of the source was read, and how much there is (None: nobody knows)."""


def ingest(
    source: Source,
    door: Door,
    on_progress: Progress = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Take all that the source has, then wait for its acknowledgement; the counts of the door so far.

    `stop` is asked between chunks, at least four times a second.

    Raises:
        SourceError, MappingError: the source cannot be read on; what was read before it is in the log.
        AppendError: the log did not take a record.
    """
    try:
        while not stop():
            chunk = source.read(door.wait_s())
            if chunk is None:
                break
            door.accept(chunk)
            on_progress(source.done, source.total)
    finally:
        door.flush()
    return door.summary()
