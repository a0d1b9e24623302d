"""Garbage: the names under home of files and folders that no retained version, snapshot and running process needs.

    versions/<n>     retired, or without a manifest where no run is going; the highest number's folder stays, since
                     it is what keeps a number from being taken twice
    archive/<epoch>, states/<run id>, lists/<run id>, spill/<run id>
                     what no kept manifest and no move lists, unless a running process writes it

It is listed under the publish lock and removed after it: nothing that starts later needs any of it. Listing never
decides what the archive *is*; manifests do.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from slackwater.store.lists import Listed, listed
from slackwater.versions.leases import Lease
from slackwater.versions.manifest import LISTED, Manifest
from slackwater.versions.reader import MANIFEST, RETIRED
from slackwater.versions.store import VersionStore

_LAST = (MANIFEST, RETIRED)
"""What goes last, in this order: a manifest without its retirement would be a version that is kept."""


def garbage(
    store: VersionStore,
    keep: Iterable[Manifest],
    snapshots: Iterable[Manifest],
    retire: Iterable[int],
    leases: Iterable[Lease],
) -> Iterator[str]:
    """What may be removed, in the order in which it is to be. `retire` goes altogether: it is retired by now, or about
    to be.
    """
    leases = list(leases)
    kept, held = list(keep), list(snapshots)
    needed = {*_listed(store, [*kept, *held])}
    needed |= {entry.file.path for manifest in kept for entry in manifest.ids}  # a snapshot needs none
    needed |= {ledger.file.path for ledger in store.moves.ledgers()}
    needed |= {*_of_corrections(store, kept)}
    numbers = store.numbers()
    oldest = min((manifest.version for manifest in kept), default=0)
    retired = {*retire, *(n for n in numbers if RETIRED in store.folder_names(n))}
    standing = {manifest.version for manifest in (*kept, *held)}
    for number in numbers:
        if number in standing:
            continue
        if number in retired or not (MANIFEST in store.folder_names(number) or any(lease.run for lease in leases)):
            # What a failed proof left is for people to read, until all that was published then is gone.
            evidence = number > oldest and number not in retired
            yield from _version(store, number, number == numbers[-1], evidence)
    leased = {epoch for lease in leases for epoch in lease.epochs}
    for root in ("archive", "states", "lists", "spill"):
        yield from _unlisted(store, root, needed, leased)


def _listed(store: VersionStore, manifests: Iterable[Manifest]) -> Iterator[str]:
    """The files of archive, parts and restatements, and the lists that name them: a list that versions share is gone
    through once, so this is in proportion to what there is, and not to that times the versions.
    """
    known: set[tuple[str, str]] = set()
    for manifest in manifests:
        for kind in LISTED:
            entries: Listed[Any] = listed(getattr(manifest, kind))
            yield from (entry.file.path for entry in entries.own)
            for file in entries.files:
                if (kind, file.sha256) not in known:
                    known.add((kind, file.sha256))
                    yield from (entry.file.path for entry in store.load(kind, file))
                yield file.path


def _of_corrections(store: VersionStore, kept: Iterable[Manifest]) -> Iterator[str]:
    """What was taken out, for ever; and what is to take its place, until every version that is kept has it."""
    applied = min((manifest.corrected for manifest in kept), default=0)
    for correction in store.corrections.all():
        yield from (file.path for file in (correction.files if correction.number > applied else [correction.file]))


def _version(store: VersionStore, number: int, stays: bool, evidence: bool) -> Iterator[str]:
    folder = f"versions/{number}"
    names = store.folder_names(number)
    if evidence and "handoff.json" in names:
        yield from (f"{folder}/{name}" for name in names if name != "handoff.json")
        return
    yield from (f"{folder}/{name}" for name in names if name not in _LAST)
    if stays:
        yield from (f"{folder}/{name}" for name in names if name == _LAST[0])
        return
    yield from (f"{folder}/{name}" for name in _LAST)
    yield folder


def _unlisted(store: VersionStore, root: str, listed: set[str], leased: set[str]) -> Iterator[str]:
    for epoch in store.data.names(root):
        if epoch in leased:
            continue
        names = [*_below(store, f"{root}/{epoch}")]
        if listed.isdisjoint(names):
            yield f"{root}/{epoch}"
        else:
            yield from (name for name in names if name not in listed)


def _below(store: VersionStore, folder: str) -> Iterator[str]:
    """The files in a folder and in those below it."""
    for each in store.data.names(folder):
        name = f"{folder}/{each}"
        if store.data.names(name):
            yield from _below(store, name)
        else:
            yield name
