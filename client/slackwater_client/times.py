"""Times on the way in: datetimes with a zone, ISO 8601 text, or whole microseconds since the epoch, UTC."""

from datetime import UTC, datetime, timedelta

from slackwater_client.errors import ArgumentError

Time = datetime | str | int
"""Text and numbers go to the service as they are: it takes ISO 8601 in UTC or microseconds, and says what it does not
take, and of a number in another unit, what was meant."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(value: Time, name: str) -> str:
    """A time as a parameter's text.

    Raises:
        ArgumentError: a datetime without a zone (it could mean any), or something else.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ArgumentError(f"{name} is {value!r}, without a zone.", "Say which: datetime(..., tzinfo=UTC).")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise ArgumentError(f"{name} is {value!r}.", "Give a datetime with a zone, ISO 8601 text, or whole microseconds.")


def datetime_of(time_us: int) -> datetime:
    """Microseconds since the epoch as a datetime in UTC, exactly."""
    return EPOCH + timedelta(microseconds=time_us)
