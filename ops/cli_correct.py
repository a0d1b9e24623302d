"""`slackwater correct`: take events out of what is answered, and see what was taken out.

A correction is written to a ledger and applied by a batch run; nothing else changes the past. The log keeps the events.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingest.archive_import import import_history, new_epoch
from ops.context import CLOCK, Context, user_name
from ops.output import command, console, emit, table, time_text
from ops.source_options import open_input, source_options
from ops.time_option import Time
from slackwater.corrections.chosen import Summary
from slackwater.corrections.selection import Selection, SelectionError, parse_entity, read_ids
from slackwater.store.files import holding
from slackwater.streams.registry import stream_named
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.versions.barrier import imported_epochs
from slackwater.versions.corrections import Added
from slackwater.versions.writer_lock import hold_import

if TYPE_CHECKING:  # a command that only looks imports no Beam
    from batch_layer.correction_run import Done

stream_option = click.option(
    "--stream", "stream_name", default=TRADES.name, show_default=True, metavar="NAME", help="What its events are."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
reason_unless_dry = click.option(
    "--reason", metavar="TEXT", default="", help="Why; it is recorded with who and when. Required but for --dry-run."
)


@click.group()
def correct() -> None:
    """Take wrong events out of the views, the archive and the index of identities; the log keeps them."""


@command(
    "remove",
    'slackwater correct remove --entity okx:BTC-USDT --from 2026-11-28T10:30Z --to 2026-11-28T10:31Z --reason "tick"',
    'slackwater correct remove --epoch import-1f2e3d4c5b6a --reason "wrong unit"',
    "slackwater correct remove --ids wrong.csv --dry-run",
    of=correct,
)
@stream_option
@click.option("--epoch", default="", metavar="NAME", help="All that one import or batch run took in.")
@click.option("--entity", metavar="VENUE:SYMBOL", help="Events of one entity.")
@click.option("--from", "start", type=Time(), metavar="TIME", help="Of this time or later.")
@click.option("--to", "end", type=Time(), metavar="TIME", help="Before this time.")
@click.option(
    "--ids",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of these identities: a CSV file with a header, such as venue,symbol,trade_id; with --entity trade_id alone.",
)
@reason_unless_dry
@dry_run_option
def remove(
    context: Context,
    stream_name: str,
    epoch: str,
    entity: str | None,
    start: int | None,
    end: int | None,
    ids: Path | None,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take events out, and publish a version without them. All that is given must hold of an event.

    Their identities are free again. Bars that change are restatements of the cause `correction`. No ingest of the
    stream may run meanwhile. A rollback does not bring them back.
    """
    stream = stream_named(stream_name, context.streams)
    of = None if entity is None else parse_entity(stream, entity)
    if not epoch and of is None and ids is None:
        raise click.UsageError("Name --epoch, --entity or --ids: times alone would take every instrument.")
    if start is not None and end is not None and start >= end:
        raise click.UsageError("--from is not before --to.")
    selection = Selection(epoch, of, start, end, None if ids is None else read_ids(stream, ids, of))
    _correct(context, stream, selection, reason, dry_run, as_json)


