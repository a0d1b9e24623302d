"""The errors of streams.

SlackwaterError
  StreamError               a stream outside the package cannot be used
    StreamDeclarationError  a stream's declaration contradicts itself
    UnknownStreamError      no stream of that name is registered
  MappingError              columns cannot be mapped to the fields of an event
    UnknownFieldError       an event has no such field
    MissingColumnError      a file has no such column
    ColumnTypeError         a column's type cannot hold the field
    TimeUnitError           a unit of time is missing, or given where time is no number
"""

from collections.abc import Iterable

from slackwater.core.errors import SlackwaterError


class StreamError(SlackwaterError):
    """A stream outside the package cannot be used."""


class StreamDeclarationError(StreamError):
    def __init__(self, stream: str, fact: str, hint: str = "") -> None:
        super().__init__(f"Stream {stream!r}: {fact}.", hint)


class UnknownStreamError(StreamError):
    def __init__(self, name: str, names: Iterable[str]) -> None:
        super().__init__(f"No stream {name!r}.", f"There are {', '.join(names)}.")


class MappingError(SlackwaterError):
    """Columns cannot be mapped to the fields of an event."""


class UnknownFieldError(MappingError):
    def __init__(self, field: str, fields: Iterable[str]) -> None:
        super().__init__(f"An event has no field {field!r}.", f"Its fields are {', '.join(fields)}.")


class MissingColumnError(MappingError):
    def __init__(self, name: str, field: str, column: str, columns: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} has no column {column!r} for the field {field!r}.",
            f"Its columns are {', '.join(columns)}; map one with --map {field}=<column>.",
        )


class ColumnTypeError(MappingError):
    def __init__(self, field: str, column: str, found: object, allowed: str) -> None:
        super().__init__(f"Column {column!r} is of type {found}, which is no {field}.", f"It must hold {allowed}.")


class TimeUnitError(MappingError):
    """A unit of time is missing, or given where time is no number."""
