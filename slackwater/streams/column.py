"""What a kind of column says of its values, once and for every use:

parse      a value of JSON -> the value of an event, or why it is refused: what is valid
forms      the patterns of the canonical text of a value; they match nothing that `parse` refuses, but for bounds
take       canonical text -> the value of an event, or why it is refused
read       canonical texts -> an Arrow array of values; `within`: which of them are within the bounds
text       the value of an event -> its canonical text; `texts` for an Arrow array
array      values of events -> an Arrow array; `unpack`: back
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import pyarrow as pa

from slackwater.streams.json_object import NoInteger, shown
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.refusal import Reason, RefusedError


@dataclass(frozen=True)
class Column:
    """What every kind offers. `forms` are its canonical tokens in JSON: (in quotes or not, pattern)."""

    name: str

    arrow: ClassVar[pa.DataType] = pa.string()
    optional: ClassVar[bool] = False

    @property
    def plain(self) -> bool:
        """Whether no text of it holds what JSON escapes: then a canonical line holds it as it stands."""
        return True

    @property
    def reason(self) -> str:
        """Why a value of it is refused."""
        return f"bad-{self.name.replace('_', '-')}"

    @property
    def forms(self) -> tuple[tuple[bool, str], ...]:
        """See the class."""
        raise NotImplementedError

    def parse(self, value: Any) -> Any:
        """The value of an event. Raises RefusedError."""
        raise NotImplementedError

    def take(self, token: Any) -> Any:
        """`parse` of a canonical token, which one of the `forms` matched; None: an optional one that a line lacks."""
        return token

    def text(self, value: Any) -> str:
        """The canonical token of a value."""
        return f'"{value}"'

    def array(self, values: Any) -> pa.Array:
        """Values of events as an Arrow array."""
        if values and values.count(values[0]) == len(values):
            return _repeated(values[0], len(values), self.arrow)  # a small block is mostly of one venue
        return pa.array(values, self.arrow)

    def unpack(self, column: pa.Array) -> list[Any]:
        """The values of events that `array` made an array of."""
        found: list[Any] = column.to_pylist()
        return found

    def read(self, texts: Any) -> Any:
        """Canonical texts, without quotes, as an Arrow array."""
        return texts

    @cached_property
    def quoted(self) -> bool:
        """Whether every token stands in quotes."""
        return all(quoted for quoted, _ in self.forms)

    def texts(self, column: pa.Array) -> Any:
        """The canonical token of each value, without its quotes where every token has them."""
        return column

    def within(self, column: Any) -> Any:
        """Which values are within bounds that `forms` do not hold; True if all are."""
        return True

    def string(self, value: Any) -> str:
        """A value of JSON that must be a string. Raises RefusedError."""
        if type(value) is not str:
            raise RefusedError(Reason.WRONG_TYPE, f"{self.name} is {shown(value)}, not a string")
        return value

    def integer(self, value: Any, what: str = "an integer", low: int = 0, high: int = MAX_ID) -> int:
        """A value of JSON that must be an integer from `low` to `high`. Raises RefusedError."""
        if type(value) is int and low <= value <= high:
            return value
        if type(value) is not int and not (isinstance(value, NoInteger) and value.lstrip("-").isdigit()):
            raise RefusedError(Reason.WRONG_TYPE, f"{self.name} is {shown(value)}, not {what}")
        bounds = "from 0 to 2^63-1" if (low, high) == (0, MAX_ID) else f"from {low} to {high}"
        raise RefusedError(self.reason, f"{self.name} is {str(value)[:80]}, not {bounds}")


@lru_cache(maxsize=1024)
def _repeated(value: Any, rows: int, kind: pa.DataType) -> pa.Array:
    return pa.array([value] * rows, kind)
