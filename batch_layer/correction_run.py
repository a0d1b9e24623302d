"""A correction: choose the events, write it down, and run the batch layer, which applies it.

    look        what would go, and nothing else
    remove      the ledger's next number, then a version without these events; their identities are free again
    duplicates  the same for events whose identity an event before them has
    replace     the same for events whose identities an imported epoch has, which comes in the same version

Writers go on, and let go for the moment in which the pointer moves (`batch_layer.run`): one that stood on what was
known before would take an identity that is free for that of an event that is gone. Who dies after the ledger was
written loses nothing: the next batch run applies it.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.errors import BatchError
from batch_layer.spill import spilling
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.corrections.chosen import Chosen, Summary, choosing
from slackwater.corrections.recording import recording
from slackwater.corrections.selection import Selection, SelectionError
from slackwater.store.files import holding
from slackwater.streams.stream import Stream
from slackwater.versions.corrections import Added, Correction, Kind
from slackwater.versions.errors import CorrectionWaitsError
from slackwater.versions.manifest import Manifest

Publish = Callable[[], Manifest]
"""Runs the batch layer."""


class Done(NamedTuple):
    """A correction that was written down and applied: what it is of, and the version that is without it."""

    correction: Correction
    summary: Summary
    version: Manifest


@dataclass(frozen=True)
class CorrectionRun:
    """Corrections of one stream."""

    context: Context
    stream: Stream

    def look(self, selection: Selection | None) -> Summary:
        """What would go; None: duplicates. Nothing changes.

        Raises:
            BatchError: nothing is published.
            SelectionError: it cannot be chosen.
            LogError: the log cannot be read.
        """
        with self._chosen(selection) as chosen:
            return chosen.summary()

    def remove(self, selection: Selection | None, by: str, reason: str, publish: Publish) -> Done:
        """Take events out; None: duplicates.

        Raises:
            SelectionError: it cannot be chosen, or is of no event.
            CorrectionWaitsError: another one of the stream is not applied yet; or this one was written down and waits,
                and `publish` says why.
            BatchError, LogError: nothing was written down.
        """
        kind: Kind = "duplicates" if selection is None else "remove"
        asked = "duplicates" if selection is None else str(selection)
        found, summary = self._record(kind, selection, asked, by, reason)
        return self._applied(found, summary, publish)

    def replace(self, added: Added, asked: str, by: str, reason: str, publish: Publish) -> Done:
        """Take out the events whose identities an imported epoch has, which is not published yet, and publish it.

        The caller is the one import of the stream, since before that epoch was read; `asked` names its file. Raises
        what `remove` raises.
        """
        selection = Selection(ids=self.ids_of(added))
        found, summary = self._record("replace", selection, asked, by, reason, added)
        return self._applied(found, summary, publish)

    def _applied(self, found: Correction, summary: Summary, publish: Publish) -> Done:
        try:
            made = publish()
        except SlackwaterError as error:
            why = error.fact.rstrip(".")
            raise CorrectionWaitsError(self.stream.name, [found.number], f": {why}") from error
        if made.corrected < found.number:
            why = f": version {made.version} was published, and came no further than correction {made.corrected}"
            raise CorrectionWaitsError(self.stream.name, [found.number], why)
        return Done(found, summary, made)

    def ids_of(self, added: Added) -> pa.Table:
        """The entities and identities of an imported epoch."""
        names = [*self.stream.entity, self.stream.identity]
        paths = [self.context.store.data.fetch(entry.file) for entry in added.archive]
        tables = [pq.read_table(path, columns=names, read_dictionary=[]) for path in paths]
        return pa.concat_tables(tables)

    def _record(
        self,
        kind: Kind,
        selection: Selection | None,
        asked: str,
        by: str,
        reason: str,
        added: Added | None = None,
    ) -> tuple[Correction, Summary]:
        self.context.store.refuse_waiting(self.stream.name)
        with self._chosen(selection) as chosen, recording(self.context.store) as written:
            summary = chosen.summary()
            if not summary.events:
                raise SelectionError(f"No event of {self.stream.name} is that: {asked}.", "Nothing was changed.")
            chosen.write(written.path)
            now_us, ends = self.context.clock.now_us(), chosen.ends()
            topic_id = self.context.log.topic_id(self.context.names.topic(self.stream))
            facts = topic_id, asked, summary.events, ends, now_us, by, reason, added
            return written.record(kind, self.stream, *facts), summary

    @contextmanager
    def _chosen(self, selection: Selection | None) -> Iterator[Chosen]:
        store, log, stream = self.context.store, self.context.log, self.stream
        name = f"choose-{uuid.uuid4().hex}"
        _, current, lease = store.lease_current(name, [name])
        with holding(lease), spilling(self.context, name) as own:
            if current is None:
                raise BatchError(
                    "Nothing is published, so nothing can be corrected.", "`slackwater batch run` is first."
                )
            with choosing(stream, store.data.fetch, current, own.limits) as chosen:
                if selection is None:
                    chosen.select_duplicates([each.entity for each in current.duplicates if each.stream == stream.name])
                else:
                    chosen.select(selection)
                    chosen.select_in_log(selection, log, self.context.names.topic(stream), current.cut(stream))
                yield chosen
