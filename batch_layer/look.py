"""What waits for a batch run, looked at before anything is marked: on an idle system a run makes no version.

    log      cut(parent) M M M . . end        M: marks, of runs that failed; a gap. Nothing waits
    log      cut(parent) M e . . . end        e: any other record, also one that is refused. The look ends there

Two dozen versions of nothing would push every older one out of what is kept. Not here: imported history, a forced run
and a run that is asked for by name, which always are one (`batch_layer.run`).
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from event_log.log import Bounds, Log, read_range
from event_log.mark import mark_of
from versions.errors import DamagedFileError
from versions.inspector import Inspector
from versions.manifest import Manifest
from views.definitions import in_force
from views.view import View


@dataclass(frozen=True)
class Idle:
    """Nothing was new: nothing was appended and nothing published. `version` stands, 0 before the first."""

    version: int

    def __str__(self) -> str:
        if not self.version:
            return "nothing is new: the log holds no records, and no version was published yet"
        return f"nothing is new since version {self.version}, which stands"


def waits(log: Log, topic: str, parent: Manifest, views: tuple[View, ...], inspector: Inspector) -> str:
    """What a run behind `parent` has to do, in words; empty if nothing.

    The log is read up to the first record that is no mark. The parent's files are read only where the inspector does
    not know them: a damaged one is made again by a run, or stops it.

    Raises:
        PositionLostError: the log does not hold what lies behind the parent's cut.
    """
    bounds = log.bounds(topic)
    if parent.version:
        if parent.proof.forced is not None:
            return f"Version {parent.version} was forced."
        if {view.name: view.definition for view in in_force(views, parent.definitions)} != parent.definitions:
            return f"Version {parent.version} holds other definitions."
        if added := sorted(set(bounds) - set(parent.cut)):
            return f"Partitions {added} are new."
    if new := _new(log, topic, parent, bounds):
        return new
    try:
        inspector.check([*parent.dataset, *(entry.file for entry in parent.views)])
    except DamagedFileError as error:
        return str(error)
    return ""


def _new(log: Log, topic: str, parent: Manifest, bounds: Mapping[int, Bounds]) -> str:
    if hidden := sorted(p for p, found in bounds.items() if found.hidden):
        return f"An open transaction hides records of partitions {hidden}."  # a run waits for its end, or says so
    starts = {p: max(parent.cut.get(p, 0), found.start) for p, found in bounds.items()}
    first = _first_record(log, topic, starts, {p: found.end for p, found in bounds.items()})
    return "" if first is None else f"The log holds a record at offset {first[1]} of partition {first[0]}."


def _first_record(log: Log, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> tuple[int, int] | None:
    """(partition, offset) of a record that is no mark, None where there is none."""
    with closing(read_range(log, topic, starts, ends)) as slices:
        for piece in slices:
            for record in piece.records:
                if mark_of(record) is None:
                    return piece.partition, record.offset
    return None
