"""`slackwater batch`: makes versions, lists and proves them."""

import logging
import os
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ops.cli_audit import audit_command, audit_facts, show_audit
from ops.cli_parts import compact_command, parts_facts, show_parts
from ops.cli_restatements import restatements_command
from ops.cli_versions import (
    diff_command,
    expire_command,
    pin_command,
    promote_command,
    rollback_command,
    unpin_command,
)
from ops.context import CLOCK, Context, stop_on_signals, user_name
from ops.output import command, console, emit, table, time_text
from slackwater.core.errors import SlackwaterError, StorageError
from slackwater.log.compression import check_codecs
from slackwater.versions.audited import read_audit
from slackwater.versions.handoff import latest_proof
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StreamCut, empty_manifest, stream_facts
from slackwater.versions.proof import Forced, Proof
from slackwater.versions.retention import answering, states

if TYPE_CHECKING:  # a command that makes no version imports no Beam
    from batch_layer.waiting import Idle

logger = logging.getLogger(__name__)

NICE = 10
"""How far runs that come again and again step back from the cores: a version that is a little later harms nobody, an
answer does."""


@click.group()
def batch() -> None:
    """Make versions of the batch views, and list them."""


@command(
    "run",
    "slackwater batch run",
    "slackwater batch run --every 30",
    'slackwater batch run --force "bad delta 17"',
    "slackwater batch run --always",
    "slackwater batch run --full",
    "slackwater batch run --candidate",
    of=batch,
)
@click.option(
    "--every", type=click.IntRange(1, 86_400), metavar="SECONDS", help="Run again and again, so often, at nice 10."
)
@click.option("--force", metavar="REASON", help="Publish even if the proof fails, and record who and why.")
@click.option("--always", is_flag=True, help="Make a version even if nothing is new.")
@click.option("--full", is_flag=True, help="Compute every view of the whole archive again.")
@click.option(
    "--candidate", is_flag=True, help="Build the registered candidates over the served version's cut; serve nothing."
)
def run_command(
    context: Context, every: int | None, force: str | None, always: bool, full: bool, candidate: bool, as_json: bool
) -> None:
    """Mark, archive, compute, prove, publish: one new version, if anything is new.

    Where the log holds nothing but marks since the served version, nothing is written to it and nothing published: it
    says so, and that version stands. Partitions and definitions that are new, a damaged file and a forced version make
    a run, too.

    A run computes what is new and takes over the parts that there are. With --full it takes none: every bar is compared
    with those that are served and the cells since, and what is not proven yet is audited whatever it takes.

    A run that dies, or whose proof fails, leaves the old version served. With --candidate nothing is marked or served:
    the views are built in their other definitions beside the served version, to be compared and promoted.
    """
    check_codecs()
    if candidate:
        if every is not None or force is not None or always or full:
            raise click.UsageError("--candidate makes one candidate, which its proof must find equal.")
        from batch_layer.candidate import CandidateRun

        report_version(CandidateRun(context.parts).run(), as_json)
        return
    if force is not None and (every is not None or not force.strip()):
        raise click.UsageError("--force is for one run, and says why.")
    if full and every is not None:
        raise click.UsageError("--full is for one run.")
    if every is None:
        report_run(_run(context, force, always, full=full), as_json)
        return
    inspector, stuck = Inspector(context.store), dict[tuple[str, int], int]()
    stop = threading.Event()
    stop_on_signals(stop)
    os.nice(NICE)
    while not stop.is_set():
        began = CLOCK.elapsed_s()
        try:
            report_run(_run(context, None, always, inspector, stuck), as_json)
        except SlackwaterError as error:
            logger.error("%s", error)
        except OSError as error:
            logger.error("%s", StorageError(error))
        stop.wait(max(0.0, every - (CLOCK.elapsed_s() - began)))


@command("list", "slackwater batch list", "slackwater batch list --json", "slackwater batch list --parts", of=batch)
@click.option("--parts", "of_parts", is_flag=True, help="The parts of the served version instead.")
def list_command(context: Context, of_parts: bool, as_json: bool) -> None:
    """The versions that are kept, the newest first, what became of each, its pins, and the rollbacks.

    With --parts, of the served version: how many parts each view has, how large they are, how many are not proven yet,
    when they were audited, and how many are read at once for one bar.
    """
    store, audited = context.store, read_audit(context.store)
    if of_parts:
        current = store.current() or empty_manifest({})
        facts = {"version": current.version, "parts": parts_facts(current, audited)}
        emit(as_json, facts, lambda: show_parts(current, audited))
        return
    pointer, versions, state = store.pointer(), answering(store), states(store)
    named = next((manifest for manifest in versions if manifest.version == pointer.version), None)
    served, moves, pins = pointer.version, store.moves.until(pointer.move), store.pins.of_versions()
    facts = {
        "served": served,
        "versions": [
            {
                **manifest_facts(m, latest_proof(store, m)),
                "state": state.get(m.version, "retained"),
                "pins": pins.get(m.version, ()),
            }
            for m in versions
        ],
        "rollbacks": [asdict(move) for move in moves],
        "audit": None if named is None else audit_facts(audited, named),
    }

    def show() -> None:
        shown = table(
            *("", "version", "state", "published (UTC)", "events", "new", "duplicates", "restated", "cut", "took"),
            *("proof", "records", "gap", "overlap", "compared", "differ"),
        )
        for m in versions:
            shown.add_row(
                "[green]●[/]" if m.version == served else "",
                str(m.version),
                " ".join([state.get(m.version, "retained"), *pins.get(m.version, ())]),
                time_text(m.published_us),
                *(f"{m.count(name):,}" for name in ("events", "new_events", "duplicates")),
                f"{sum(m.restated.values()):,}",
                " ".join(f"{name} {_cut_text(own)}" for name, own in m.streams.items()),
                f"{sum(m.timings_ms.values()) / 1000:.1f} s",
                *proof_columns(latest_proof(store, m)),
            )
        console.print(shown if versions else "No version yet. Make one with `slackwater batch run`.")
        if named is not None:
            show_audit(audited, named)
        for move in moves:
            console.print(
                f"{time_text(move.at_us)}  {move.source} -> {move.target}  {move.by}: {move.reason}", markup=False
            )

    emit(as_json, facts, show)


