"""What rows in memory take, about, so that what is kept of them is bounded by bytes.

Counted, not measured: to ask each object for its size takes longer than to read it again. A test holds the figures
against real rows. Not here: the caches (`serving.store.row_cache`, `serving.store.encoded`, `serving.http.cached`,
`serving.store.hot`).
"""

from collections.abc import Sequence

from slackwater.views.rows import Row

ENTRY_BYTES = 1_000
"""What an entry of a cache takes besides what it keeps: its key, and its place."""


def row_bytes(row: Row) -> int:
    """What a row takes: itself, its key, its start, and a value for each column of its state."""
    texts = sum(24 + len(value) for value in row.state if type(value) is str)
    return 200 + 60 * len(row.key) + 36 * len(row.state) + texts


def rows_bytes(rows: Sequence[Row]) -> int:
    """What rows of one view take together."""
    return len(rows) * row_bytes(rows[0]) if rows else 0
