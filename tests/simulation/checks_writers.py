"""What must hold of corrections and imports, beside what `checks.py` asks of every answer and every version."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ingest.archive_import import ImportedEpoch
from slackwater.corrections.selection import Selection
from slackwater.log.events import decode
from slackwater.streams.event import decode_event
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from tests.simulation.light import parquet
from tests.simulation.log import Place as Slot
from tests.simulation.past import Id, Named, Place, epochs_of, ids_in
from tests.simulation.streams import line_of

if TYPE_CHECKING:
    from tests.simulation.world import World

PROBED = 20
"""Ids that are offered again at the end, at most."""


class Event(NamedTuple):
    """One event of the log or, without a place, of an import."""

    id: Id
    time: int
    place: Place | None
    epoch: str


def events_of(world: "World", stream: Stream, manifest: Manifest) -> list[Event]:
    """Every event of the log as it is, and every one that a version's imports brought, in the order of an archive."""
    found = []
    for p in range(len(world.parts(stream))):
        records = world.log.book.now[Slot(world.topic_ids[stream.name], p)].records
        table = decode(stream, records).table
        places = zip(*(table.column(name).to_pylist() for name in ("offset", "index", stream.time)), strict=True)
        found += [
            Event(id_, time, (p, at, i), "") for id_, (at, i, time) in zip(ids_in(stream, table), places, strict=True)
        ]
    for epoch in sorted(epochs_of(manifest, stream)):
        for id_, line in world.past.imported[epoch].items():
            found.append(Event(id_, event_of(line, world).time, None, epoch))
    return found


def event_of(line: bytes, world: "World") -> Any:
    """The event of a line that ingest takes; None of any other."""
    try:
        return decode_event(TRADES, line, world.clock.now_us() + 60_000_000)
    except RefusedError:
        return None


def is_gone(event: Event, named: list[Named]) -> bool:
    """Whether some of these corrections take it out."""
    if event.place is None:
        return any((event.epoch, event.id) in each.rows for each in named)
    return any(event.place in each.places for each in named)


# what a correction writes down


def seen(world: "World", stream: Stream) -> list[Event]:
    """What a correction that begins now must see: what comes later it may see."""
    return events_of(world, stream, world.manifest_of(world.pointed))


def check_recorded(world: "World", stream: Stream, selection: Selection | None, before: list[Event]) -> None:
    """The ledger's newest correction names what was asked for, all of it, and nothing else."""
    *others, newest = world.past.named(world.streams)
    others = [each for each in others if each.stream == stream.name]
    now = events_of(world, stream, world.manifest_of(world.pointed))
    named = [event for event in now if is_gone(event, [newest])]
    assert len(named) == len(newest.places) + len(newest.rows), f"{newest} names what nobody has"
    if selection is None:
        _check_duplicates(world, stream, now, named, others)
        return
    wrong = [event for event in named if not _asked(event, selection)]
    assert not wrong, f"{selection} takes out {wrong}"
    missed = [e for e in before if _asked(e, selection) and e not in named and not is_gone(e, others)]
    assert not missed, f"{selection} misses {missed}"
    manifest = world.store.current()
    cut = {} if manifest is None else manifest.cut(stream)
    behind = any(event.place and event.place[1] >= cut.get(event.place[0], 0) for event in named)
    world.trace.count("corrections of what is not archived yet", behind)


def _asked(event: Event, selection: Selection) -> bool:
    if selection.epoch and event.epoch != selection.epoch:
        return False
    if selection.entity is not None and event.id[0] != tuple(selection.entity):
        return False
    if selection.start is not None and not selection.start <= event.time < (selection.end or 0):
        return False
    if selection.ids is None:
        return True
    *entity, ids = (column.to_pylist() for column in selection.ids.columns)
    return event.id in set(zip(zip(*entity, strict=True), ids, strict=True))


def _check_duplicates(
    world: "World", stream: Stream, now: list[Event], named: list[Event], others: list[Named]
) -> None:
    """Each has an event of its id that stays."""
    del stream
    left = {event.id for event in now if event not in named and not is_gone(event, others)}
    assert {event.id for event in named} <= left, "the first of some duplicates goes, too"
    world.trace.count("corrections of duplicates")


# what an import takes


def taken(world: "World", lines: list[bytes], done: ImportedEpoch) -> dict[Id, bytes]:
    """What an import took, which must be the first event of each id that is known to nobody."""
    manifest = world.manifest_of(world.pointed)
    named = [each for each in world.past.named(world.streams, upto=manifest.corrected) if each.stream == TRADES.name]
    known = {event.id for event in events_of(world, TRADES, manifest) if not is_gone(event, named)}
    expected: dict[Id, bytes] = {}
    for line in lines:
        event = event_of(line, world)
        if event is not None:
            id_ = (event.venue, event.symbol), str(event.trade_id)
            if id_ not in known:
                expected.setdefault(id_, line)
    tables = [parquet(world.home / entry.file.path) for entry in done.archive]
    found = [id_ for table in tables for id_ in ids_in(TRADES, table)]
    assert sorted(found) == sorted(expected), f"an import took {found}, not {sorted(expected)}"
    return expected


