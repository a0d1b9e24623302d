"""Dead letters: what was refused, with its original bytes, its reason and where it came from.

The key is the source and position, so a run that is repeated writes the same letter again and readers can tell.
"""

import hashlib
from typing import NamedTuple

from event_log.event import Reason
from event_log.log import Ack, Headers, Writer


class DeadLetter(NamedTuple):
    """One refusal: `source` is a file or a topic with its id, `position` the place in it, `time_us` when it happened.

    `reason` is a `Reason`, or `conflict` for an id that was taken with other content.
    """

    source: str
    position: str
    reason: Reason | str
    error: str
    time_us: int
    value: bytes
    headers: Headers = ()


CONFLICT = "conflict"
"""The reason of an event whose id is taken by an event with other content: the first wins."""


def send(writer: Writer, topic: str, letter: DeadLetter) -> Ack:
    """Append a letter. It is stored when the returned promise says so; do not move on before."""
    facts = {
        "reason": str(letter.reason),
        "error": letter.error,
        "source": letter.source,
        "position": letter.position,
        "time": str(letter.time_us),
        "length": str(len(letter.value)),
        "sha256": hashlib.sha256(letter.value).hexdigest(),
    }
    headers = [(name, text.encode("utf-8", "backslashreplace")) for name, text in facts.items()]
    kept = [(f"original-{name}", value) for name, value in letter.headers]
    key = f"{letter.source}:{letter.position}".encode("utf-8", "backslashreplace")
    return writer.append(topic, 0, key, letter.value, [*headers, *kept])
