"""What waits for a batch run, looked at before anything is marked: on an idle system a run makes no version.

    log      cut(parent) M M M . . end        M: marks, of runs that failed; a gap. Nothing waits
    log      cut(parent) M e . . . end        e: any other record, also one that is refused. Reading ends there

Two dozen versions of nothing would push every older one out of what is kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from batch_layer.archive import Stuck
from batch_layer.spans import Spans
from slackwater.context import Context
from slackwater.core.errors import SlackwaterError
from slackwater.log.errors import UnreadableError
from slackwater.log.log import Log, read_range
from slackwater.log.log import Unread as Position
from slackwater.log.mark import mark_of
from slackwater.versions.audited import read_audit
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.handoff import refuted_views
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest
from slackwater.views.definitions import in_force
from slackwater.views.view import View


@dataclass(frozen=True)
class Idle:
    """Nothing was new: nothing was appended and nothing published. `version` stands, 0 before the first."""

    version: int

    def __str__(self) -> str:
        if not self.version:
            return "nothing is new: the log holds no records, and no version was published yet"
        return f"nothing is new since version {self.version}, which stands"


class Waiting(NamedTuple):
    """Why a run is due, in words. `log`: for what the log holds, and for nothing else."""

    text: str
    log: bool = False


def waits(
    context: Context, parent: Manifest, found: Sequence[Spans], inspector: Inspector, stuck: Stuck
) -> Waiting | None:
    """What a run behind `parent` has to do; None if nothing.

    Each log is read up to the first record that is no mark, as far as its spans say that it can be. `stuck` names
    batches that could not be read by a run before: where one still cannot, that partition makes no run, whatever lies
    before it. The parent's files are read only where the inspector does not know them: a damaged one is made again by a
    run, or stops it.

    Raises:
        PositionLostError: the log does not hold what lies behind the parent's cut.
        LogError, TailLostError: what is new, if anything, cannot be read.
    """
    if parent.version:
        if again := refuted_views(context.store, parent).union(read_audit(context.store).wrong_views(parent)):
            names = ", ".join(sorted(again))
            return Waiting(f"What version {parent.version} holds of {names} was refuted, found wrong, or forced.")
        if published_views(context.views, parent, found) != parent.definitions:
            return Waiting(f"Version {parent.version} holds other definitions.")
        for spans in found:
            if added := sorted(spans.bounds.keys() - spans.parent.cut.keys() - spans.held.keys()):
                return Waiting(f"Partitions {added} of {spans.topic} are new.", log=True)
    unread: list[SlackwaterError] = []
    for spans in found:
        unread += [*spans.reasons, *_still_stuck(context.log, spans, stuck)]
        if spans.stalled is None and (new := _new(context.log, spans, stuck, unread)):
            return Waiting(new, log=True)
    try:
        inspector.check(parent.held)
    except DamagedFileError as error:
        return Waiting(str(error))
    if unread:
        raise unread[0]
    return None


def published_views(views: tuple[View, ...], parent: Manifest, found: Iterable[Spans]) -> dict[str, str]:
    """View -> the definition that the next version holds: of the streams that it can hold."""
    known = {spans.stream for spans in found if spans.known}
    return {view.name: view.definition for view in in_force(views, parent.definitions) if view.stream in known}


def _still_stuck(log: Log, spans: Spans, stuck: Stuck) -> Iterator[UnreadableError]:
    """Those that cannot be read still; the others are forgotten."""
    for (name, p), at in list(stuck.items()):
        if name != spans.stream.name:
            continue
        del stuck[name, p]
        bounds = spans.bounds.get(p)
        if bounds is not None and max(spans.parent.cut.get(p, 0), bounds.start) <= at < bounds.end:
            try:
                for _ in read_range(log, spans.topic, {p: at}, {p: at + 1}):
                    pass
            except UnreadableError as error:
                stuck[name, p] = error.offset
                yield error


def _new(log: Log, spans: Spans, stuck: Stuck, unread: list[SlackwaterError]) -> str:
    """Where a record is that is no mark; `unread` collects what cannot be read.

    A partition that is held whole makes no run by what can be read of it.
    """
    starts = {p: at for p, at in spans.start.items() if (spans.stream.name, p) not in stuck}
    starts = {p: max(at, spans.bounds[p].start) for p, at in starts.items()}
    uptos = {p: at.end for p, at in spans.bounds.items()}

    def note(one: Position) -> None:
        unread.append(UnreadableError(spans.topic, *one))

    with closing(read_range(log, spans.topic, starts, uptos, note)) as slices:
        for piece in slices:
            for record in piece.records:
                if mark_of(record) is None:
                    return f"{spans.topic} holds a record at offset {record.offset} of partition {piece.partition}."
    return ""
