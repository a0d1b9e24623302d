"""The manifest: everything that a version is, as one record (`slackwater.versions.record`)."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from slackwater.core.checked_files import checked_name
from slackwater.store.files import Locate
from slackwater.store.instruments import NO_INSTRUMENTS, Instruments
from slackwater.store.layout import SLICE_ROWS
from slackwater.store.lists import Listed, ListFile, listed
from slackwater.streams.stream import Stream
from slackwater.versions.errors import FormatError, ManifestError
from slackwater.versions.proof import Proof, joined, proofs_from
from slackwater.versions.record import decode_record, encode_record
from slackwater.views.interval import parse_interval

FORMAT = 6
MONTH = parse_interval("1M")


@dataclass(frozen=True)
class Mark:
    """Where a version's cut stands in one partition. `run_id` None: the cut of a partition without a mark."""

    partition: int
    offset: int
    run_id: str | None


@dataclass(frozen=True)
class StoredFile:
    """A file of a version. `path` is its name, relative to the home, `rows` its number of rows.

    `sums` are the checksums of its blocks (`slackwater.core.checked_files`); they are compared when a block is read.
    """

    path: str
    size: int
    sha256: str
    rows: int
    sums: str

    def checked(self, locate: Locate) -> str:
        """The name by which it is read where `locate` has it, with its checksums."""
        return checked_name(locate(self), self.size, self.sums)


@dataclass(frozen=True)
class ArchiveFile:
    """Events of [start, upto) of a partition, written by the run `epoch`; imported history has no offsets. `version`
    took it in; 0 while none has. `low` and `high` are the times of its first and its last event, in microseconds.
    A `late` file holds old events of all the run's offsets, by entity and time, the others are in the order of the log.
    """

    file: StoredFile
    stream: str
    epoch: str
    partition: int
    start: int | None
    upto: int | None
    low: int
    high: int
    version: int = 0
    late: bool = False


@dataclass(frozen=True)
class IdFile:
    """The identities of one epoch's events of a stream."""

    file: StoredFile
    stream: str


@dataclass(frozen=True)
class Part:
    """States of one view at one interval, of one shard, in a file that every version shares which lists it.

    All parts of a view, interval and shard together are its states: the same bar may be in several, and is merged when
    it is read. `low` and `high` are the starts of its first and last bar. `made` are the first and the last version of
    its line that computed rows of it: one number as a run made it. As a run made it, it holds the events that the
    versions from `since` on took into the archive.
    """

    file: StoredFile
    view: str
    interval: str
    shard: int
    low: int
    high: int
    made: tuple[int, int]
    since: int

    def made_by(self, version: int) -> bool:
        """Whether all of it was computed by that version."""
        return self.made == (version, version)

    def holds(self, version: int) -> bool:
        """Whether a version of its line may have computed rows of it; of a view made again, none before that did."""
        return self.made[0] <= version <= self.made[1]


@dataclass(frozen=True)
class Duplicates:
    """How many events of an entity in the archive have an id that an event before them has."""

    stream: str
    entity: tuple[str, ...]
    events: int


@dataclass(frozen=True)
class Held:
    """A partition that could not be marked or read: the version keeps its parent's mark there, if there is one."""

    partition: int
    reason: str


@dataclass(frozen=True)
class Ledger:
    """The restatements that came with one version (`slackwater.restatements.ledger`); `counts` by cause."""

    file: StoredFile
    version: int
    created_us: int
    counts: Mapping[str, int]


Kind = Literal["stream", "view"]


@dataclass(frozen=True)
class Dropped:
    """A stream or a view that the parent has and this version does not: who removed it, when and why."""

    kind: Kind
    name: str
    by: str
    reason: str
    at_us: int


@dataclass(frozen=True)
class StreamCut:
    """Where a version stands in one stream.

    `topic_id` and `deltas_id` are the ids of its two topics; `marks` are the cut; `delta_start` maps partition -> the
    delta topic's end before the marks; `held` names partitions that stayed at the parent's cut, and why.
    """

    topic_id: str
    deltas_id: str
    marks: tuple[Mark, ...] = ()
    delta_start: Mapping[int, int] = field(default_factory=dict)
    held: tuple[Held, ...] = ()

    @property
    def cut(self) -> dict[int, int]:
        """Partition -> offset: batch below it, speed from it."""
        return {mark.partition: mark.offset for mark in self.marks}


UNKNOWN = StreamCut("", "")
"""Of a stream that a version does not know."""


