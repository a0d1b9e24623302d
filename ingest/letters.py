"""Dead letters handed in again: their originals are judged like any line; what is taken, or known, settles its letter.

    letters of one source -> chunk, each line with its own place -> writer -> acknowledged -> settled
                                                              `- refused again: the same letter, written once more

So each is taken once, whoever dies in between: what was taken and is not settled yet is a duplicate the next time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ingest.chunk import CHUNK_LINES, Chunk
from ingest.remote import RemoteWriter
from ingest.writer import IngestWriter
from slackwater.core.clock import Clock
from slackwater.log.dead_letter import DeadLetter, settle
from slackwater.log.letters import Stored
from slackwater.log.log import Writer

TAKEN = "taken"
"""What became of a letter's original: its event is in the log."""


@dataclass
class Replayed:
    """Letters that were settled, those that were refused again, and those whose originals are not whole."""

    settled: int = 0
    refused: int = 0
    cut: int = 0


def replay(
    letters: Iterable[Stored], writer: IngestWriter | RemoteWriter, log: Writer, topic: str, clock: Clock
) -> Replayed:
    """Hand the originals of letters in again, in their order; all are of the writer's stream.

    `log` settles them in `topic` when what was taken is acknowledged.

    Raises:
        AppendError: the log did not take a record; what was not settled can be handed in again.
    """
    found = Replayed()
    for some in _of_one_source(letters):
        whole = [letter for letter in some if letter.whole is None]
        found.cut += len(some) - len(whole)
        refused = set(writer.take(_chunk(whole)) or ()) if whole else set[int]()
        writer.flush()
        acks = [settle(log, topic, letter, TAKEN, clock.now_us()) for i, letter in enumerate(whole) if i not in refused]
        for ack in acks:
            ack.offset()
        found.settled += len(acks)
        found.refused += len(refused)
    return found


def _of_one_source(letters: Iterable[Stored]) -> Iterator[list[DeadLetter]]:
    for _, group in groupby((stored.letter for stored in letters), lambda letter: letter.source):
        some: list[DeadLetter] = []
        for letter in group:
            some.append(letter)
            if len(some) == CHUNK_LINES:
                yield some
                some = []
        if some:
            yield some


def _chunk(letters: Sequence[DeadLetter]) -> Chunk:
    originals = [letter.value for letter in letters]
    return Chunk(
        letters[0].source,
        originals,
        lambda i: letters[i].position,
        lambda i: originals[i],
        more=True,
    )
