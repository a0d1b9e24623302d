"""Judges the events of a file that is to take the place of others: what is known is new here, once; no other is taken.

    archive and log    7 8 9          file    8 9 9'         8: new   9: new   9': a conflict within the file
                                              8 10           10 is known to nobody: refused as a whole

What a file holds is known by its content in memory, 24 bytes an event: a correction is small beside history.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from ingest.archived import Archived
from ingest.duplicates import DuplicateFilter
from ingest.errors import UnknownIdsError
from ingest.known import Known
from slackwater.store.id_keys import KeyIndex
from slackwater.store.id_runs import IdRuns
from slackwater.store.identities import Grouped, group_ids
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector


class Replacing:
    """Stands on what a filter knows, which does not change by it. Not thread safe."""

    def __init__(self, stream: Stream, filtered: DuplicateFilter, inspector: Inspector) -> None:
        nothing = Archived(stream, IdRuns(), KeyIndex(), (), inspector, filtered.partition_of)
        self._stream = stream
        self._known = filtered.known
        self._own = Known(stream, nothing)

    def judge(self, events: pa.Table, grouped: Grouped | None = None) -> Any:
        """The verdict on each event, in order.

        Raises:
            UnknownIdsError: the ids of some are known neither to the archive nor to the log.
        """
        grouped = grouped or group_ids(self._stream, events)
        unknown = np.flatnonzero(~self._known.holds(events.num_rows, grouped))
        if len(unknown):
            first = events.slice(int(unknown[0]), 1).to_pylist()[0]
            names = [*self._stream.entity, self._stream.identity]
            raise UnknownIdsError(len(unknown), ":".join(str(first[name]) for name in names))
        return self._own.judge(events, grouped)
