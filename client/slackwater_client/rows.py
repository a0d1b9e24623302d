"""Rows of an answer: a sequence of typed rows, and the same as an Arrow table or a frame, exact to the digit.

Rows come as JSON (decimals as text) or as Arrow (decimal128). Whichever came, what is given is the same: decimals are
`decimal.Decimal` without trailing zeros in rows and decimal128 in tables, times are whole microseconds in rows and
timestamps in UTC in tables. Nothing passes through a float, unless it is asked for by `floats=True`.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from slackwater_client.errors import MissingPackageError
from slackwater_client.meta import Meta
from slackwater_client.times import datetime_of

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Kind = Literal["time", "price", "ratio", "sum", "integer", "text", "flag"]
Kinds = Mapping[str, Kind]
Item = Mapping[str, Any]
R = TypeVar("R")

EXACT = Context(prec=76)  # the default context would round a sum of 38 digits to 28, in silence
_ONE = Decimal(1)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Row:
    """A row of a view or a stream: an attribute for each of its columns, in the answer's order. A named tuple.

    Times are microseconds since the epoch, UTC; decimals are exact.
    """

    @property
    def moment(self) -> datetime:
        """The start of a view's row as a datetime in UTC."""
        return datetime_of(self.start)

    if TYPE_CHECKING:  # what a row has is said by the answer

        def __getattr__(self, name: str) -> Any: ...
        def _asdict(self) -> dict[str, Any]: ...


@cache
def _row_type(names: tuple[str, ...]) -> Any:
    return type("Row", (Row, namedtuple("Row", names, rename=True)), {"__slots__": ()})


def row_of(item: Item) -> Row:
    """The row of an item. Behind `start`, what JSON writes as a decimal is one."""
    names = tuple(item)
    answers = names.index("start") if "start" in names else len(names)
    row: Row = _row_type(names)(*(_typed(item[name], at > answers) for at, name in enumerate(names)))
    return row


def _typed(value: Any, answer: bool) -> Any:
    if isinstance(value, Decimal) or (answer and isinstance(value, str) and _DECIMAL.fullmatch(value)):
        return decimal(value)
    return value


class Rows(Sequence[R], Generic[R]):
    """Rows, and the `meta` that they stand on. Made by the client.

    `made` makes a row of an item; `columns`, column -> kind, are those of a table; without them, the answer's own.
    """

    def __init__(
        self,
        parts: "Sequence[Sequence[Item] | pa.Table]",
        meta: Meta,
        made: Callable[[Item], R],
        columns: Kinds | None = None,
    ) -> None:
        self.meta = meta
        self.columns = columns
        self._parts = parts
        self._made = made

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[R]: ...
    def __getitem__(self, index: int | slice) -> R | Sequence[R]:
        return self._rows[index]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} rows, version {self.meta.version}>"

    def to_arrow(self) -> "pa.Table":
        """A `pyarrow.Table`: prices are decimal128(18, 8), sums decimal128(38, 16), times timestamp[us, UTC].

        Raises:
            MissingPackageError: pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingPackageError("pyarrow") from error
        if self.columns is None:
            return pa.concat_tables(
                [pa.table(part).replace_schema_metadata(None) for part in self._parts]
            ).combine_chunks()
        types, columns = _arrow_types(pa), self.columns
        tables = [_table(pa, types, columns, part) for part in self._parts if len(part)]
        if not tables:
            return pa.schema([(name, types[kind]) for name, kind in columns.items()]).empty_table()
        return pa.concat_tables(tables).combine_chunks()

    def to_pandas(self, floats: bool = False) -> "pd.DataFrame":
        """A pandas frame with Arrow's types, so that decimals stay exact; `floats` makes them float64.

        Raises:
            MissingPackageError: pandas or pyarrow is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingPackageError("pandas") from error
        return _floating(self.to_arrow(), floats).to_pandas(types_mapper=pd.ArrowDtype)

    def to_polars(self, floats: bool = False) -> "pl.DataFrame":
        """A polars frame. Decimals stay exact; `floats` makes them Float64.

        Raises:
            MissingPackageError: polars or pyarrow is not installed.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise MissingPackageError("polars") from error
        frame = pl.from_arrow(_floating(self.to_arrow(), floats))
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    @cached_property
    def _rows(self) -> list[R]:
        return [self._made(item) for part in self._parts for item in _items(part)]


def decimal(value: object) -> Decimal:
    """A decimal of JSON text or of Arrow, exact, without exponent and without trailing zeros."""
    exact = Decimal(str(value)).normalize(EXACT)
    return exact.quantize(_ONE, context=EXACT) if int(exact.as_tuple().exponent) > 0 else exact


def _items(part: "Sequence[Item] | pa.Table") -> Sequence[Item]:
    if isinstance(part, Sequence):
        return part
    import pyarrow as pa

    for at, field in enumerate(part.schema):
        if pa.types.is_timestamp(field.type):  # rows hold whole microseconds
            part = part.set_column(at, field.name, part.column(at).cast(pa.int64()))
    return list(part.to_pylist())


def _arrow_types(pa: Any) -> dict[Kind, Any]:
    return {
        "time": pa.timestamp("us", "UTC"),
        "price": pa.decimal128(18, 8),
        "ratio": pa.decimal128(38, 8),
        "sum": pa.decimal128(38, 16),
        "integer": pa.int64(),
        "text": pa.string(),
        "flag": pa.bool_(),
    }


_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    "time": datetime_of,
    "price": Decimal,
    "ratio": Decimal,
    "sum": Decimal,
    "integer": int,
    "text": str,
    "flag": bool,
}


def _table(pa: Any, types: Mapping[Kind, Any], columns: Kinds, part: "Sequence[Item] | pa.Table") -> "pa.Table":
    """The columns that the part has, in the order and with the types of `columns`."""
    if not isinstance(part, Sequence):
        names = [name for name in columns if name in part.column_names]
        return part.select(names).cast(pa.schema([(name, types[columns[name]]) for name in names]))
    arrays = {
        name: pa.array([_value(_CONVERT[kind], item[name]) for item in part], types[kind])
        for name, kind in columns.items()
        if name in part[0]
    }
    return pa.table(arrays)


def _value(convert: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else convert(value)


def _floating(table: "pa.Table", floats: bool) -> "pa.Table":
    if not floats:
        return table
    import pyarrow as pa

    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):  # by text: the direct cast is not the nearest float
            table = table.set_column(at, field.name, table.column(at).cast(pa.string()).cast(pa.float64()))
    return table
