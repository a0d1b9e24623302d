"""The manifest: everything that a version is, as one record (`slackwater.versions.record`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from slackwater.core.checked_files import checked_name
from slackwater.store.instruments import NO_INSTRUMENTS, Instruments
from slackwater.versions.errors import ManifestError
from slackwater.versions.proof import Proof, proof_from
from slackwater.versions.record import decode_record, encode_record

FORMAT = 3


@dataclass(frozen=True)
class Mark:
    """Where a version's cut stands in one partition. `run_id` None: the cut of a partition without a mark."""

    partition: int
    offset: int
    run_id: str | None


@dataclass(frozen=True)
class StoredFile:
    """A file that a version stands on. `path` is relative to the home folder, `rows` its number of rows.

    `sums` are the checksums of its blocks (`slackwater.core.checked_files`); they are compared when a block is read.
    """

    path: str
    size: int
    sha256: str
    rows: int
    sums: str

    def checked(self, home: Path) -> str:
        """The name by which it is read."""
        return checked_name(home / self.path, self.size, self.sums)


@dataclass(frozen=True)
class ArchiveFile:
    """Events of [start, upto) of a partition. `epoch` is the run that wrote it; imported history has no offsets."""

    file: StoredFile
    epoch: str
    partition: int
    start: int | None
    upto: int | None


@dataclass(frozen=True)
class ViewFile:
    """States of one view at one interval, of one shard."""

    file: StoredFile
    view: str
    interval: str
    shard: int


@dataclass(frozen=True)
class Duplicates:
    """How many events of an instrument's batch view have an id that an event before them has."""

    venue: str
    symbol: str
    events: int


@dataclass(frozen=True)
class Held:
    """A partition that could not be marked or read: the version keeps its parent's mark there, if there is one."""

    partition: int
    reason: str


@dataclass(frozen=True)
class Ledger:
    """The restatements that came with one version, `slackwater.restatements.restatement`. `counts` maps a cause ->
    how many.
    """

    file: StoredFile
    version: int
    created_us: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Manifest:
    """One version. Times in microseconds since the epoch, UTC.

    `topics` maps topic -> id; `marks` are the cut; `delta_start` maps partition -> the delta topic's end before the
    marks; `definitions` maps view -> definition hash; `counts` maps a name -> a number, over the whole archive;
    `duplicates` names the instruments that have some; `restatements` are its own and those of its ancestors, in order.
    `held` names partitions that stayed at the parent's cut.
    `candidate`: it was made beside its parent, over the same cut, and takes its place only by a promotion.
    """

    version: int
    parent: int
    run_id: str
    created_us: int
    topics: Mapping[str, str]
    marks: tuple[Mark, ...]
    delta_start: Mapping[int, int]
    definitions: Mapping[str, str]
    counts: Mapping[str, int]
    archive: tuple[ArchiveFile, ...]
    ids: tuple[StoredFile, ...]
    views: tuple[ViewFile, ...]
    instruments: Instruments
    proof: Proof
    timings_ms: Mapping[str, int]
    duplicates: tuple[Duplicates, ...] = ()
    restatements: tuple[Ledger, ...] = ()
    candidate: bool = False
    held: tuple[Held, ...] = ()

    @property
    def dataset(self) -> list[StoredFile]:
        """The files that the versions after it stand on, too: archive, ids and restatements."""
        return [*(entry.file for entry in self.archive), *self.ids, *(ledger.file for ledger in self.restatements)]

    @property
    def restated(self) -> Mapping[str, int]:
        """Cause -> restatements that came with this version, not with its ancestors."""
        return next((ledger.counts for ledger in self.restatements if ledger.version == self.version), {})

    @property
    def cut(self) -> dict[int, int]:
        """Partition -> offset: batch below it, speed from it."""
        return {mark.partition: mark.offset for mark in self.marks}

    def files_of(self, view: str, interval: str) -> tuple[ViewFile, ...]:
        """The files of one view at one published interval."""
        return tuple(file for file in self.views if (file.view, file.interval) == (view, interval))


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's file."""
    body = {"format": FORMAT, **asdict(replace(manifest, instruments=NO_INSTRUMENTS))}
    body["delta_start"] = {str(p): at for p, at in manifest.delta_start.items()}
    body["instruments"] = manifest.instruments.facts()
    return encode_record(body)


def decode_manifest(data: bytes) -> Manifest:
    """The manifest of a file's bytes.

    Raises:
        ManifestError: it is torn, changed, or of another format.
    """
    body = decode_record(data, Path("A manifest"))
    try:
        if body.pop("format") != FORMAT:
            raise ManifestError("A manifest has another format.", f"This program reads format {FORMAT}.")
        body["delta_start"] = {int(p): at for p, at in body["delta_start"].items()}
        body["marks"] = tuple(Mark(**mark) for mark in body["marks"])
        body["archive"] = tuple(_with_file(ArchiveFile, entry) for entry in body["archive"])
        body["views"] = tuple(_with_file(ViewFile, entry) for entry in body["views"])
        body["ids"] = tuple(StoredFile(**entry) for entry in body["ids"])
        body["instruments"] = Instruments.from_facts(body["instruments"])
        body["duplicates"] = tuple(Duplicates(**entry) for entry in body.get("duplicates", ()))
        body["restatements"] = tuple(map(ledger_from, body.get("restatements", ())))
        body.setdefault("candidate", False)
        body["held"] = tuple(Held(**entry) for entry in body.get("held", ()))
        body["proof"] = proof_from(body["proof"])
        return Manifest(**{field.name: body[field.name] for field in fields(Manifest)})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ManifestError(f"A manifest cannot be read: {error!r}.") from error


def ledger_from(entry: dict[str, Any]) -> Ledger:
    """The ledger of its JSON object. Raises KeyError or TypeError if it is none."""
    found: Ledger = _with_file(Ledger, entry)
    return found


def _with_file(kind: Any, entry: dict[str, Any]) -> Any:
    return kind(**{**entry, "file": StoredFile(**entry["file"])})
