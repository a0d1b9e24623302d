"""Audits what the proof left open: the parts of a version whose hand-off nobody could prove, against the archive.

    version 7, unproven     its parts: a b c          the archive's files that it took in: f g
    audit                   a b c, read again   ==    the view's own SQL over f g, past the pipeline

So a system without a speed layer, or one whose deltas are gone, is proven all the same, and its parts may be merged. A
view that differs is made again of the whole archive by the run that finds it.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import duckdb

from batch_layer.audit_parts import budget_of
from batch_layer.comparison import Comparison, Side
from slackwater.context import Context
from slackwater.deltas.cell import delta_key_of
from slackwater.store.lists import listed
from slackwater.versions.manifest import ArchiveFile, Manifest, Part
from slackwater.versions.suspects import suspect
from slackwater.views.view import View

logger = logging.getLogger(__name__)

ANYTHING = 2**62
"""A budget that never ends."""


class Audited(NamedTuple):
    """The versions whose parts are right, and the names of the views that are not."""

    right: frozenset[int]
    wrong: frozenset[str]


NOTHING_AUDITED = Audited(frozenset(), frozenset())


def audit_open(
    context: Context, parent: Manifest, views: Iterable[View], open_now: Sequence[int], budget: int | None = None
) -> Audited:
    """Audit the parts of versions that are open, the oldest first.

    `budget` is how many events may be read for it; None: what a run may read (`batch_layer.audit_parts`).
    """
    held = [view for view in views if parent.definitions.get(view.name) == view.definition]
    budget = budget_of(parent) if budget is None else budget
    right, wrong = set[int](), set[str]()
    for number in open_now:
        if any(part.made[1] == number > part.made[0] for part in parent.parts):
            continue  # it corrected bars of parts before it: what it made alone is not what it took in
        own = [part for part in parent.parts if part.made_by(number)]
        since = min((part.since for part in own), default=number)
        files = [entry for entry in _newest(parent, since) if entry.version <= number]
        streams = {view.stream.name for view in held if any(part.view == view.name for part in own)}
        rows = sum(entry.file.rows for entry in files if entry.stream in streams)
        if rows > budget or not {part.view for part in own} <= {view.name for view in held}:
            continue  # too much for one run, or a definition that this program does not have
        budget -= rows
        try:
            differ = {view.name for view in held if _differs(context, parent, view, number, own, files)}
        except duckdb.Error as error:
            logger.error("What version %d made is not audited: %s", number, error)
            continue
        wrong |= differ
        if not differ:
            right.add(number)
    return Audited(frozenset(right), frozenset(wrong))


def _newest(manifest: Manifest, since: int) -> Iterator[ArchiveFile]:
    return takewhile(lambda entry: entry.version >= since, listed(manifest.archive).backwards())


def _differs(
    context: Context, parent: Manifest, view: View, number: int, own: Sequence[Part], files: Sequence[ArchiveFile]
) -> bool:
    parts = [part for part in own if part.view == view.name]
    if not parts:
        return False
    since, topic_id = min(part.since for part in parts), parent.of(view.stream).topic_id
    events = [e for e in files if e.stream == view.stream.name and since <= e.version <= number]
    store = context.store
    with Comparison(store.data.fetch, context.limits, partial(suspect, store)) as comparison:
        sides = []
        for shard in sorted({part.shard for part in parts} | {entry.partition for entry in events}):
            base = [part for part in parts if (part.shard, part.interval) == (shard, view.base)]
            mine = [entry for entry in events if entry.partition == shard]
            sides.append(Side(delta_key_of(view, topic_id, shard), (), base, mine))
        comparison.base(view, sides)
        comparison.coarser(view, parts)
        compared = comparison.compared
    if compared.differ:
        text = "; ".join(map(str, compared.first[:3]))
        logger.error("Alarm: %s of version %d is not what the archive gives: %s", view.name, number, text)
    return bool(compared.differ)