@command(
    "duplicates",
    "slackwater correct duplicates --dry-run",
    'slackwater correct duplicates --reason "two writers"',
    of=correct,
)
@stream_option
@reason_unless_dry
@dry_run_option
def duplicates(context: Context, stream_name: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Take out the events whose identity an event before them has; the first one stays.

    The ingest service lets none through: a foreign writer, or one that was paused past its successor, appended them.
    """
    _correct(context, stream_named(stream_name, context.streams), None, reason, dry_run, as_json)


def _correct(
    context: Context, stream: Stream, selection: Selection | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    from batch_layer.correction_run import CorrectionRun

    run = CorrectionRun(context.parts, stream)
    if dry_run:
        found = run.look(selection)
        facts = {"stream": stream.name, "dry_run": True, **summary_facts(found)}
        emit(as_json, facts, lambda: _show_summary(stream, found, "would go"))
        return
    if not reason.strip():
        raise click.UsageError("--reason is required, and is recorded with who and when.")
    done = run.remove(selection, user_name(), reason.strip(), lambda: context.batch_run().run())
    emit(as_json, done_facts(stream, done), lambda: show_done(stream, done))


def done_facts(stream: Stream, done: "Done") -> dict[str, Any]:
    """A correction that was applied, for a program."""
    version = done.version
    return {
        "correction": done.correction.number,
        "kind": done.correction.kind,
        "stream": stream.name,
        **summary_facts(done.summary),
        "version": version.version,
        "restated": dict(version.restated),
    }


def show_done(stream: Stream, done: "Done") -> None:
    """The same, for a person."""
    _show_summary(stream, done.summary, "are taken out")
    version = done.version
    changed = ", ".join(f"{count:,} of cause {cause}" for cause, count in version.restated.items()) or "none"
    console.print(f"correction {done.correction.number} is applied by version {version.version}")
    console.print(f"closed bars that changed: {changed}; `slackwater batch restatements` lists them")


def summary_facts(found: Summary) -> dict[str, Any]:
    """What was chosen, for a program."""
    entities = {":".join(name): count for name, count in sorted(found.entities.items())}
    return {"events": found.events, "entities": entities, "from_us": found.low, "to_us": found.high}


def _show_summary(stream: Stream, found: Summary, text: str) -> None:
    console.print(f"{found.events:,} events of {stream.name} {text}")
    if not found.events:
        return
    console.print(f"  from {time_text(found.low or 0)} to {time_text(found.high or 0)} UTC")
    for name, count in sorted(found.entities.items(), key=lambda each: -each[1])[:10]:
        console.print(f"  {count:,} of {':'.join(name)}", markup=False)
    if len(found.entities) > 10:
        console.print(f"  and of {len(found.entities) - 10} more")
    for row in found.first[:3]:
        shown = {name: str(row[name]) for name in stream.schema.names if row.get(name) is not None}
        console.print(f"  such as {shown}", markup=False)


@command("replace", 'slackwater correct replace fixed.csv --reason "the venue corrected its file"', of=correct)
@click.argument("file", metavar="FILE")
@source_options
@reason_unless_dry
@dry_run_option
def replace(
    context: Context,
    /,
    file: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
    stream_name: str,
    **options: Any,
) -> None:
    """Put the events of a file in the place of those with the same identities, in one version.

    Every event of the file must be valid and replace one that is there; else nothing changes. It is read like a file of
    `slackwater archive import`, and becomes an epoch of its own.
    """
    from batch_layer.correction_run import CorrectionRun

    if not dry_run and not reason.strip():
        raise click.UsageError("--reason is required, and is recorded with who and when.")
    stream = stream_named(stream_name, context.streams)
    source, epoch, run = open_input(stream, [file], **options), new_epoch(), CorrectionRun(context.parts, stream)
    with (
        hold_import(context.settings.home, context.log.topic_id(context.names.topic(stream))) as lock,
        holding(context.store.lease(epoch, epochs=[epoch])),
    ):
        of = stream, source, context.store, context.log, context.names, CLOCK, lock
        done = import_history(*of, epoch=epoch, replacing=True)
        if done.summary.dead_letters or not done.archive:
            context.store.data.remove(f"archive/{epoch}")
            reasons = {
                **done.summary.refused,
                **({"conflict": done.summary.conflicts} if done.summary.conflicts else {}),
            }
            raise SelectionError(
                f"{file} replaces nothing: {done.summary.accepted:,} of its events are valid, refused are {reasons}.",
                "The dead letters say why; correct the file.",
            )
        if source.left_out:
            context.store.data.remove(f"archive/{epoch}")
            raise SelectionError(f"{file} replaces nothing: {' '.join(source.left_out)}", "Give one file alone.")
        added = Added(epoch, done.archive, done.summary.accepted)
        if dry_run:
            found = run.look(Selection(ids=run.ids_of(added)))
            context.store.data.remove(f"archive/{epoch}")
            facts = {"stream": stream.name, "dry_run": True, "by": added.events, **summary_facts(found)}
            emit(as_json, facts, lambda: _show_summary(stream, found, f"would be replaced by {added.events:,}"))
            return
        publish = lambda: context.batch_run().run()  # noqa: E731
        made = run.replace(added, Path(file).name, user_name(), reason.strip(), publish)
    facts = {**done_facts(stream, made), "epoch": epoch, "by": added.events}
    emit(as_json, facts, lambda: show_done(stream, made))


@command("list", "slackwater correct list", "slackwater correct list --json", of=correct)
def list_corrections(context: Context, as_json: bool) -> None:
    """The ledger: what was taken out, by whom and why, and whether what is served is without it."""
    store = context.store
    current = store.current()
    applied = 0 if current is None else current.corrected
    found = store.corrections.all()
    facts = [
        {
            "number": each.number,
            "kind": each.kind,
            "stream": each.stream,
            "events": each.file.rows,
            "asked": each.asked,
            "at_us": each.at_us,
            "by": each.by,
            "reason": each.reason,
            "applied": each.number <= applied,
            "file": each.file.path,
            "replaced_by": None if each.added is None else each.added.epoch,
        }
        for each in found
    ]

    def show() -> None:
        shown = table("number", "kind", "stream", "events", "asked", "at", "by", "reason", "state")
        for each in facts:
            state = "applied" if each["applied"] else "[yellow]waits[/]"
            texts = [str(each[name]) for name in ("number", "kind", "stream")]
            rest = [str(each[name]) for name in ("by", "reason")]
            at: Any = each["at_us"]
            shown.add_row(*texts, f"{each['events']:,}", str(each["asked"]), time_text(at), *rest, state)
        console.print(shown if facts else "Nothing was ever corrected.")

    emit(as_json, {"corrections": facts}, show)


@command("epochs", "slackwater correct epochs", of=correct)
def list_epochs(context: Context, as_json: bool) -> None:
    """The imports that the archive holds, by the names that --epoch takes."""
    current = context.store.current()
    epochs = {} if current is None else imported_epochs(current)
    facts = [
        {"epoch": name, "stream": of[0].stream, "version": of[0].version, "events": sum(e.file.rows for e in of)}
        for name, of in epochs.items()
    ]

    def show() -> None:
        shown = table("epoch", "stream", "since version", "events")
        for each in facts:
            shown.add_row(str(each["epoch"]), str(each["stream"]), str(each["version"]), f"{each['events']:,}")
        console.print(shown if facts else "Nothing was imported.")

    emit(as_json, {"epochs": facts}, show)
