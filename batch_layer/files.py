"""The files of a version once the pipeline wrote them: made durable, and which instruments are in them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from batch_layer.compute import written
from slackwater.pipeline.segment import Segment
from slackwater.store.instruments import Instrument, Instruments
from slackwater.versions.manifest import ViewFile
from slackwater.versions.store import VersionStore
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import bounds_sql
from slackwater.views.view import View


def view_files(
    store: VersionStore, segments: Sequence[Segment], views: tuple[View, ...], folder: Path
) -> tuple[ViewFile, ...]:
    """Every file that the pipeline wrote, made durable."""
    return tuple(
        ViewFile(store.stored(path, pq.read_metadata(path).num_rows), view.name, interval.text, shard)
        for view, interval, shard, path in written({segment.slot.shard for segment in segments}, views, folder)
    )


def instruments_of(home: Path, view: View, files: tuple[ViewFile, ...]) -> Instruments:
    """The instruments in the files of a view, with their bounds."""
    found: list[Instrument] = []
    with connect() as con:
        for file in files:
            if (file.view, file.interval) == (view.name, view.base):
                select = bounds_sql(view.stream, files_sql([file.file.checked(home)]))
                for venue, symbol, first, last, _ in con.execute(select).fetchall():
                    found.append(Instrument(venue, symbol, file.shard, first, last))
    return Instruments(found)
