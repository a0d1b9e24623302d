"""Why a line or a record is refused.

A fault of JSON and of whole records has a reason of its own below. A value that its column refuses has the reason
`bad-<column>`, such as `bad-price`; a check over columns names its reason itself.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The reasons that every stream has."""

    EMPTY_VALUE = "empty-value"
    TOO_MANY_LINES = "too-many-lines"
    EMPTY_LINE = "empty-line"
    BYTE_ORDER_MARK = "byte-order-mark"
    NOT_UTF8 = "not-utf8"
    TOO_DEEP = "too-deep"
    NOT_JSON = "not-json"
    TWO_OBJECTS = "two-objects"
    NOT_AN_OBJECT = "not-an-object"
    DUPLICATE_KEY = "duplicate-key"
    MISSING_FIELD = "missing-field"
    WRONG_TYPE = "wrong-type"
    TOO_EARLY = "too-early"
    TOO_LATE = "too-late"
    NOT_POSITIVE = "not-positive"


class RefusedError(Exception):
    """A line that does not count."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(f"{reason}: {error}")
        self.reason = reason
        self.error = error
