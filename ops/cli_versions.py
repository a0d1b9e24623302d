"""Commands over versions that exist: compare, promote, roll back, expire, and drop a stream or a view.

A version never drops a stream or a view by itself: a run whose program does not know one, since a package is missing,
is refused.
"""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ops.context import CLOCK, Context, user_name
from ops.output import command, console, emit, reason_option
from slackwater.deltas.read_tail import TailReader
from slackwater.restatements.of_move import Restating
from slackwater.versions.manifest import Dropped, Kind
from slackwater.versions.moves import Move
from slackwater.versions.pinning import pin, unpin
from slackwater.versions.pins import Pin
from slackwater.versions.rollback import rollback

if TYPE_CHECKING:  # a command that makes no version imports no Beam
    from batch_layer.diff import Diff


@command("diff", "slackwater batch diff 8 9", "slackwater batch diff 8 9 --examples 100 --json")
@click.argument("a", metavar="V", type=click.IntRange(1))
@click.argument("b", metavar="W", type=click.IntRange(1))
@click.option(
    "--examples", "shown", default=10, show_default=True, type=click.IntRange(0, 10_000), help="Rows to show."
)
def diff_command(context: Context, a: int, b: int, shown: int, as_json: bool) -> None:
    """Compare the finished answers of two versions, exactly: rows, fields, and the largest differences.

    Ends with 0 if all are equal and with 1 if anything differs.
    """
    from batch_layer.diff import diff_versions
    from batch_layer.spill import spilling_alone

    store = context.store
    with spilling_alone(context.parts) as own:
        found = diff_versions(store, context.views, a, b, shown, own.limits)
    same_cut = store.answering(a).cuts == store.answering(b).cuts
    for diff in found:
        facts = {"versions": [a, b], "same_cut": same_cut, "equal": diff.equal, **asdict(diff)}
        emit(as_json, facts, partial(_show_diff, diff, a, b))
    if not same_cut and not as_json:
        console.print("Their cuts are not the same, so the events between the cuts differ, too.")
    if not all(diff.equal for diff in found):
        raise SystemExit(1)


def _show_diff(diff: "Diff", a: int, b: int) -> None:
    if None in diff.definitions:
        only, lacking = (b, a) if diff.definitions[0] is None else (a, b)
        rows = f" {diff.interval}: {diff.only_a + diff.only_b:,} rows" if diff.interval else ""
        console.print(f"{diff.view}{rows} in {only} alone; version {lacking} does not hold this view")
        return
    console.print(
        f"{diff.view} {diff.interval}: {diff.both:,} rows in both, {diff.differ:,} of them differ; "
        f"{diff.only_a:,} in {a} alone, {diff.only_b:,} in {b} alone"
    )
    for number, fields in ((a, diff.fields_a), (b, diff.fields_b)):
        if fields:
            console.print(f"  answers of {number} alone: {', '.join(fields)}")
    for field in diff.fields:
        console.print(f"  {field.field}: {field.rows:,} rows", markup=False)
        for text, row in (("largest", field.largest), ("largest ratio", field.largest_ratio)):
            if row is not None:
                console.print(f"    {text}: {row}", markup=False)
    for row in diff.first:
        console.print(f"  {row}", markup=False)
    for number, places in diff.alone.items():
        for place in places:
            console.print(f"  in {number} alone: {place}", markup=False)


@command(
    "promote",
    'slackwater batch promote 9 --reason "vwap rounds half-even"',
    'slackwater batch promote 9 --reason "vwap rounds half-even" --json',
)
@click.argument("version", type=click.IntRange(1))
@reason_option
def promote_command(context: Context, version: int, reason: str, as_json: bool) -> None:
    """Serve a candidate: move the pointer from the version that it stands beside to it.

    Refused where another version was published since, or where its deltas do not reach what is served. Later batch
    runs go on in its definition. `slackwater batch list` shows the candidates.
    """
    from batch_layer.promote import Promotion

    move = Promotion(context.parts).promote(version, reason, user_name(), context.settings.proof_seconds)
    facts = {"version": version, "move": asdict(move), "restated": dict(move.restated)}
    emit(as_json, facts, lambda: _show_move(move, f"version {version} takes the place of version {move.source}"))


