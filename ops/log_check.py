"""A look at whether a topic can be read from given offsets to its end, for `slackwater doctor`.

Nothing is decoded and nothing kept: it asks for what stops a partition, a batch that cannot be read or an open
transaction. Not here: the service's own look at what stands still (`serving.watch.log_probe`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slackwater.core.clock import Clock
from slackwater.log.errors import HiddenRecordsError, PositionLostError, UnreadableError
from slackwater.log.log import Log

POLL_S = 0.5


@dataclass
class LogCheck:
    """What was found, in sentences, and how many readable records were not reached in time."""

    wrong: list[str] = field(default_factory=list)
    rest: int = 0


def check_log(log: Log, topic: str, starts: Mapping[int, int], clock: Clock, most_s: float) -> LogCheck:
    """Read from `starts`, or the first retained offset, to where the topic ends now, for at most `most_s` seconds.

    Raises:
        LogError: the topic is not there, or no broker answers.
    """
    bounds, found = log.bounds(topic), LogCheck()
    for p, at in sorted(bounds.items()):
        if at.hidden:
            found.wrong.append(HiddenRecordsError(topic, p, at.end, at.hidden).fact)
    todo = {p: min(max(starts.get(p, 0), at.start), at.end) for p, at in bounds.items()}
    todo = {p: start for p, start in todo.items() if start < bounds[p].end}
    until_s = clock.elapsed_s() + most_s
    reader = log.reader(topic, todo)
    try:
        while todo and clock.elapsed_s() < until_s:
            for piece in reader.poll(POLL_S):
                if piece.partition in todo:
                    todo[piece.partition] = piece.upto
            found.wrong += [UnreadableError(topic, *stuck).fact for p, stuck in reader.unread.items() if p in todo]
            todo = {p: at for p, at in todo.items() if at < bounds[p].end and p not in reader.unread}
    except PositionLostError as error:  # expired while this reads
        found.wrong.append(str(error))
    finally:
        reader.close()
    found.rest = sum(bounds[p].end - at for p, at in todo.items())
    return found
