"""`slackwater verify`."""

import sys
from dataclasses import asdict
from typing import Any

import click

from ops.context import Context
from ops.evidence import LogEvidence, claims, prove
from ops.output import command, console, emit
from ops.rest import session
from slackwater.log.compression import check_codecs
from slackwater.views.interval import NAMED_INTERVALS, parse_interval
from verify.client import Client, Entity
from verify.proof import Proof
from verify.run import WAIT_S


@command("verify", "slackwater verify", "slackwater verify --interval 1m --symbol BTCUSDT", "slackwater verify --json")
@click.option("--interval", "intervals", multiple=True, help="Only this interval; may be repeated. Default: all named.")
@click.option("--venue", help="Only this venue, or what the first column of an entity is.")
@click.option("--symbol", help="Only this symbol, or what the second column of an entity is.")
@click.option("--url", help="The service to ask. Default: the one of the settings.")
@click.option("--wait", "wait_s", default=WAIT_S, show_default=True, type=click.FloatRange(0), metavar="SECONDS")
def verify(
    context: Context,
    intervals: tuple[str, ...],
    venue: str | None,
    symbol: str | None,
    url: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Recompute every row of every view with an independent oracle and compare it with what the service answers.

    Exit code 0 if all rows, and the events of every stream, are equal and stand on every event that the log held at
    the start; 1, and the first differences, if any is not, or if the oracle does not know what a view declares. An
    answer that lacks some, or is refused, is asked for again for --wait seconds.
    """
    check_codecs()
    chosen = tuple(parse_interval(text) for text in intervals) or NAMED_INTERVALS
    with Client(url or context.url, http=session(context, url, 30.0)) as client:
        views = context.views
        of = claims(views, chosen, lambda each: _named(each, (venue, symbol)), context.streams)
        proof = prove(client, LogEvidence(context.log, context.names, context.store), of, wait_s)
    emit(as_json, proof_facts(proof), lambda: show_proof(proof))
    if not proof.holds:
        sys.exit(1)


def _named(entity: Entity, given: tuple[str | None, ...]) -> bool:
    return all(name in {None, *entity[at : at + 1]} for at, name in enumerate(given))


def proof_facts(proof: Proof) -> dict[str, Any]:
    """A proof, for a program."""
    return {
        "holds": proof.holds,
        "views": {name: asdict(part) for name, part in proof.parts.items()},
        "rows": proof.rows,
        "differ": proof.differ,
        "answers": proof.answers,
        "entities": sorted(proof.entities),
        "intervals": sorted(proof.intervals),
        "versions": sorted(proof.versions),
        "events": proof.events,
        "seconds": round(proof.seconds, 3),
        "differences": proof.differences,
        "refusals": proof.refusals,
        "tail": proof.tail,
    }


def show_proof(proof: Proof) -> None:
    """A proof, for a person."""
    colour, word = ("green", "holds") if proof.holds else ("red", "FAILS")
    console.print(
        f"[bold {colour}]The proof {word}:[/] {proof.rows:,} rows compared, [bold]{proof.differ:,} differ[/]  "
        f"({len(proof.entities)} instruments, {len(proof.intervals)} intervals, {proof.events:,} events recomputed "
        f"in {proof.seconds:.1f} s)"
    )
    if not proof.rows:
        console.print("  There was nothing to compare.")
    for name, part in proof.parts.items():
        said = f"{part.rows:,} rows, {part.differ:,} differ"
        if part.not_proven or part.pending:
            said = f"not proven: {part.not_proven}" if part.not_proven else f"nothing yet: {part.pending}"
        console.print(f"  {name}: {said}", markup=False)
    for refusal in proof.refusals:
        console.print(f"  refused: {refusal}", markup=False)
    for missing in proof.tail:
        console.print(f"  not in any answer: {missing}", markup=False)
    for difference in proof.differences:
        console.print(
            "  {view} of {entity} {interval} at {place}: {field} is {served}, the oracle has {expected} "
            "(version {version}, applied {applied})".format(**difference),
            markup=False,
        )
