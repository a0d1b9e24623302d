"""Restatements of a stream that calls its entity and its time otherwise, by a view with a further key column.

log     a(10 s) b(14 s) c(10 s) M      b closes the row [10, 11) of the book, c is late
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.restatements.of_run import Change, restate
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.stream import Choice, Decimal, Identity, Sequence, Stream, Text, Time
from slackwater.versions.manifest import ArchiveFile, Part, empty_manifest
from slackwater.versions.store import VersionStore
from slackwater.views.answers import Column
from slackwater.views.measures import Count, Sum
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import merge_sql, summarise_sql
from slackwater.views.view import View
from tests.beam_world import T0_US

FILLS = Stream(
    name="fills",
    columns=(
        Text("desk", "[a-z]+"),
        Text("book", "[A-Z]+"),
        Identity("fill"),
        Sequence("turn"),
        Time("done"),
        Decimal("paid"),
        Choice("way", ("in", "out")),
    ),
    entity=("desk", "book"),
    identity="fill",
    time="done",
    order="turn",
)
PAID = View(
    name="paid",
    stream=FILLS,
    key=("desk", "book", "way"),
    measures={"paid": Sum("paid"), "fills": Count()},
    answers={"paid": Column("paid"), "fills": Column("fills")},
)


def test_a_late_event_of_any_stream_is_told(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    rows = [("d", "B", "1", 1, 10, "in"), ("d", "B", "2", 2, 14, "in"), ("d", "B", "3", 3, 10, "in")]
    columns = {
        **{name: [row[i] for row in rows] for i, name in ((0, "desk"), (1, "book"), (2, "fill"), (3, "turn"))},
        "done": [T0_US + row[4] * 1_000_000 for row in rows],
        "paid": pa.array(["1.5"] * 3).cast(pa.decimal128(18, 8)),
        "way": [row[5] for row in rows],
        "time_unit": ["us"] * 3,
        "appended": pa.array([T0_US] * 3, pa.int64()),
        **{"partition": pa.array([0] * 3, pa.int32()), "offset": [0, 1, 2], "index": pa.array([0] * 3, pa.int32())},
    }
    path = tmp_path / "archive" / "run" / "0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    epoch = ArchiveFile(store.stored(path, 3), "fills", "run", 0, 0, 3, 0, MAX_ID)
    change = Change(FILLS, empty_manifest({}), 1, (PAID,), (epoch,), (), written(store, path))
    (ledger,) = restate(store, [change], "run", 1, T0_US)
    assert ledger.counts == {"late_trade": 1}
    (second,) = pq.read_table(tmp_path / ledger.file.path).to_pylist()
    assert second["view"] == "paid" and second["interval"] == "1s" and second["start"] == T0_US + 10_000_000
    assert (second["venue"], second["symbol"], second["key"]) == ("d", "B", ["in"])
    assert (second["before"], second["after"]) == ('{"paid":"1.5","fills":1}', '{"paid":"3","fills":2}')
    assert (second["partition"], second["offset"], second["trades"]) == (0, 2, 1)


def written(store: VersionStore, events: Path) -> tuple[Part, ...]:
    """The files of the view over all events."""
    found = []
    with connect() as con:
        for interval in PAID.intervals:
            path = store.home / f"{interval.text}.parquet"
            states = f"({summarise_sql(PAID, files_sql([str(events)]))})"
            pq.write_table(con.sql(merge_sql(PAID, states, interval)).to_arrow_table(), path)
            found.append(Part(store.stored(path, 1), PAID.name, interval.text, 0, 0, 2**62, (1, 1), 1))
    return tuple(found)
