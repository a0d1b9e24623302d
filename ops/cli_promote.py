"""`slackwater batch promote`: a candidate takes the place of the version that it stands beside."""

from dataclasses import asdict

import click

from ops.cli_retention import show_move
from ops.context import Context, pass_context, user_name
from ops.output import emit, examples, json_option


@click.command(
    name="promote",
    epilog=examples(
        'slackwater batch promote 9 --reason "vwap rounds half-even"',
        'slackwater batch promote 9 --reason "vwap rounds half-even" --json',
    ),
)
@click.argument("version", type=click.IntRange(1))
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept in the ledger of moves.")
@json_option
@pass_context
def promote_command(context: Context, version: int, reason: str, as_json: bool) -> None:
    """Serve a candidate: move the pointer from the version that it stands beside to it.

    Refused where another version was published since, or where its deltas do not reach what is served. Later batch
    runs go on in its definition. `slackwater batch list` shows the candidates.
    """
    from batch_layer.promote import Promotion

    if not reason.strip():
        raise click.UsageError("--reason says why.")
    promotion = Promotion(context.parts)
    move = promotion.promote(version, reason.strip(), user_name(), context.settings.proof_seconds)
    facts = {"version": version, "move": asdict(move), "restated": dict(move.restated)}
    emit(as_json, facts, lambda: show_move(move, f"version {version} takes the place of version {move.source}"))
