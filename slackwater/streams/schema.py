"""The columns of an event as views see them: one Arrow schema, whatever the event came from.

Not here: how bytes become these columns (`slackwater.streams.decode`).
"""

import pyarrow as pa

PRICE_SCALE = 8
"""Fraction digits of a price or a quantity: DECIMAL(18,8)."""

SUM_SCALE = 16
"""Fraction digits of every sum: DECIMAL(38,16). A notional has 16, and one type for all sums merges alike."""

BASE_US = 1_000_000
"""The base bar: one second, in microseconds."""

GRID = 256
"""Offsets between two grid lines of the speed layer's cells. Part of every definition's hash (DESIGN section 4)."""

MAX_LINES = 64
"""Events that one record of the log may hold."""

EVENT_FORMAT = 1
"""Raised when the meaning of an event's bytes changes, so that every definition's hash changes with it."""

STREAM = "trades"
"""The one stream: its topic, without the prefix, holds the events of this schema, and every view is fed it."""

EVENT_SCHEMA = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("trade_id", pa.int64(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),  # event time, microseconds since the epoch, UTC
        pa.field("price", pa.decimal128(18, PRICE_SCALE), nullable=False),
        pa.field("quantity", pa.decimal128(18, PRICE_SCALE), nullable=False),
        pa.field("side", pa.string(), nullable=False),  # the taker's: buy or sell
    ]
)
