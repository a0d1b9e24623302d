"""What must hold, after every step and at the end. Each check compares with the raw records, by plain integers."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from serving.service import Service
from slackwater.http.problems import ProblemError
from slackwater.log.events import decode
from slackwater.log.mark import mark_of
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.manifest import Manifest
from slackwater.views.bars import BARS
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from tests.simulation import checks_writers
from tests.simulation.light import TURNED, merged, parquet, rows_in
from tests.simulation.log import Branch, Place

if TYPE_CHECKING:
    from tests.simulation.world import World


PROBLEMS = {(404, "unknown-instrument"), (503, "not-serving")}
OTHER = (409, "other-definition")
GONE = {(410, "version-retired"), (404, "unknown-version"), (503, "files-unreadable"), (503, "version-damaged")}


def ask(
    world: "World",
    service: Service,
    entity: tuple[str, ...],
    interval: Interval,
    view: Any,
    more: str,
    gone: bool = False,
    lacking: bool = False,
) -> Any:
    """One real request; None where the answer is a problem, which must be one that fits.

    `gone`: it may be expired. `lacking`: the version does not hold the view.
    """
    key = "&".join(f"{name}={value}" for name, value in zip(view.stream.entity, entity, strict=True))
    query = f"{key}&interval={interval.text}&start=1970-01-01&limit=10000&{more}"
    request = Request({"type": "http", "method": "GET", "query_string": query.encode(), "headers": []})
    coroutine = world.route(service, view.name).respond(request.scope)
    try:
        coroutine.send(None)
    except StopIteration as ended:
        body: bytes = ended.value.body
    except ProblemError as problem:
        world.note(f"  {query}: {problem.status} {problem.kind}")
        fits = PROBLEMS | (GONE if gone else set()) | ({OTHER} if lacking else set())
        assert (problem.status, problem.kind) in fits, f"{problem.kind}: {problem}"
        return None
    world.trace.note(f"  {query}", body)
    return json.loads(body)


def check_answer(
    world: "World",
    service: Service,
    entity: tuple[str, ...],
    interval: Interval,
    view: Any,
    layer: str = "merged",
) -> Any:
    """An answer equals the oracle at its own cut and positions, which are those of its view's stream alone."""
    stream = view.stream
    behind = service.watch.snapshot is not None and service.watch.snapshot.version != world.pointed
    found = ask(world, service, entity, interval, view, f"layer={layer}", gone=behind)
    if found is None:
        return None
    about = found["meta"]
    assert about["stream"] == stream.name, f"an answer of {view.name} of another stream: {about}"
    cut, applied = ({int(p): at for p, at in about[name].items()} for name in ("cut", "applied"))
    manifest = world.manifest_of(about["version"])
    assert not manifest.candidate or manifest.version in world.promoted, f"a candidate is served: {about}"
    assert all(manifest.cut(stream).get(p, at) == at for p, at in cut.items()), f"not the cut of its version: {about}"
    assert all(applied[p] >= at for p, at in cut.items()), f"applied below the cut: {about}"
    alone = about["layer"] == "batch"
    branches = {p: branch_of(world, manifest, stream, p, alone) for p in applied}
    uptos = cut if alone else applied
    if not alone:
        ends = world.ends(stream)
        assert all(at <= ends[p] for p, at in applied.items()), f"beyond the log's end {ends}: {about}"
    definition = definition_of(manifest, view)
    assert about["definition"] == definition, f"of another definition than {definition}, its version's: {about}"
    standing = world.standing(manifest, stream)
    rows = world.truth.rows(view, entity, interval.us, branches, uptos, standing)
    expected = [_shown(stream, definition, row) for row in rows]
    assert found[view.name] == expected, (
        f"{entity} {interval.text} of {view.name} at {about}:\n  found    {found[view.name]}\n  expected {expected}"
    )
    if about["complete"] and not alone:
        check_told(world, service, definition, view, {branches[p]: (p, at) for p, at in applied.items()})
    world.trace.count("answers")
    world.trace.count("answers beside a stalled stream", world.stalled not in ("", stream.name))
    world.trace.count("answers of a stalled stream", world.stalled == stream.name)
    world.trace.count("answers of the other definition", definition == TURNED.definition)
    if not alone and any(applied[p] > at > branches[p].start for p, at in cut.items()):
        world.trace.count("answers of both layers")
    if not about["complete"]:
        world.trace.count("answers not complete")
    return found


