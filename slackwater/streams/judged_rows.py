"""A table with the columns of an event -> the events in it, and why each other row is none.

Each row becomes the line that `slackwater archive import` makes of it, and the decoder says what it is.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.streams.decode import decode_lines
from slackwater.streams.mapping import FromColumn
from slackwater.streams.refusal import RefusedError
from slackwater.streams.rows import row_lines
from slackwater.streams.stream import Stream
from slackwater.streams.tokens import tokens


def check_rows(stream: Stream, table: pa.Table, latest_us: int) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    """Judge rows; `latest_us` is the newest time allowed. A field is null, or its column missing, where a row lacks it.

    Returns:
        the events in order, the numbers of their rows, and the refusal of every other row.
    """
    there = [name for name in stream.fields if name in table.column_names]
    text = {name: tokens(stream, name, table.column(name), FromColumn(name), "us") for name in there}
    return decode_lines(stream, row_lines(stream, text, table.num_rows), np.full(table.num_rows, latest_us))
