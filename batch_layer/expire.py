"""Expiry removes what no retained version and no running process needs. By position only, never by age.

    1  retire versions, durably, under the publish lock       rollback and servers refuse them from now on; some stay
                                                              as snapshots, which answer `as_of` from their files
    2  remove deltas below the smallest delta_start kept       DeleteRecords
    3  remove files and folders that nobody lists, no snapshot either

What 2 and 3 remove is decided together with 1, under the lock: what appears later is not on the list. So it may die
anywhere and be run again, beside a publisher, a rollback or another expiry. The event log itself loses nothing.
"""

from dataclasses import dataclass, replace

from batch_layer.errors import BatchError
from slackwater.context import Context
from slackwater.core.clock import Clock
from slackwater.core.faults import reach
from slackwater.log.errors import TopicMissingError
from slackwater.versions.garbage import garbage
from slackwater.versions.history import note_left
from slackwater.versions.manifest import Manifest
from slackwater.versions.pointer import NOTHING
from slackwater.versions.retention import fallback, plan, plan_snapshots, smallest_delta_start, standing
from slackwater.versions.snapshots import NO_SNAPSHOTS, Schedule
from slackwater.versions.store import VersionStore

_TRIES = 5


@dataclass(frozen=True)
class Expired:
    """What one expiry did, or would do. `deltas`: (stream, partition, its first delta from now on), where that moved;
    `delta_positions` is how many positions of the delta topics that is.

    `retained` is the rollback set, `snapshots` are those that stay, `retired` went altogether; `names` are of the files
    and folders that go, relative to the home. `waiting` says why deltas or files stay although versions were retired;
    empty where they do not.
    """

    retained: tuple[int, ...] = ()
    retired: tuple[int, ...] = ()
    snapshots: tuple[int, ...] = ()
    deltas: tuple[tuple[str, int, int], ...] = ()
    delta_positions: int = 0
    names: tuple[str, ...] = ()
    waiting: str = ""


def expire(context: Context, keep: int, dry_run: bool = False, schedule: Schedule = NO_SNAPSHOTS) -> Expired:
    """Keep the newest `keep` versions (at least 1), what `slackwater.versions.retention` adds to them, and snapshots by
    their schedule.

    Raises:
        PointerError, RecordError, BatchError: it is unknown what is needed; nothing was removed.
        LogError: deltas could not be removed; versions may be retired, and the next expiry goes on.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}")
    reach("expire.before")
    done, manifests, nothing_below = _retire(context.store, context.clock, keep, dry_run, schedule)
    if not manifests:
        return done
    deltas, starts = ({}, 0) if nothing_below else _deltas(context, manifests)
    moved = tuple((name, p, at) for name, of in sorted(deltas.items()) for p, at in sorted(of.items()))
    done = replace(done, deltas=moved, delta_positions=sum(at for _, _, at in moved) - starts)
    if not dry_run:
        reach("expire.deltas")
        for name, of in deltas.items():
            context.log.delete_before(context.names.deltas(name), of)
        for name in done.names:
            reach("expire.remove")
            context.store.data.remove(name)
    reach("expire.after")
    return done


def _retire(
    store: VersionStore, clock: Clock, keep: int, dry_run: bool, schedule: Schedule
) -> tuple[Expired, tuple[Manifest, ...], bool]:
    """Retire, and list what may go; the manifests whose deltas stay; whether a process stands on version 0."""
    for _ in range(_TRIES):
        pointer = store.pointer()
        if pointer == NOTHING:
            return Expired(), (), True
        behind = fallback(store, pointer.version)  # reads files, so before the lock
        with store.locked():
            if store.pointer() != pointer:
                continue
            leases = store.leases.active()
            leased = {version for lease in leases for version in lease.versions}
            chosen = plan(store, keep, pointer.version, behind, leased)
            snapshots = plan_snapshots(store, chosen, clock.now_us(), schedule)
            if not dry_run:
                if snapshots.retire:
                    note_left(store, snapshots.retire)
                for version in sorted({*chosen.retire, *snapshots.retire}, reverse=True):
                    reach("expire.retire")
                    store.retire(version, clock.now_us(), version not in snapshots.retire)
                store.leases.remove_expired(store.leases.expired())
            # A server that took its lease before it could see its version retired goes on with it.
            leases = store.leases.active()
            leased = {version for lease in leases for version in lease.versions}
            stay, unreadable = standing(store, chosen, leased)
            done = Expired(
                tuple(manifest.version for manifest in chosen.keep),
                snapshots.retire,
                tuple(manifest.version for manifest in snapshots.keep),
            )
            if unreadable:
                return replace(done, waiting=_unknown(unreadable)), (), True
            if snapshots.unreadable:  # of a snapshot no delta is needed, whatever it says
                return replace(done, waiting=_unknown(snapshots.unreadable)), stay, 0 in leased
            names = tuple(garbage(store, stay, snapshots.keep, snapshots.retire, leases))
            return replace(done, names=names), stay, 0 in leased
    raise BatchError("The pointer moved each time that it was looked at.", "Run it again.")


def _unknown(versions: tuple[int, ...]) -> str:
    return f"Nobody knows what these versions stand on, they cannot be read: {versions}."


def _deltas(context: Context, manifests: tuple[Manifest, ...]) -> tuple[dict[str, dict[int, int]], int]:
    """Stream -> partition -> the first delta that is needed, where that is another than now; the sum of those."""
    found, starts = {}, 0
    for name in sorted({name for manifest in manifests for name in manifest.streams}):
        topic = context.names.deltas(name)
        try:
            bounds, deltas_id = context.log.bounds(topic), context.log.topic_id(topic)
        except TopicMissingError:  # a stalled stream, or one that was dropped: nothing to remove
            continue
        needed = smallest_delta_start(manifests, name, deltas_id, bounds)
        short = {p: (at, bounds[p].end) for p, at in needed.items() if at > bounds[p].end}
        if short:
            raise BatchError(f"{topic} ends below what versions know of it, as partition: (known, end): {short}.")
        if moved := {p: at for p, at in needed.items() if at > bounds[p].start}:
            found[name] = moved
            starts += sum(bounds[p].start for p in moved)
    return found, starts
