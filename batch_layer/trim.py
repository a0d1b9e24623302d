"""Trims the log: removes what lies below the smallest cut of the rollback set, once the archive is known to hold it.

    log       [ 0 .......... 700 )[ 700 ......... 950 )       700: the smallest cut that a kept version stands on
    archive   [ 0 ... 300 )[ 300 . 700 )[ 700 . 900 )         each file read again and compared with its SHA-256
    trimmed                       [ 700 ......... 950 )

Of every kept version, since each may be the parent of the next run. Offsets that no file covers are read in the log:
they may hold marks and refused records, which are in the dead letters, and no event. Nothing is removed where anything
does not fit. It is asked for, never done by a run; afterwards the archive is the only copy of history.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from batch_layer.errors import BatchError
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.log.errors import TopicMissingError
from slackwater.log.events import decode
from slackwater.log.log import read_range
from slackwater.store.files import holding
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError, RetiredVersionError
from slackwater.versions.manifest import ArchiveFile, Manifest
from slackwater.versions.retention import smallest_cut

_TRIES = 5


class TrimError(BatchError):
    """The archive does not hold what the log would lose; nothing was removed."""

    def __init__(self, topic: str, fact: str) -> None:
        super().__init__(
            f"{topic} is not trimmed: {fact}.",
            "Nothing was removed. Put back from a copy what is damaged; `slackwater batch run --full` reads all.",
        )


@dataclass(frozen=True)
class Trim:
    """One partition of a stream: its first offset, and the one from now on. `files` of the archive were compared."""

    stream: str
    partition: int
    start: int
    upto: int
    files: int


def trim_log(context: Context, rehearsed: Collection[int] | None = None) -> list[Trim]:
    """Remove what no kept version needs of the log, and every archive holds; what was removed.

    With `rehearsed` nothing is: it is said what would be, if those versions alone were kept.

    Raises:
        TrimError: an archive does not hold it, or its file is damaged.
        LogError, PointerError, RecordError, ManifestError: it is unknown; nothing more was removed.
    """
    for _ in range(_TRIES):
        manifests = [m for m in context.store.retained() if rehearsed is None or m.version in rehearsed]
        if not manifests:
            return []
        name = f"trim-{uuid.uuid4().hex}"
        try:
            hold = context.store.lease(name, [manifest.version for manifest in manifests])
        except RetiredVersionError:
            continue
        with holding(hold):
            return _trim(context, _with_leased(context, manifests), rehearsed is not None)
    raise BatchError("Versions retired each time that they were looked at.", "Run it again.")


def _with_leased(context: Context, manifests: list[Manifest]) -> list[Manifest]:
    """These, and those that somebody answers from though they retired. Version 0 stands on the whole log."""
    leased = {version for lease in context.store.leases.active() for version in lease.versions}
    if 0 in leased:
        raise BatchError(
            "A process began before anything was published, and its answers stand on the whole log.",
            "Restart it first.",
        )
    more = leased - {manifest.version for manifest in manifests}
    return [*manifests, *(context.store.stored_manifest(version) for version in sorted(more))]


def _trim(context: Context, manifests: Sequence[Manifest], dry_run: bool) -> list[Trim]:
    known = {stream.name: stream for stream in context.streams}
    found: dict[str, list[Trim]] = {}
    for name in sorted({name for manifest in manifests for name in manifest.streams} & known.keys()):
        found[name] = _of_stream(context, manifests, known[name])
    for name, trims in found.items():
        if trims and not dry_run:
            reach("expire.log")
            context.log.delete_before(context.names.topic(name), {trim.partition: trim.upto for trim in trims})
    return [trim for trims in found.values() for trim in trims]


def _of_stream(context: Context, manifests: Sequence[Manifest], stream: Stream) -> list[Trim]:
    """What may go of a stream, all of it compared."""
    topic = context.names.topic(stream)
    try:
        bounds, topic_id = context.log.bounds(topic), context.log.topic_id(topic)
    except TopicMissingError:
        return []
    others = [m.version for m in manifests if m.of(stream).topic_id not in ("", topic_id)]
    if others:
        raise TrimError(topic, f"it was created again, versions {others} stand on another one")
    floor = smallest_cut(manifests, stream, {p: at.start for p, at in bounds.items()})
    short = {p: (at, bounds[p].end) for p, at in floor.items() if at > bounds[p].end}
    if short:
        raise TrimError(topic, f"it ends below what versions stand on, as partition: (cut, end): {short}")
    spans = {p: (bounds[p].start, at) for p, at in floor.items() if at > bounds[p].start}
    files = dict.fromkeys(spans, 0)
    checked: set[str] = set()
    empty: set[tuple[int, int, int]] = set()
    for manifest in manifests if spans else ():
        logged = [e for e in manifest.archive_of(stream) if e.start is not None and e.upto is not None]
        for p, (start, upto) in spans.items():
            held = [e for e in logged if e.partition == p and _start(e) < upto and _upto(e) > start]
            for low, high in _uncovered(_covering(held), start, upto):
                if (p, low, high) not in empty:
                    _refuse_events(context, stream, manifest.version, p, low, high)
                    empty.add((p, low, high))
            for entry in held:
                if entry.file.path not in checked:
                    _compare(context, topic, entry)
                    checked.add(entry.file.path)
                    files[p] += 1
    return [Trim(stream.name, p, start, upto, files[p]) for p, (start, upto) in sorted(spans.items())]


def _compare(context: Context, topic: str, entry: ArchiveFile) -> None:
    try:
        context.store.check([entry.file])
    except DamagedFileError as error:
        raise TrimError(topic, error.fact.rstrip(".")) from error


def _refuse_events(context: Context, stream: Stream, version: int, partition: int, start: int, upto: int) -> None:
    """Raises TrimError if the log holds an event in [start, upto), which no file of a version covers."""
    topic = context.names.topic(stream)
    for found in read_range(context.log, topic, {partition: start}, {partition: upto}):
        events = decode(stream, found.records).table.num_rows
        if events:
            where = f"[{found.start}, {found.upto}) of partition {partition}"
            raise TrimError(topic, f"no file of version {version}'s archive covers {where}, which hold {events} events")


def _covering(entries: Sequence[ArchiveFile]) -> list[ArchiveFile]:
    """The files of a partition whose offsets say what they hold. A late file has those of its whole run, so it says
    nothing of the events in order, unless the run had none.
    """
    in_order = {entry.epoch for entry in entries if not entry.late}
    return [entry for entry in entries if not entry.late or entry.epoch not in in_order]


def _uncovered(entries: Iterable[ArchiveFile], start: int, upto: int) -> list[tuple[int, int]]:
    """The ranges of [start, upto) that no entry covers."""
    found, at = [], start
    for entry in sorted(entries, key=_start):
        if _start(entry) > at:
            found.append((at, _start(entry)))
        at = max(at, _upto(entry))
    return [*found, *([(at, upto)] if at < upto else [])]


def _start(entry: ArchiveFile) -> int:
    return entry.start or 0


def _upto(entry: ArchiveFile) -> int:
    return entry.upto or 0


def positions(trims: Iterable[Trim]) -> Mapping[str, int]:
    """Stream -> how many positions of its log."""
    found: dict[str, int] = {}
    for trim in trims:
        found[trim.stream] = found.get(trim.stream, 0) + trim.upto - trim.start
    return found