@dataclass(frozen=True)
class Manifest:
    """One version. Times in microseconds since the epoch, UTC.

    `streams` maps a stream's name -> where the version stands in it, `proofs` -> its proof, `instruments` -> its own,
    `counts` -> a name -> a number, over the whole archive; `definitions` maps view -> definition hash, `sources` view
    -> the stream that it is of; `duplicates` names the entities that have some; `restatements` are its own and those
    of its ancestors, in order. `archive`, `parts` and `restatements` may lie in files of their own, which are read when
    somebody asks (`slackwater.store.lists`): that may raise ManifestError.
    `open` are the versions of its line that made some of its parts and whose hand-off nobody has proven yet.
    `published_us` is when the pointer came to it, timed under the publish lock, later than every time before it
    (`slackwater.versions.history`); of a candidate, when it was made.
    `corrected` is the number of the ledger of corrections up to which the archive is without the events that it names;
    `corrections` are those that came with this version.
    `candidate`: it was made beside its parent, over the same cut, and takes its place only by a promotion.
    """

    version: int
    parent: int
    run_id: str
    created_us: int
    streams: Mapping[str, StreamCut]
    definitions: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    archive: Sequence[ArchiveFile] = ()
    ids: tuple[IdFile, ...] = ()
    parts: Sequence[Part] = ()
    open: tuple[int, ...] = ()
    instruments: Mapping[str, Instruments] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[Duplicates, ...] = ()
    restatements: Sequence[Ledger] = ()
    corrected: int = 0
    corrections: tuple[int, ...] = ()
    candidate: bool = False
    dropped: Dropped | None = None
    published_us: int = 0

    @property
    def proof(self) -> Proof:
        """What is known of all streams together; see `slackwater.versions.proof.joined`."""
        return joined(self.proofs)

    @property
    def dataset(self) -> list[StoredFile]:
        """The files that later versions need, too: archive, ids and restatements."""
        archive, ids, ledgers = ([entry.file for entry in of] for of in (self.archive, self.ids, self.restatements))
        return [*archive, *ids, *ledgers]

    @property
    def lists(self) -> list[ListFile]:
        """The files of its lists."""
        return [file for kind in LISTED for file in listed(getattr(self, kind)).files]

    @property
    def held(self) -> list[StoredFile]:
        """The files that a run takes over without reading what they were made of: ids and parts."""
        return [*(entry.file for entry in self.ids), *(part.file for part in self.parts)]

    @property
    def restated(self) -> Mapping[str, int]:
        """Cause -> restatements that came with this version, not with its ancestors."""
        return next((ledger.counts for ledger in self.restatements if ledger.version == self.version), {})

    @property
    def cuts(self) -> dict[str, dict[int, int]]:
        """Stream -> partition -> offset."""
        return {name: own.cut for name, own in self.streams.items()}

    def of(self, stream: Stream | str) -> StreamCut:
        """Where it stands in a stream; `UNKNOWN` if it does not know it."""
        return self.streams.get(_name(stream), UNKNOWN)

    def cut(self, stream: Stream | str) -> dict[int, int]:
        """Partition -> offset of a stream: batch below it, speed from it."""
        return self.of(stream).cut

    def count(self, name: str) -> int:
        """One of the counts, over all streams."""
        return sum(counts.get(name, 0) for counts in self.counts.values())

    def archive_of(self, stream: Stream | str) -> tuple[ArchiveFile, ...]:
        """The archive of a stream, in order."""
        return tuple(entry for entry in self.archive if entry.stream == _name(stream))

    def taken_in(self, stream: Stream | str, after: int) -> tuple[ArchiveFile, ...]:
        """What the versions of its line after one took into the archive of a stream, in order."""
        newest = takewhile(lambda entry: entry.version > after, listed(self.archive).backwards())
        return tuple(entry for entry in newest if entry.stream == _name(stream))[::-1]

    def ids_of(self, stream: Stream | str) -> tuple[StoredFile, ...]:
        """The files of a stream's identities, in order."""
        return tuple(entry.file for entry in self.ids if entry.stream == _name(stream))

    def instruments_of(self, stream: Stream | str) -> Instruments:
        """What a stream has events of."""
        return self.instruments.get(_name(stream), NO_INSTRUMENTS)

    def parts_of(self, view: str, interval: str) -> tuple[Part, ...]:
        """The parts of one view at one published interval."""
        return tuple(part for part in self.parts if (part.view, part.interval) == (view, interval))

    def makes(self, version: int) -> bool:
        """Whether a version of its line computed some of its parts."""
        return any(part.holds(version) for part in self.parts)

    @property
    def own(self) -> tuple[Part, ...]:
        """The parts that its run computed."""
        return tuple(part for part in self.parts if part.made_by(self.version))


def month_of(part: Part) -> int | None:
    """The start of the month of a part that lies in one, as a slice of days does; None of a wide one."""
    first = MONTH.floor(part.low)
    return first if part.file.rows >= SLICE_ROWS and MONTH.floor(part.high) == first else None


def _name(stream: Stream | str) -> str:
    return stream if isinstance(stream, str) else stream.name


def empty_manifest(streams: Mapping[str, StreamCut]) -> Manifest:
    """Version 0: nothing in batch, each cut at its log's first retained offsets."""
    return Manifest(version=0, parent=0, run_id="", created_us=0, streams=streams)


