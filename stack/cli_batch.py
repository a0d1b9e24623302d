"""`slackwater batch` and `slackwater archive`."""

import logging
import threading
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from ingest.archive_import import import_history
from ingest.lock import hold
from slackwater.errors import SlackwaterError, StorageError
from stack.cli_ingest import open_input, progress_bar, show_summary, source_options, summary_facts
from stack.context import CLOCK, Context, pass_context, stop_on_signals
from stack.output import console, emit, examples, json_option
from versions.manifest import Manifest
from views.registry import VIEWS

logger = logging.getLogger(__name__)


@click.group()
def batch() -> None:
    """Make versions of the batch views, and list them."""


@batch.command(
    name="run",
    epilog=examples("slackwater batch run", "slackwater batch run --every 30", "slackwater batch run --json"),
)
@click.option("--every", type=click.IntRange(1, 86_400), metavar="SECONDS", help="Run again and again, so often.")
@json_option
@pass_context
def run_command(context: Context, every: int | None, as_json: bool) -> None:
    """Mark, archive, compute, publish: one new version. A run that dies leaves the old version served."""
    if every is None:
        _report(_run(context), as_json)
        return
    stop = threading.Event()
    stop_on_signals(stop)
    while not stop.is_set():
        began = CLOCK.elapsed_s()
        try:
            _report(_run(context), as_json)
        except SlackwaterError as error:
            logger.error("%s", error)
        except OSError as error:
            logger.error("%s", StorageError(error))
        stop.wait(max(0.0, every - (CLOCK.elapsed_s() - began)))


@batch.command(name="list", epilog=examples("slackwater batch list", "slackwater batch list --json"))
@json_option
@pass_context
def list_command(context: Context, as_json: bool) -> None:
    """The published versions, the newest first, and which one is served."""
    store = context.store
    served = store.pointer().version
    versions = store.whole()
    facts = {"served": served, "versions": [manifest_facts(manifest) for manifest in versions]}

    def show() -> None:
        table = Table(
            "", "version", "published (UTC)", "events", "new", "cut", "proof", "took", box=None, padding=(0, 2)
        )
        for m in versions:
            table.add_row(
                "[green]●[/]" if m.version == served else "",
                str(m.version),
                f"{datetime.fromtimestamp(m.created_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}",
                f"{m.counts['events']:,}",
                f"{m.counts['new_events']:,}",
                " ".join(f"{mark.partition}:{mark.offset}" for mark in m.marks),
                m.proof.outcome,
                f"{sum(m.timings_ms.values()) / 1000:.1f} s",
            )
        console.print(table if versions else "No version yet. Make one with `slackwater batch run`.")

    emit(as_json, facts, show)


@click.group()
def archive() -> None:
    """The master dataset."""


@archive.command(
    name="import",
    epilog=examples(
        "slackwater archive import history/*.parquet",
        "slackwater archive import trades.csv --map price=p,quantity=q,time=ts --time-unit ms",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@source_options
@json_option
@pass_context
def import_command(context: Context, /, files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Validate history and write it straight into the master dataset, past the broker; then publish a version.

    Each file becomes an epoch of its own. Ids that the archive or the log already has are refused: with the same
    content as duplicates, with another one as dead letters.
    """
    from batch_layer.archive import Epoch
    from batch_layer.run import BatchRun

    for file in files:
        source = open_input(file, **options)
        # The lock is held until the epoch is published: no ingest may accept an id in between.
        with hold(context.settings.home, context.log.topic_id(context.names.trades)) as lock:
            with progress_bar(as_json) as progress:
                done = import_history(source, context.store, context.log, context.names, CLOCK, lock, progress)
            facts: dict[str, Any] = {"file": file, "epoch": done.epoch, **summary_facts(done.summary)}
            if done.archive:
                extra = Epoch(done.archive, done.ids, done.summary.accepted, done.summary.refused)
                run = BatchRun(context.log, context.names, context.store, VIEWS, CLOCK, extra=extra)
                facts["version"] = run.run().version

        def show(file: str = file, facts: dict[str, Any] = facts) -> None:
            show_summary(file, facts)
            made = f"version {facts['version']}" if "version" in facts else "no version: nothing was new"
            console.print(f"  published  {made}")

        emit(as_json, facts, show)


def manifest_facts(manifest: Manifest) -> dict[str, Any]:
    """What a version is, for a program."""
    return {
        "version": manifest.version,
        "parent": manifest.parent,
        "run_id": manifest.run_id,
        "created_us": manifest.created_us,
        "cut": manifest.cut,
        "definitions": dict(manifest.definitions),
        "counts": dict(manifest.counts),
        "proof": manifest.proof.outcome,
        "timings_ms": dict(manifest.timings_ms),
    }


def _run(context: Context) -> Manifest:
    from batch_layer.run import BatchRun

    return BatchRun(context.log, context.names, context.store, VIEWS, CLOCK).run()


def _report(manifest: Manifest, as_json: bool) -> None:
    def show() -> None:
        steps = ", ".join(f"{name} {ms} ms" for name, ms in manifest.timings_ms.items())
        console.print(
            f"version {manifest.version} published: {manifest.counts['new_events']:,} new of "
            f"{manifest.counts['events']:,} events; {steps}"
        )

    emit(as_json, manifest_facts(manifest), show)
