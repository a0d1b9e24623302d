"""The numbers and names that every stream and view stand on."""

import re

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

EVENT_FORMAT = 2
"""Raised when the meaning of an event's bytes changes, so that every definition's hash changes with it."""

IDENTIFIER = re.compile("[a-z][a-z0-9_]{0,30}")
"""Names of streams, views, columns and answers."""
