"""The events of a table by instrument, as row numbers in order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.store.id_runs import Instrument


def by_instrument(events: pa.Table) -> Iterator[tuple[Instrument, Any]]:
    """Each instrument of a table of events with its row numbers, an int64 array in ascending order."""
    if not events.num_rows:
        return
    venues = events.column("venue").combine_chunks().dictionary_encode()
    symbols = events.column("symbol").combine_chunks().dictionary_encode()
    width = len(symbols.dictionary)
    codes = venues.indices.to_numpy().astype(np.int64) * width + symbols.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order])) + 1
    for rows in np.split(order, starts):
        venue, symbol = divmod(int(codes[rows[0]]), width)
        yield (venues.dictionary[venue].as_py(), symbols.dictionary[symbol].as_py()), rows