def check_imports(world: "World", manifest: Manifest, stream: Stream, partition: int) -> None:
    """The imports of a version are there, but for what corrections took out."""
    named = world.past.named(world.streams, upto=manifest.corrected)
    gone = frozenset(row for each in named if each.stream == stream.name for row in each.rows)
    held = [entry for entry in manifest.archive if (entry.stream, entry.partition) == (stream.name, partition)]
    found = [
        (entry.epoch, id_)
        for entry in held
        if entry.start is None
        for id_ in ids_in(stream, parquet(world.home / entry.file.path))
    ]
    expected = [
        (epoch, id_)
        for epoch, id_, _ in world.past.held(manifest, stream, gone)
        if world.partition_of(stream, id_[0]) == partition
    ]
    assert sorted(found) == sorted(expected), f"imports of version {manifest.version}: {found}, not {expected}"


# what a move of the pointer keeps


def check_kept(world: "World", before: Manifest, after: Manifest) -> None:
    """What was taken out stays out, and what was imported stays in, wherever the pointer goes."""
    assert after.corrected >= before.corrected, (
        f"version {after.version} brings back what version {before.version} is without: "
        f"corrected to {after.corrected}, before to {before.corrected}"
    )
    for stream in world.streams:
        lost = epochs_of(before, stream) - epochs_of(after, stream)
        assert not lost, f"version {after.version} is without the imports {lost} of version {before.version}"


def count_applied(world: "World", manifest: Manifest) -> None:
    """Whose corrections a version applies."""
    parent = world.manifest_of(manifest.parent)
    for number in manifest.corrections:
        assert number > parent.corrected, f"correction {number} is applied a second time, by version {manifest.version}"
        if manifest.run_id not in world.past.remade:
            world.trace.count("corrections applied")
            world.trace.count("corrections that another run applied", world.past.own.get(number) != manifest.run_id)


# what ingest lets through


def live(world: "World") -> list[Any]:
    """(id, event) of what ingest and imports brought, without what every correction takes out."""
    manifest = world.manifest_of(world.pointed)
    named = [each for each in world.past.named(world.streams) if each.stream == TRADES.name]
    gone = {place for each in named for place in each.places}
    found = []
    for p in range(len(world.parts(TRADES))):
        for record in world.log.book.now[Slot(world.topic_ids["trades"], p)].records:
            for i, line in enumerate((record.value or b"").split(b"\n")):
                event = event_of(line, world)
                if event is not None and event.symbol in world.by_ingest and (p, record.offset, i) not in gone:
                    found.append(event)
    rows = frozenset(row for each in named for row in each.rows)
    found += [event_of(line, world) for _, _, line in world.past.held(manifest, TRADES, rows)]
    return found


def offer_again(world: "World") -> None:
    """Ids that are free are offered to ingest once more."""
    held = {((event.venue, event.symbol), str(event.trade_id)) for event in live(world)}
    named = {id_ for each in world.past.named(world.streams) if each.stream == TRADES.name for id_ in each.ids}
    free = sorted(id_ for id_ in named - held if id_[0][1] in world.by_ingest)[:PROBED]
    for (_, symbol), number in free:
        line = line_of(TRADES, symbol, int(number), world.noon_us, "7.5", "2", "buy")
        world.inbox.append([line])
    world.past.again |= set(free)
    world.trace.count("identities that were free again", len(free))


def check_ingest(world: "World") -> None:
    """Every valid line that ingest or an import was given is there once: the first of each id.

    One that a correction took out may be there again, with what came later.
    """
    manifest = world.manifest_of(world.pointed)
    assert manifest.corrected == world.store.corrections.last(), "a correction is not applied"
    named = {id_ for each in world.past.named(world.streams) if each.stream == TRADES.name for id_ in each.ids}
    imported = {
        id_: event_of(line, world)
        for epoch in epochs_of(manifest, TRADES)
        for id_, line in world.past.imported[epoch].items()
    }
    offered: dict[Id, list[Any]] = {id_: [event] for id_, event in imported.items()}
    for chunk in world.inbox:
        for line in chunk:
            event = event_of(line, world)
            if event is not None:
                offered.setdefault(((event.venue, event.symbol), str(event.trade_id)), []).append(event)
    found: dict[Id, Any] = {}
    for event in live(world):
        id_ = (event.venue, event.symbol), str(event.trade_id)
        assert id_ not in found, f"{id_} is there twice"
        assert event in (offered[id_] if id_ in named else offered[id_][:1]), f"{event} is not what was offered first"
        found[id_] = event
    lost = {id_ for id_ in offered if id_ not in found and (id_ not in named or id_ in world.past.again)}
    assert not lost, f"ingest lost {lost}"
    world.trace.count("events through ingest", len(found))
