"""What is kept: which versions, and down to which positions the log and the delta topic are needed. No Kafka here.

There are two sets. The rollback set holds log and deltas; snapshots hold their archive and parts alone, and nothing
goes on from one (`slackwater.versions.snapshots`).

kept      what the pointer names, what a server falls back on, the newest N, the newest N that were published and
          not rolled back from, and what a running process leases
floors    per stream and partition the smallest over what is kept, no snapshot among it, and never by age: two cuts
          may cross, {0: 3, 1: 5} and {0: 5, 1: 3}; a version that does not know a partition needs all of it
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError, ManifestError, NoSuchVersionError, RecordError
from slackwater.versions.manifest import Manifest
from slackwater.versions.reader import MANIFEST, RETIRED
from slackwater.versions.snapshots import Schedule, scheduled
from slackwater.versions.store import VersionStore


def smallest_cut(manifests: Iterable[Manifest], stream: Stream | str, starts: Mapping[int, int]) -> dict[int, int]:
    """Partition -> the smallest cut of a stream. `starts` are the log's first offsets, the cut of whoever does not
    know better.
    """
    cuts = [manifest.cut(stream) for manifest in manifests]
    return {p: min((cut.get(p, at) for cut in cuts), default=at) for p, at in starts.items()}


def smallest_delta_start(
    manifests: Iterable[Manifest], stream: Stream | str, deltas_id: str, partitions: Iterable[int]
) -> dict[int, int]:
    """Partition -> the first delta of a stream that is needed; 0 where a version knows no better, or knows another
    topic.
    """
    known = [manifest.of(stream) for manifest in manifests]
    starts = [own.delta_start if own.deltas_id == deltas_id else {} for own in known]
    return {p: min((start.get(p, 0) for start in starts), default=0) for p in partitions}


State = Literal["current", "retained", "snapshot", "candidate", "rolled back", "retired", "unreadable"]


def states(store: VersionStore) -> dict[int, State]:
    """What became of each published version that is not removed yet, by number.

    Raises:
        PointerError, RecordError: it is unknown.
    """
    current, gone = store.pointer().version, store.withdrawn()
    manifests = store.readable()
    readable, candidates = {manifest.version for manifest in manifests}, store.candidates(manifests)
    found: dict[int, State] = {}
    for number in store.numbers():
        names = store.folder_names(number)
        if number == current:
            found[number] = "current"
        elif number in candidates:
            found[number] = "candidate"
        elif number in readable:
            found[number] = "rolled back" if number in gone else "retained"
        elif RETIRED in names or MANIFEST in names:
            found[number] = (
                ("snapshot" if _is_snapshot(store, number) else "retired") if RETIRED in names else "unreadable"
            )
    return found


def answering(store: VersionStore) -> list[Manifest]:
    """The manifests of all that answers `as_of`, newest first, as far as they can be read."""
    found = store.readable()
    for number in store.numbers():
        if _is_snapshot(store, number):
            with suppress(NoSuchVersionError, ManifestError):
                found.append(store.answering(number))
    return sorted(found, key=lambda manifest: manifest.version, reverse=True)


class Plan(NamedTuple):
    """What is kept and what is to be retired, by number. `unreadable`: kept, and it is unknown which files it needs."""

    keep: tuple[Manifest, ...]
    retire: tuple[int, ...]
    unreadable: tuple[int, ...]


def fallback(store: VersionStore, version: int) -> int | None:
    """The newest version below `version` that a server would turn to, its files compared; None if there is none.

    Raises:
        RecordError: it is unknown what was rolled back from.
    """
    gone = store.withdrawn()
    for manifest in store.whole():
        if manifest.version < version and manifest.version not in gone:
            try:
                store.check(file.file for file in manifest.parts)
            except DamagedFileError:
                continue
            return manifest.version
    return None


def plan(store: VersionStore, keep: int, current: int, behind: int | None, leased: Iterable[int]) -> Plan:
    """Which versions stay. The caller holds the publish lock; `behind` is the `fallback` of `current`.

    A number counts as published while it has a manifest, be it damaged: then it is kept, too, while it is among the
    newest, and retired like any other after that.

    Raises:
        RecordError: it is unknown what was rolled back from.
    """
    gone = store.withdrawn()
    readable = {manifest.version: manifest for manifest in store.retained()}
    numbers = [n for n in reversed(store.numbers()) if _is_published(store, n)]
    gone |= store.candidates(readable.values())  # they take no published version's place
    stay = {current, behind, *leased, *numbers[:keep], *[n for n in numbers if n not in gone][:keep]}
    return Plan(
        tuple(readable[n] for n in numbers if n in stay and n in readable),
        tuple(n for n in numbers if n not in stay),
        tuple(n for n in numbers if n in stay and n not in readable),
    )


class Snapshots(NamedTuple):
    """What stays as snapshots, and what is retired altogether, by number. `unreadable`: snapshots that stay, and it is
    unknown which files they need.
    """

    keep: tuple[Manifest, ...]
    retire: tuple[int, ...]
    unreadable: tuple[int, ...]


def plan_snapshots(store: VersionStore, chosen: Plan, now_us: int, schedule: Schedule) -> Snapshots:
    """What becomes of the versions that leave the rollback set, and of the snapshots. The caller holds the lock.

    Candidates that were never promoted are none, unless they are pinned.

    Raises:
        RecordError: it is unknown which are pinned.
    """
    before = [number for number in store.numbers() if _is_snapshot(store, number) and number not in chosen.retire]
    pinned = store.pins.of_versions().keys()
    manifests, unreadable = list(chosen.keep), list[int]()
    for number in (*chosen.retire, *before):
        try:
            manifests.append(store.stored_manifest(number))
        except ManifestError:
            if number in before or number in pinned:
                unreadable.append(number)
    never_served = store.candidates(manifests)
    times = {m.version: m.published_us for m in manifests if m.version not in never_served}
    stay = {*scheduled(times, now_us, schedule), *pinned}
    leaving = sorted((*chosen.retire, *before), reverse=True)
    manifests.sort(key=lambda manifest: manifest.version, reverse=True)
    return Snapshots(
        tuple(m for m in manifests if m.version in stay and m.version in leaving),
        tuple(n for n in leaving if n not in stay and n not in unreadable),
        tuple(unreadable),
    )


def standing(store: VersionStore, chosen: Plan, leased: Iterable[int]) -> tuple[tuple[Manifest, ...], tuple[int, ...]]:
    """The manifests that something stands on: kept, or retired and leased all the same; and those nobody can read."""
    manifests, unreadable = list(chosen.keep), list(chosen.unreadable)
    for version in sorted(set(leased) - {0, *(manifest.version for manifest in manifests), *unreadable}):
        try:
            manifests.append(store.stored_manifest(version))
        except NoSuchVersionError:  # retired and gone; its lease holder sees that, too
            continue
        except ManifestError:
            unreadable.append(version)
    return tuple(manifests), tuple(unreadable)


def _is_snapshot(store: VersionStore, number: int) -> bool:
    try:
        return store.retirement(number) == "snapshot"
    except RecordError:  # neither served nor removed, until its turn comes as that of any other
        return False


def _is_published(store: VersionStore, number: int) -> bool:
    if MANIFEST not in store.folder_names(number):
        return False
    try:
        return not store.retired(number)
    except RecordError:  # it is kept until its turn comes, and retired again then
        return True