@command(
    "rollback",
    'slackwater batch rollback 7 --reason "wrong notional"',
    'slackwater batch rollback 7 --reason "x" --json',
)
@click.argument("version", type=click.IntRange(0))
@reason_option
@click.option("--make", is_flag=True, help="Make a version of it that keeps the imports and corrections since.")
def rollback_command(context: Context, version: int, reason: str, make: bool, as_json: bool) -> None:
    """Serve a retained version, after reading all its files; also forward again, to one that was rolled back from.

    Answers are exact at once: log, deltas and archive reach down to the oldest version. The next batch run starts from
    it. Closed bars that it changes are written to the ledger. Needs no running service; without a broker the ledger
    ends at the cuts of the two versions, and it says so.

    Across an import or a correction it is refused: identities that are known would not be. With --make a new version is
    made of the older one, with both applied again.
    """
    if make:
        from batch_layer.remake import Remake

        done = Remake(context.parts, proof_deadline_s=context.settings.proof_seconds).rollback(
            version, reason, user_name()
        )
        _show_rollback(done, version, as_json)
        return
    from batch_layer.spill import spilling_alone

    with spilling_alone(context.parts) as own:
        read_tail = TailReader(context.log, context.names)
        restating = Restating(context.store, context.views, read_tail, own.limits.connect)
        done = rollback(context.store, version, reason, user_name(), CLOCK.now_us, restating)
    _show_rollback(done, version, as_json)


def _show_rollback(done: Move, asked: int, as_json: bool) -> None:
    of = "" if done.target == asked else f", made of version {asked}"
    facts: dict[str, Any] = {"version": done.target, "from": done.source, "move": done.number, "by": done.by}
    facts |= {"reason": done.reason, "restated": dict(done.restated), "incomplete_reason": done.incomplete_reason}
    emit(as_json, facts, lambda: _show_move(done, f"version {done.target}{of} is current; it was {done.source}."))


