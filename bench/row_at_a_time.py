"""What the batch layer is measured against: bars the obvious way in Beam Python, one element a trade.

    rows of a Parquet file | (instrument and second, state of one trade) | CombinePerKey(merge) | one Parquet file

`slackwater bench` runs it over a slice of the archive beside the pipeline of the batch layer, to show what segments as
elements are for. What makes the state of one trade is written by hand here, for the view `bars` alone: it stands in for
code that a user of Beam would write, nothing else calls it, and the benchmark compares its result with the view's.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from slackwater.streams.schema import BASE_US, PRICE_SCALE, SUM_SCALE
from slackwater.streams.trades import TRADES
from slackwater.views.bars import BARS
from slackwater.views.merge import State
from slackwater.views.rows import Row, table_of

BarKey = tuple[str, str, int]

_TO_SUM = 10 ** (SUM_SCALE - PRICE_SCALE)


def run_row_at_a_time(source: Path, target: Path) -> None:
    """The bars of the trades in the Parquet file `source`, as a Parquet file of states."""
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        _ = (
            pipeline
            | "File" >> beam.Create([str(source)])
            | "Trades" >> beam.FlatMap(_trades)
            | "By bar" >> beam.Map(_keyed)
            | "Merge" >> beam.CombinePerKey(_MergeTrades())
            | "All bars" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write, target)
        )


def _trades(path: str) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(path).iter_batches(columns=TRADES.schema.names):
        yield from batch.to_pylist()


def _keyed(trade: dict[str, Any]) -> tuple[BarKey, State]:
    price, quantity = int(trade["price"].scaleb(PRICE_SCALE)), int(trade["quantity"].scaleb(PRICE_SCALE))
    number, volume = trade["sequence"], quantity * _TO_SUM
    bought = volume if trade["side"] == "buy" else 0
    state = (number, price, price, price, number, price, volume, price * quantity, bought, 1)
    return (trade["venue"], trade["symbol"], trade["time"] - trade["time"] % BASE_US), state


class _MergeTrades(beam.CombineFn):
    def setup(self) -> None:
        self._merge = BARS.merge

    def create_accumulator(self) -> State | None:
        return None

    def add_input(self, total: State | None, state: State) -> State:
        return state if total is None else self._merge(total, state)

    def merge_accumulators(self, totals: Iterable[State | None]) -> State | None:
        merged: State | None = None
        for total in totals:
            merged = merged if total is None else self.add_input(merged, total)
        return merged

    def extract_output(self, total: State | None) -> State | None:
        return total


def _write(bars: list[tuple[BarKey, State]], target: Path) -> None:
    pq.write_table(table_of(BARS, sorted(Row(key[:2], key[2], state) for key, state in bars)), target)
