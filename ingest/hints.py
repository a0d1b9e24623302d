"""What to do about a line that was refused, where an option of the command line may make an event of it.

Not here: what is valid, and the error that says what is wrong (`slackwater.streams.columns`).
"""

from slackwater.streams.columns import MANY_DIGITS, UNCLEAR, Choice, Decimal, Text
from slackwater.streams.refusal import Reason
from slackwater.streams.stream import Stream

ROUNDED = ("price", "quantity")
"""The fields that an option rounds."""


def hint_of(stream: Stream, reason: str, error: str) -> str:
    """What may help, of the reason and the error of a dead letter; empty if nothing is known."""
    if reason == Reason.TOO_EARLY:
        return "Say the unit of its times: --time-unit s, ms, us, ns, or digits if that differs."
    column = next((each for each in stream.wire if each.reason == reason), None)
    if isinstance(column, Decimal) and MANY_DIGITS in error and column.name in ROUNDED:
        return f"--round-{column.name} 8 rounds it half-even, and so makes another number of it."
    if isinstance(column, Choice):
        said = ",".join(f"{column.name}:...={value}" for value in column.values)
        return f"Say what the file means: --values {said}" if UNCLEAR in error else ""
    if isinstance(column, Text) and column.name == stream.entity[0] and error.lower() != error:
        return "--lower-venue makes small letters of capitals."
    return ""