@command(
    "expire",
    "slackwater batch expire --dry-run",
    "slackwater batch expire",
    "slackwater batch expire --keep 3",
    "slackwater batch expire --log --dry-run",
    "slackwater batch expire --log",
)
@click.option("--keep", type=click.IntRange(1), help="Versions to keep; default: SLACKWATER_KEEP_VERSIONS.")
@click.option("--log", "of_log", is_flag=True, help="Then trim the log, too, where the archive holds what goes.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
def expire_command(context: Context, keep: int | None, of_log: bool, dry_run: bool, as_json: bool) -> None:
    """Retire the oldest versions, and remove the deltas and files that no version uses any more.

    The current version, the one that a server would fall back on, and what a running process uses stay, however old.
    The last version of each hour and day stays as a snapshot, and what is pinned: it answers `as_of`, and holds no
    deltas. The event log loses nothing. Every batch run does this at its end.

    With --log, which no run does, the log loses what lies below the smallest cut of the rollback set. First every file
    of the archive that holds it is read and compared, and offsets that none covers must hold no event; else nothing
    goes.
    """
    from batch_layer.expire import expire
    from batch_layer.trim import positions, trim_log

    keep = keep or context.settings.keep_versions
    done = expire(context.parts, keep, dry_run, context.snapshots)
    size = sum(map(context.store.data.size, done.names)) if dry_run else None
    trims = trim_log(context.parts, done.retained if dry_run else None) if of_log else []
    deltas: dict[str, dict[str, int]] = {}
    for stream, p, at in done.deltas:
        deltas.setdefault(stream, {})[str(p)] = at
    facts = {
        "retained": done.retained,
        "snapshots": done.snapshots,
        "retired": done.retired,
        "deltas": deltas,
        "removed": done.names,
        "bytes": size,
        "delta_positions": done.delta_positions,
        "log": [asdict(trim) for trim in trims],
        "log_positions": positions(trims),
        "waiting": done.waiting,
        "dry_run": dry_run,
    }

    def show() -> None:
        would = "would be " if dry_run else ""
        retained = ", ".join(map(str, done.retained)) or "none"
        console.print(f"{len(done.retired)} versions {would}retired, {len(done.retained)} retained: {retained}")
        if done.snapshots:
            console.print(f"{len(done.snapshots)} snapshots {would}kept: {', '.join(map(str, done.snapshots))}")
        of = "" if size is None else f" of {size:,} bytes"
        console.print(f"{len(done.names)} paths{of} {would}removed")
        console.print(f"{done.delta_positions:,} deltas {would}removed; first ones now: {deltas or 'as before'}")
        for stream, count in positions(trims).items():
            files = sum(trim.files for trim in trims if trim.stream == stream)
            console.print(f"{count:,} positions of the log of {stream} {would}removed; {files} files hold them")
        if done.waiting:
            console.print(f"Nothing {would}removed: {done.waiting}", markup=False)

    emit(as_json, facts, show)


@command(
    "pin",
    'slackwater batch pin 7 year-end --reason "the books of 2026"',
    "slackwater batch pin 7 year-end --json",
)
@click.argument("version", type=click.IntRange(1))
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is recorded with who and when.")
def pin_command(context: Context, version: int, name: str, reason: str, as_json: bool) -> None:
    """Give a version a name: it stays as a snapshot until `batch unpin`, and `as_of=NAME` answers from it."""
    found = pin(context.store, Pin(name, version, user_name(), reason.strip(), CLOCK.now_us()))
    emit(as_json, asdict(found), lambda: console.print(f"version {version} is pinned as {name}"))


@command("unpin", "slackwater batch unpin year-end", "slackwater batch unpin year-end --json")
@click.argument("name")
def unpin_command(context: Context, name: str, as_json: bool) -> None:
    """Take a name back. The version goes with the next expiry, unless something else keeps it."""
    found = unpin(context.store, name)
    emit(as_json, asdict(found), lambda: console.print(f"version {found.version} is not pinned as {name} any more"))


def _show_move(move: Move, text: str) -> None:
    """Say what a move did, and what it changed."""
    console.print(text)
    changed = ", ".join(f"{count:,} of cause {cause}" for cause, count in move.restated.items()) or "none"
    console.print(f"closed bars that changed: {changed}; `slackwater batch restatements` lists them")
    if move.incomplete_reason:
        console.print(f"not recorded: {move.incomplete_reason}", markup=False)


@click.group()
def stream() -> None:
    """The streams of the versions."""


@click.group()
def view() -> None:
    """The views of the versions."""


@command("drop", 'slackwater stream drop fills --reason "the venue closed"', of=stream)
@click.argument("name")
@reason_option
def drop_stream(context: Context, name: str, reason: str, as_json: bool) -> None:
    """Publish a version without a stream and its views. Its topics stay; its archive goes when older versions expire.

    Refused while this program has the stream: take it out of SLACKWATER_STREAMS and SLACKWATER_VIEWS, or uninstall its
    package, everywhere first, or the next run takes it in again.
    """
    _drop(context, "stream", name, reason, as_json)


@command("drop", 'slackwater view drop spreads --reason "nobody reads it"', of=view)
@click.argument("name")
@reason_option
def drop_view(context: Context, name: str, reason: str, as_json: bool) -> None:
    """Publish a version without a view. The archive of its stream stays, so it can be made again.

    Refused while this program has the view: take it out of SLACKWATER_VIEWS, or name the others in
    SLACKWATER_ONLY_VIEWS, everywhere first, or the next run takes it in again.
    """
    _drop(context, "view", name, reason, as_json)


def _drop(context: Context, kind: Kind, name: str, reason: str, as_json: bool) -> None:
    dropped = Dropped(kind, name, user_name(), reason, CLOCK.now_us())
    made = context.batch_run(drop=dropped).run()
    facts = {"version": made.version, "dropped": asdict(dropped)}
    emit(as_json, facts, lambda: console.print(f"version {made.version} is without the {kind} {name}", markup=False))