def check_told(
    world: "World", service: Service, definition: str, view: Any, applied: Mapping[Branch, tuple[int, int]]
) -> None:
    """A server that calls its answer complete is not behind what any answer stood on before the server was made.

    What that answer stood on was in the delta topic then. A log that lost its tail is another branch, and a version
    that was rolled back from takes its cut with it. Open cells are left out: a stale worker's may overwrite one, and it
    is written again within a second.
    """
    floors, snapshot = world.floors[service], service.watch.snapshot
    for branch, (p, at) in applied.items():
        floor, version = floors.get((definition, branch), (0, 0))
        stands = snapshot is not None and descends(world, snapshot.version, version)
        assert at >= floor or not stands, f"an answer that calls itself complete went back from {floor} to {at}"
        ends = (service.hot.ends(snapshot.of(view).key, view.name, [p]) or {}).get(p) if snapshot is not None else None
        if snapshot is not None and ends is not None and ends.upto == at:
            sealed = ends.open_cell.start if ends.open_cell is not None else at
            known = world.told.get((definition, branch), (0, 0))
            world.told[definition, branch] = max((sealed, snapshot.version), known)
    world.trace.count("complete answers of a server that came later", bool(floors))


def descends(world: "World", version: int, ancestor: int) -> bool:
    """Whether a version was made from another one, or is it."""
    while version > ancestor:
        version = world.manifest_of(version).parent
    return version == ancestor


def check_as_of(world: "World", service: Service, entity: tuple[str, ...], interval: Interval, view: Any) -> None:
    """A version that is named, now and then: its own batch view alone, or it is said that it is gone. A snapshot is not
    gone, wherever the rollback set is by now.
    """
    version = world.random.choice([0, 0, 0, *world.manifests])
    if not version:
        return
    lacking = view.name not in world.manifests[version].definitions
    snapshot = world.store.retirement(version) == "snapshot"
    found = ask(world, service, entity, interval, view, f"as_of={version}", not snapshot, lacking)
    if found is not None:
        world.trace.count("answers as of a snapshot", snapshot)
        manifest = world.manifest_of(version)
        assert found["meta"]["version"] == version
        cut = {int(p): at for p, at in found["meta"]["cut"].items()}
        branches = {p: branch_of(world, manifest, view.stream, p, True) for p in cut}
        definition = definition_of(manifest, view)
        standing = world.standing(manifest, view.stream)
        rows = world.truth.rows(view, entity, interval.us, branches, cut, standing)
        expected = [_shown(view.stream, definition, row) for row in rows]
        assert found[view.name] == expected, f"as of {version}: {found[view.name]} is not {expected}"
        world.trace.count("answers as of a version")


def check_forward(world: "World", service: Service, view: Any) -> None:
    """While a server stands on one snapshot, what is applied never goes back."""
    snapshot = service.watch.snapshot
    if snapshot is None or not snapshot.of(view).chain:
        return
    place = service, view.stream.name
    key, known = world.reached.get(place, ("", {}))
    if key != snapshot.of(view).key:
        known = {}
    now, before = service.hot.applied(view.name), known.get(view.name, {})
    assert all(now.get(p, 0) >= at for p, at in before.items()), f"{view.name} went back from {before} to {now}"
    world.reached[place] = snapshot.of(view).key, {**known, view.name: now}


def branch_of(world: "World", manifest: Manifest, stream: Stream, partition: int, alone: bool) -> Branch:
    """The branch of the log that a version's answer is about: its own mark's, or the log's as it is now."""
    known = manifest.of(stream).topic_id if manifest.version else None
    place = Place(known or world.topic_ids[stream.name], partition)
    run_id = marked_by(manifest, stream, partition)
    if alone and (run_id, place) in world.log.book.of_run:
        return world.log.book.of_run[run_id, place]
    return world.log.book.now[place]


def marked_by(manifest: Manifest, stream: Stream, partition: int) -> str:
    """The run whose mark is a version's cut: its own, or that of the version that a candidate stands beside."""
    return next(
        (mark.run_id or "" for mark in manifest.of(stream).marks if mark.partition == partition), manifest.run_id
    )


def definition_of(manifest: Manifest, view: Any) -> str:
    """The definition that a version answers by; version 0 has the default one."""
    default = BARS if view.name == BARS.name else view
    return manifest.definitions.get(view.name, default.definition)


