"""What waits for a batch run, looked at before anything is marked: on an idle system a run makes no version.

    log      cut(parent) M M M . . end        M: marks, of runs that failed; a gap. Nothing waits
    log      cut(parent) M e . . . end        e: any other record, also one that is refused. The look ends there

Two dozen versions of nothing would push every older one out of what is kept. Not here: imported history, a forced run
and a run that is asked for by name, which always are one (`batch_layer.run`).
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from batch_layer.held import Unread
from batch_layer.stable import Stable
from slackwater.log.errors import UnreadableError
from slackwater.log.log import Log, read_range
from slackwater.log.log import Unread as Position
from slackwater.log.mark import mark_of
from slackwater.versions.errors import DamagedFileError
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
    log: Log,
    topic: str,
    parent: Manifest,
    views: tuple[View, ...],
    inspector: Inspector,
    stable: Stable,
    stuck: dict[int, int],
) -> Waiting | None:
    """What a run behind `parent` has to do; None if nothing.

    The log is read up to the first record that is no mark, as far as `stable` says that it can be. `stuck` maps a
    partition -> a batch that could not be read by a run before: where it still cannot, that partition makes no run,
    whatever lies before it. The parent's files are read only where the inspector does not know them: a damaged one is
    made again by a run, or stops it.

    Raises:
        PositionLostError: the log does not hold what lies behind the parent's cut.
        HiddenRecordsError, UnreadableError: what is new, if anything, cannot be read.
    """
    if parent.version:
        if parent.proof.forced is not None:
            return Waiting(f"Version {parent.version} was forced.")
        if {view.name: view.definition for view in in_force(views, parent.definitions)} != parent.definitions:
            return Waiting(f"Version {parent.version} holds other definitions.")
        if added := sorted(stable.bounds.keys() - parent.cut.keys() - stable.hidden.keys()):
            return Waiting(f"Partitions {added} are new.", log=True)
    unread: list[Unread] = [*stable.hidden.values(), *_still_stuck(log, topic, parent, stable, stuck)]
    if new := _new(log, topic, parent, stable, unread):
        return Waiting(new, log=True)
    try:
        inspector.check([*parent.dataset, *(entry.file for entry in parent.views)])
    except DamagedFileError as error:
        return Waiting(str(error))
    if unread:
        raise unread[0]
    return None


def _still_stuck(
    log: Log, topic: str, parent: Manifest, stable: Stable, stuck: dict[int, int]
) -> Iterator[UnreadableError]:
    """Those that cannot be read still; the others are forgotten."""
    for p, at in list(stuck.items()):
        del stuck[p]
        if p in stable.bounds and max(parent.cut.get(p, 0), stable.bounds[p].start) <= at < stable.bounds[p].end:
            try:
                for _ in read_range(log, topic, {p: at}, {p: at + 1}):
                    pass
            except UnreadableError as error:
                stuck[p] = error.offset
                yield error


def _new(log: Log, topic: str, parent: Manifest, stable: Stable, unread: list[Unread]) -> str:
    """Where a record is that is no mark; `unread` takes down what cannot be read.

    A partition that is held whole makes no run by what can be read of it.
    """
    held = {error.partition for error in unread}
    starts = {p: max(parent.cut.get(p, 0), at.start) for p, at in stable.bounds.items() if p not in held}
    uptos = {p: at.end for p, at in stable.bounds.items()}

    def note(one: Position) -> None:
        unread.append(UnreadableError(topic, *one))

    with closing(read_range(log, topic, starts, uptos, note)) as slices:
        for piece in slices:
            for record in piece.records:
                if mark_of(record) is None:
                    return f"The log holds a record at offset {record.offset} of partition {piece.partition}."
    return ""
