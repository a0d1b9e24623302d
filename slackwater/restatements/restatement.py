"""A restatement: a bar whose answer changed after it was closed, as a row of a Parquet file beside the archive.

    archive/<run id>/restatements.parquet      a row a bar, numbered in order of start;
    `slackwater.versions.manifest.Ledger`

A manifest lists the files of its whole lineage and a move those of its own, so the ledger outlives the versions; what
it is as a whole is said by `slackwater.restatements.ledger`. Three causes:

    late_trade      trades of the log that came after the bar was closed
    new_definition  another definition of the view took its place: a promotion
    repair          everything else: imported history, a version that was forced, a rollback

Not here: how they are found (`slackwater.restatements.of_run` and `.of_move`).
"""

from typing import Literal, get_args

import pyarrow as pa

Cause = Literal["late_trade", "new_definition", "repair"]

LATE: Cause = "late_trade"

CAUSES: tuple[Cause, ...] = get_args(Cause)

RESTATEMENT_SCHEMA = pa.schema(
    [
        pa.field("version", pa.int64()),  # of the run; a move has a number of its own among them
        pa.field("number", pa.int64()),  # of the row in its file, from 0
        pa.field("view", pa.string()),
        pa.field("venue", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("key", pa.list_(pa.string())),  # the view's further key columns
        pa.field("interval", pa.string()),
        pa.field("start", pa.int64()),  # microseconds since the epoch, UTC
        pa.field("cause", pa.string()),
        pa.field("partition", pa.int32()),  # of the first late trade; null for other causes
        pa.field("offset", pa.int64()),
        pa.field("trades", pa.int64()),  # trades that changed the bar; null where it is none
        pa.field("before", pa.string()),  # finished answers as a JSON object; null where there was no bar
        pa.field("after", pa.string()),
    ]
)
"""Columns of the file."""
