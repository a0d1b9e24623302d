"""`slackwater batch rollback` and `slackwater batch expire`."""

from typing import Any

import click

from ops.context import CLOCK, Context, pass_context, user_name
from ops.output import console, emit, examples, json_option
from slackwater.deltas.read_tail import TailReader
from slackwater.restatements.of_move import Restating
from slackwater.versions.moves import Move
from slackwater.versions.rollback import rollback
from slackwater.views.registry import registered


@click.command(
    name="rollback",
    epilog=examples(
        'slackwater batch rollback 7 --reason "wrong notional"', 'slackwater batch rollback 7 --reason "x" --json'
    ),
)
@click.argument("version", type=click.IntRange(0))
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded with who and when.")
@json_option
@pass_context
def rollback_command(context: Context, version: int, reason: str, as_json: bool) -> None:
    """Serve a version that is kept, after reading all its files; also forward again, to one that was rolled back from.

    Answers are exact at once: the log, the deltas and the archive are kept down to the oldest version. The next batch
    run starts from it. Closed bars that it changes are written to the ledger. Needs no running service; without a
    broker the ledger ends at the cuts of the two versions, and it says so.
    """
    if not reason.strip():
        raise click.UsageError("--reason is empty.")
    restating = Restating(context.store, registered(context.settings.views), TailReader(context.log, context.names))
    done = rollback(context.store, version, reason.strip(), user_name(), CLOCK.now_us(), restating)
    facts: dict[str, Any] = {
        "version": done.target,
        "from": done.source,
        "move": done.number,
        "by": done.by,
        "reason": done.reason,
    }
    facts |= {"restated": dict(done.restated), "incomplete_reason": done.incomplete_reason}
    emit(as_json, facts, lambda: show_move(done, f"version {done.target} is current; it was {done.source}."))


@click.command(
    name="expire",
    epilog=examples("slackwater batch expire --dry-run", "slackwater batch expire", "slackwater batch expire --keep 3"),
)
@click.option("--keep", type=click.IntRange(1), help="Versions to keep; default: SLACKWATER_KEEP_VERSIONS.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@json_option
@pass_context
def expire_command(context: Context, keep: int | None, dry_run: bool, as_json: bool) -> None:
    """Retire the oldest versions, and remove the deltas and files that nothing stands on any more.

    The current version, the one that a server would fall back on, and what a running process uses stay, however old.
    The event log loses nothing. Every batch run does this at its end.
    """
    from batch_layer.expire import expire

    keep = keep or context.settings.keep_versions
    done = expire(context.parts, keep, dry_run)
    deltas: dict[str, dict[str, int]] = {}
    for stream, p, at in done.deltas:
        deltas.setdefault(stream, {})[str(p)] = at
    facts = {
        "retained": done.retained,
        "retired": done.retired,
        "deltas": deltas,
        "removed": [path.relative_to(context.settings.home).as_posix() for path in done.paths],
        "waiting": done.waiting,
        "dry_run": dry_run,
    }

    def show() -> None:
        would = "would be " if dry_run else ""
        console.print(
            f"{len(done.retired)} versions {would}retired, {len(done.retained)} kept: {_numbers(done.retained)}"
        )
        console.print(f"{len(done.paths)} paths {would}removed; first deltas now: {deltas or 'as before'}")
        if done.waiting:
            console.print(f"Nothing {would}removed: {done.waiting}", markup=False)

    emit(as_json, facts, show)


def show_move(move: Move, text: str) -> None:
    """Say what a move did, and what it changed."""
    console.print(text)
    changed = ", ".join(f"{count:,} of cause {cause}" for cause, count in move.restated.items()) or "none"
    console.print(f"closed bars that changed: {changed}; `slackwater batch restatements` lists them")
    if move.incomplete_reason:
        console.print(f"not recorded: {move.incomplete_reason}", markup=False)


def _numbers(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions)) or "none"