def first_cut(topic_id: str, deltas_id: str, starts: Mapping[int, int]) -> StreamCut:
    """Where version 0 stands in a stream. `starts` maps partition -> its first retained offset."""
    marks = tuple(Mark(p, at, None) for p, at in sorted(starts.items()))
    return StreamCut(topic_id, deltas_id, marks, dict.fromkeys(starts, 0))


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's file."""
    body = {"format": FORMAT, **asdict(replace(manifest, instruments={}, archive=(), parts=(), restatements=()))}
    for kind in LISTED:
        of = listed(getattr(manifest, kind))
        body[kind] = {"files": [vars(file) for file in of.files], "entries": [*map(_facts, of.own)]}
    body["instruments"] = {name: own.facts() for name, own in manifest.instruments.items()}
    return encode_record(body)


def encode_list(entries: Iterable[Any]) -> bytes:
    """The file of a list."""
    return encode_record({"entries": [*map(_facts, entries)]})


def _facts(entry: Any) -> dict[str, Any]:
    """As `asdict`, which copies every value and takes twenty times as long."""
    return {name: vars(value) if isinstance(value, StoredFile) else value for name, value in vars(entry).items()}


def decode_list(kind: str, data: bytes, path: Path) -> tuple[Any, ...]:
    """The entries of a file of a list. Raises ManifestError."""
    try:
        return tuple(map(LISTED[kind], decode_record(data, path)["entries"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path} cannot be read: {error!r}.") from error


def decode_manifest(data: bytes, load: Callable[[str, ListFile], tuple[Any, ...]] | None = None) -> Manifest:
    """The manifest of a file's bytes; `load` reads the entries of a file of one of its lists, by the list's name.

    Raises:
        FormatError: it is of another format.
        ManifestError: it is torn or changed.
    """
    refuse_older(data)
    body = decode_record(data, Path("A manifest"))
    try:
        if (found := body.pop("format")) != FORMAT:
            raise FormatError(found, FORMAT)
        body["streams"] = {name: _stream_from(entry) for name, entry in body["streams"].items()}
        for kind, entry_from in LISTED.items():
            files = (ListFile(**file) for file in body[kind]["files"])
            own = map(entry_from, body[kind]["entries"])
            body[kind] = Listed(files, own, None if load is None else partial(load, kind))
        body["open"], body["corrections"] = tuple(body["open"]), tuple(body["corrections"])
        body["ids"] = _with_files(IdFile, body["ids"])
        body["instruments"] = {name: Instruments.from_facts(facts) for name, facts in body["instruments"].items()}
        body["duplicates"] = tuple(Duplicates(**{**of, "entity": tuple(of["entity"])}) for of in body["duplicates"])
        body["proofs"] = proofs_from(body["proofs"])
        body["dropped"] = Dropped(**body["dropped"]) if body["dropped"] is not None else None
        return Manifest(**{field.name: body[field.name] for field in fields(Manifest)})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ManifestError(f"A manifest cannot be read: {error!r}.") from error


def stream_facts(own: StreamCut) -> dict[str, Any]:
    """Where a version stands in a stream, as JSON."""
    return {**asdict(own), "delta_start": {str(p): at for p, at in own.delta_start.items()}}


def _stream_from(entry: dict[str, Any]) -> StreamCut:
    entry["marks"] = tuple(Mark(**mark) for mark in entry["marks"])
    entry["held"] = tuple(Held(**held) for held in entry["held"])
    entry["delta_start"] = {int(p): at for p, at in entry["delta_start"].items()}
    return StreamCut(**entry)


def refuse_older(data: bytes) -> None:
    """Raises FormatError for a pointer or a manifest of an older program. Up to format 3 they were no records."""
    try:
        document = json.loads(data)
        found = document["manifest"]["format"] if "manifest" in document else 3 if "check" in document else FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        return  # torn: who reads it says how
    if found != FORMAT:
        raise FormatError(found, FORMAT)


def ledger_from(entry: dict[str, Any]) -> Ledger:
    """The ledger of its JSON object. Raises KeyError or TypeError if it is none."""
    found: Ledger = _with_files(Ledger, [entry])[0]
    return found


def _part_from(entry: dict[str, Any]) -> Part:
    first, last = entry["made"]
    return Part(**{**entry, "file": StoredFile(**entry["file"]), "made": (first, last)})


def archive_file_from(entry: dict[str, Any]) -> ArchiveFile:
    """The archive file of its JSON object. Raises KeyError or TypeError if it is none."""
    return ArchiveFile(**{**entry, "file": StoredFile(**entry["file"])})


def _with_files(kind: Any, entries: Iterable[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(kind(**{**entry, "file": StoredFile(**entry["file"])}) for entry in entries)


LISTED: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "archive": archive_file_from,
    "parts": _part_from,
    "restatements": ledger_from,
}
"""The lists of a manifest, and how an entry is made of its JSON object."""
