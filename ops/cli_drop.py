"""`slackwater stream drop` and `slackwater view drop`: a version without a stream or a view that the one before has.

A version never drops one by itself: a run whose program does not know it, since a package is missing, is refused.
"""

from dataclasses import asdict

import click

from ops.context import CLOCK, Context, pass_context, user_name
from ops.output import console, emit, examples, json_option
from slackwater.versions.manifest import Dropped, Kind


@click.group()
def stream() -> None:
    """The streams of the versions."""


@click.group()
def view() -> None:
    """The views of the versions."""


@stream.command(name="drop", epilog=examples('slackwater stream drop fills --reason "the venue closed"'))
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded with who and when.")
@json_option
@pass_context
def drop_stream(context: Context, name: str, reason: str, as_json: bool) -> None:
    """Publish a version without a stream and its views. Its topics stay; its archive goes when older versions expire.

    Refused while this program has the stream: take it out of SLACKWATER_STREAMS and SLACKWATER_VIEWS, or uninstall its
    package, everywhere first, or the next run takes it in again.
    """
    _drop(context, "stream", name, reason, as_json)


@view.command(name="drop", epilog=examples('slackwater view drop spreads --reason "nobody reads it"'))
@click.argument("name")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded with who and when.")
@json_option
@pass_context
def drop_view(context: Context, name: str, reason: str, as_json: bool) -> None:
    """Publish a version without a view. The archive of its stream stays, so it can be made again.

    Refused while this program has the view: take it out of SLACKWATER_VIEWS, or uninstall its package, everywhere
    first, or the next run takes it in again.
    """
    _drop(context, "view", name, reason, as_json)


def _drop(context: Context, kind: Kind, name: str, reason: str, as_json: bool) -> None:
    from batch_layer.run import BatchRun

    if not reason.strip():
        raise click.UsageError("--reason is empty.")
    dropped = Dropped(kind, name, user_name(), reason.strip(), CLOCK.now_us())
    run = BatchRun(context.parts, drop=dropped, keep=context.settings.keep_versions)
    run.proof_deadline_s = context.settings.proof_seconds
    made = run.run()
    facts = {"version": made.version, "dropped": asdict(dropped)}
    emit(as_json, facts, lambda: console.print(f"version {made.version} is without the {kind} {name}", markup=False))
