"""Reading a Parquet file takes as much memory however long the file is: nothing of what was read is kept."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.files.sources import open_source
from slackwater.streams.mapping import Layout
from slackwater.streams.trades import TRADES

GROUPS, GROUP_ROWS = 60, 20_000


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("venue", "symbol", "price", "quantity", "side")),
        *((name, pa.int64()) for name in ("trade_id", "time")),
    ]
)


def history(path: Path) -> Path:
    """Trades whose ids do not compress: about as many bytes as the numbers have."""
    random = np.random.default_rng(1)
    rows = GROUP_ROWS
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for _ in range(GROUPS):
            ids = random.integers(0, 2**62, rows)
            texts = {"venue": "v", "symbol": "S", "price": "1.5", "quantity": "2", "side": "buy"}
            columns = {name: pa.repeat(text, rows) for name, text in texts.items()}
            columns |= {"trade_id": pa.array(ids), "time": pa.array(random.integers(1, 2**41, rows))}
            writer.write_table(pa.table(columns, schema=SCHEMA))
    return path


def test_no_byte_of_a_file_is_kept_that_was_read(tmp_path: Path) -> None:
    path = history(tmp_path / "trades.parquet")
    for bulk in (False, True):
        before = pa.total_allocated_bytes()
        source = open_source(TRADES, str(path), Layout({}, "ms"))
        if bulk:
            source.in_bulk()
        most = rows = 0
        while (chunk := source.read(1.0)) is not None:
            rows += len(chunk.lines)
            del chunk
            most = max(most, pa.total_allocated_bytes() - before)
        source.close()
        assert rows == GROUPS * GROUP_ROWS
        assert most < path.stat().st_size // 2