def _shown(stream: Stream, definition: str, bar: dict[str, object]) -> dict[str, object]:
    if stream != TRADES:
        return bar
    if definition == BARS.definition:
        return bar
    if definition == TURNED.definition:
        return {**bar, "high": bar["low"], "low": bar["high"]}
    return {"start": bar["start"], "last": bar["close"], "trades": bar["trades"], "closed": bar["closed"]}


def check_version(world: "World", manifest: Manifest) -> None:
    """A published version is whole: it holds every stream of its parent, and each of them is right."""
    files = [*manifest.dataset, *(e.file for e in manifest.parts)]
    world.store.check(files)
    parent = world.manifest_of(manifest.parent)
    if parent.version:
        assert parent.streams.keys() <= manifest.streams.keys(), f"version {manifest.version} lost a stream"
    streams = [stream for stream in world.streams if stream.name in manifest.streams]
    for stream in streams:
        assert all(manifest.cut(stream)[p] >= at for p, at in parent.cut(stream).items()), "a cut went back"
        branches = {p: branch_of(world, manifest, stream, p, True) for p in manifest.cut(stream)}
        _check_archive(world, manifest, stream, branches)
        for view in world.views if stream != TRADES else (_bars_of(manifest),):
            if view.stream == stream:
                _check_rows(world, manifest, view, branches)
        world.trace.count("streams held", bool(manifest.of(stream).held))
    checks_writers.count_applied(world, manifest)
    world.trace.count("versions checked")
    world.trace.count("versions with imports or corrections", bool(manifest.corrected or world.past.imported))
    world.trace.count("versions with merged parts", any(part.made[0] < part.made[1] for part in manifest.parts))
    world.trace.count("versions of three streams", len(streams) == 3)


def _bars_of(manifest: Manifest) -> Any:
    return TURNED if definition_of(manifest, BARS) == TURNED.definition else BARS


def _check_archive(world: "World", manifest: Manifest, stream: Stream, branches: Mapping[int, Branch]) -> None:
    """The archive of a stream is its log below the cut, each event once, without what is gone; and its imports."""
    gone = world.standing(manifest, stream).gone
    for mark in manifest.of(stream).marks:
        p, cut = mark.partition, mark.offset
        began = mark.run_id is None and cut == branches[p].start  # held since it is known
        assert began or any(r.offset == cut and mark_of(r) == mark.run_id for r in branches[p].records), (
            f"no mark at the cut {cut} of {stream.name}[{p}]"
        )
        names = "offset", "index", stream.identity
        table = decode(stream, branches[p].below(cut)).table
        held = zip(*(table.column(name).to_pylist() for name in names), strict=True)
        expected = [place for place in held if place[1] not in gone.get((p, place[0]), ())]
        of = stream.name, p
        archive = [e.file.path for e in manifest.archive if (e.stream, e.partition) == of and e.start is not None]
        found = [place for path in archive for place in _places(world, path, stream)]
        assert found == expected, (
            f"the archive of version {manifest.version} in {stream.name}[{p}]: {found}, {expected}"
        )
        checks_writers.check_imports(world, manifest, stream, p)


def _check_rows(world: "World", manifest: Manifest, view: Any, branches: Mapping[int, Branch]) -> None:
    """The parts of a view, merged, are the oracle's."""
    base = PUBLISHED_INTERVALS[0]
    for interval in PUBLISHED_INTERVALS:
        parts = manifest.parts_of(view.name, interval.text)
        held = [row for part in parts for row in rows_in(world.home / part.file.path, view)]
        rows = merged(view, held, interval)
        world.trace.count("bars in several parts", len(held) > len(rows))
        standing = world.standing(manifest, view.stream)
        oracle = world.truth.oracle(view, interval.us, branches, manifest.cut(view.stream), standing)
        name = BARS.name if view.stream == TRADES else view.definition
        shown = {(key, row["start"]): row for key in oracle.entities for row in oracle.rows(name, key, interval.us)}
        assert {(row.key, row.start) for row in rows} == set(shown), f"{view.name} of version {manifest.version}"
        if interval is base:
            finish = view.finish
            for row in rows:
                bar = _shown(view.stream, view.definition, shown[row.key, row.start])
                assert finish(row.state) == {name: bar[name] for name in view.answers}, f"{row} is not {bar}"


def _places(world: "World", path: str, stream: Stream) -> list[tuple[int, int, str]]:
    if path not in world.places:
        table = parquet(str(world.home / path), ["offset", "index", stream.identity])
        world.places[path] = list(zip(*(table.column(i).to_pylist() for i in range(3)), strict=True))
    return world.places[path]
