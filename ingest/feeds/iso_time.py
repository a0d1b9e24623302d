"""Times as text: RFC 3339 in UTC, with the unit that they were measured in."""

import re
from datetime import UTC, datetime

from ingest.feeds.feed import FrameError

_TEXT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)", re.ASCII)
_MS_DIGITS = 3


def time_of(text: str) -> tuple[int, str]:
    """Microseconds since 1970 and the unit: `ms` for at most three digits behind the point. Raises FrameError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise FrameError("bad-time", f"{text[:80]!r} is no time.")
    whole, fraction = found[1], found[2] or ""
    try:
        seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise FrameError("bad-time", f"{text[:80]!r} is no time: {error}.") from error
    unit = "us" if len(fraction) > _MS_DIGITS else "ms" if fraction else "s"
    return seconds * 1_000_000 + int(fraction[:6].ljust(6, "0")), unit