@command("prove", "slackwater batch prove", "slackwater batch prove 7", "slackwater batch prove --json", of=batch)
@click.argument("version", required=False, type=click.IntRange(1))
def prove_command(context: Context, version: int | None, as_json: bool) -> None:
    """Prove versions that were published unproven: one, or all of them. Ends with 1 if one is different.

    The outcome is kept beside the version and shown by `batch list`, in readiness and at /v1/versions/{v}/handoff.
    """
    from batch_layer.prove_later import open_versions, prove_later
    from batch_layer.spill import spilling_alone

    store = context.store
    wanted = list(open_versions(store)) if version is None else [store.manifest(version)]
    if version is not None and wanted[0].proof.outcome != "unproven":
        raise click.UsageError(f"Version {version} was proven when it was published: {wanted[0].proof.outcome}.")
    with spilling_alone(context.parts) as own:
        found = list(prove_later(own, wanted, context.settings.proof_seconds))
    different = False
    for manifest, proof in found:
        different |= proof.outcome == "different"
        facts = {"version": manifest.version, "proof": proof_facts(proof)}

        def show(manifest: Manifest = manifest, proof: Proof = proof) -> None:
            console.print(f"version {manifest.version}: {proof.outcome}  {proof.reason}", markup=False)
            for difference in proof.first:
                console.print(f"  {difference}", markup=False)

        emit(as_json, facts, show)
    if not wanted and not as_json:
        console.print("Every version is proven.")
    if different:
        raise SystemExit(1)


for _command in (
    audit_command,
    compact_command,
    restatements_command,
    diff_command,
    promote_command,
    rollback_command,
    expire_command,
    pin_command,
    unpin_command,
):
    batch.add_command(_command)


def _cut_text(own: StreamCut) -> str:
    return " ".join(f"{mark.partition}:{mark.offset}" for mark in own.marks)


def proof_columns(proof: Proof) -> tuple[str, ...]:
    """A proof in a table: outcome, records between the cuts, gap, overlap, states compared, states that differ."""
    colour = {"equal": "green", "different": "red"}.get(proof.outcome, "yellow")
    forced = ", forced" if proof.forced else ""
    records = sum(span.upto - span.start for span in proof.spans)
    numbers = (records, proof.gap, proof.overlap, proof.compared, proof.differ)
    return (f"[{colour}]{proof.outcome}{forced}[/]", *(f"{number:,}" for number in numbers))


def proof_facts(proof: Proof) -> dict[str, Any]:
    """A proof, for a program."""
    return {**asdict(proof), "gap": proof.gap, "overlap": proof.overlap}


def manifest_facts(manifest: Manifest, proof: Proof | None = None) -> dict[str, Any]:
    """What a version is, for a program; with a proof that is later than its own."""
    return {
        "version": manifest.version,
        "parent": manifest.parent,
        "run_id": manifest.run_id,
        "created_us": manifest.created_us,
        "published_us": manifest.published_us,
        "streams": {name: stream_facts(own) for name, own in manifest.streams.items()},
        "definitions": dict(manifest.definitions),
        "counts": {stream: dict(counts) for stream, counts in manifest.counts.items()},
        "open": list(manifest.open),
        "restated": dict(manifest.restated),
        "proof": proof_facts(proof or manifest.proof),
        "timings_ms": dict(manifest.timings_ms),
    }


def _run(
    context: Context,
    force: str | None = None,
    always: bool = False,
    inspector: Inspector | None = None,
    stuck: dict[tuple[str, int], int] | None = None,
    full: bool = False,
) -> "Manifest | Idle":
    run = context.batch_run(
        forced=None if force is None else Forced(user_name(), force.strip()),
        full=full,
        inspector=inspector,
        stuck={} if stuck is None else stuck,
    )
    return run.run() if always else run.run_if_new()


def report_run(made: "Manifest | Idle", as_json: bool) -> None:
    """Say what a run did."""
    if isinstance(made, Manifest):
        report_version(made, as_json)
    else:
        emit(
            as_json,
            {"version": made.version, "published": False, "reason": str(made)},
            lambda: console.print(str(made)),
        )


def report_version(manifest: Manifest, as_json: bool) -> None:
    """Say what was made."""

    def show() -> None:
        if manifest.candidate:
            console.print(
                f"version {manifest.version} is a candidate beside version {manifest.parent}, over the same "
                f"{manifest.count('events'):,} events; `slackwater batch diff {manifest.parent} {manifest.version}` "
                f"says what it changes, `slackwater batch promote {manifest.version} --reason TEXT` serves it"
            )
            return
        steps = ", ".join(f"{name} {ms} ms" for name, ms in manifest.timings_ms.items())
        console.print(
            f"version {manifest.version} published: {manifest.count('new_events'):,} new of "
            f"{manifest.count('events'):,} events; {steps}; proof: {manifest.proof.outcome}"
        )
        if manifest.proof.reason:
            console.print(f"  {manifest.proof.reason}", markup=False)
        for name, own in manifest.streams.items():
            for held in own.held:
                console.print(f"  Partition {held.partition} of {name} stays at its cut. {held.reason}", markup=False)

    emit(as_json, {**manifest_facts(manifest), "published": not manifest.candidate}, show)
