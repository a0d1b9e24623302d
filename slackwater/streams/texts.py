"""A column of texts as it comes: plain, or with a dictionary, of which each text is looked at once."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa


def array_of(column: Any) -> pa.Array:
    """A column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def of_each(column: Any, of: Callable[[pa.Array], Any]) -> Any:
    """What `of` makes of each text, an array of numpy; it is given the texts, each once where there is a dictionary."""
    column = array_of(column)
    if not pa.types.is_dictionary(column.type):
        return of(column)
    return of(column.dictionary)[column.indices.to_numpy()]
