"""`slackwater speed` and `slackwater serve`."""

import gc
import os
import sys
from dataclasses import replace
from typing import NoReturn

import click

from ops.context import CLOCK, Context, stop_on_signals
from ops.output import command, console, emit
from slackwater.core.tracing import TRACES
from slackwater.log.compression import check_codecs

SWITCH_INTERVAL_S = 0.0005
"""How long the pipeline may keep the interpreter while a delta waits to be sent; Python's own is 5 ms."""


@click.group()
def speed() -> None:
    """The speed layer."""


@command("run", "slackwater speed run", "slackwater speed run --streams trades", of=speed)
@click.option("--streams", help="The streams that it reads, such as trades,fills; all by default.")
def run_command(context: Context, streams: str | None, as_json: bool) -> None:
    """Turn the events of all streams into deltas until told to end. Begins where their chains of deltas end.

    A stream that cannot be read stops none of the others; run one process for some streams and one for the others to
    give each a core.
    """
    from speed_layer.figures import FIGURES
    from speed_layer.metrics import speed_metrics
    from speed_layer.run import run
    from speed_layer.settings import source_settings
    from speed_layer.stopping import STOP

    check_codecs()
    stop_on_signals(STOP)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # what Beam's modules hold stays for ever: no collection need look at it again
    restarts = 0

    def count(number: int) -> None:
        nonlocal restarts
        restarts = number

    settings = context.settings
    with speed_metrics(settings):
        run(source_settings(settings, streams), on_restart=count)
    facts = {"pipelines": restarts, **FIGURES.counts()}
    emit(as_json, facts, lambda: console.print(f"ended: {', '.join(f'{n} {name}' for name, n in facts.items())}"))
    _leave()


def _leave() -> NoReturn:
    """End now. Beam's idle threads outlive a pipeline, and DuckDB's binding would print a page of what they hold."""
    TRACES.stop()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


@command("memory", "slackwater speed memory", "slackwater speed memory --checkpoints 500 --slice-seconds 0.2", of=speed)
@click.option(
    "--checkpoints", default=200, show_default=True, type=click.IntRange(10), help="Self-checkpoints to make."
)
@click.option("--restarts", default=40, show_default=True, type=click.IntRange(0), help="Pipelines started one by one.")
@click.option(
    "--slice-seconds", default=0.25, show_default=True, type=click.FloatRange(0.05), help="Length of a slice."
)
def memory(context: Context, checkpoints: int, restarts: int, slice_seconds: float, as_json: bool) -> None:
    """Sample the memory of the speed layer over many self-checkpoints and restarts, and report its slope."""
    from speed_layer.memory import measure
    from speed_layer.settings import source_settings

    found = measure(source_settings(context.settings, slice_s=slice_seconds), checkpoints, restarts, CLOCK)

    def show() -> None:
        console.print(
            f"{found['samples']} samples over {found['seconds']:.0f} s, first {found['first_mb']:.1f} MB, "
            f"last {found['last_mb']:.1f} MB"
        )
        console.print(
            f"  slope  {found['kb_per_checkpoint']:.2f} KB a self-checkpoint "
            f"({found['checkpoints']} of them), {found['kb_per_restart']:.1f} KB a restart "
            f"({found['restarts']} of them)"
        )
        console.print(f"  that is {found['mb_per_day']:.1f} MB a day with slices of 10 minutes, a pipeline an hour")

    emit(as_json, found, show)


@command("serve-ingest", "slackwater serve-ingest", "slackwater --ingest-port 9001 serve-ingest")
def serve_ingest(context: Context, as_json: bool) -> None:
    """Take in events over HTTP, from any number of producers, until told to end."""
    from ingest.service.run import receive

    url = context.intake_url
    emit(as_json, {"url": url}, lambda: console.print(f"taking events at {url}"))
    receive(context.settings, url)


@command("serve", "slackwater serve", "slackwater --port 9000 serve", "slackwater serve --sql")
@click.option("--sql", is_flag=True, help="Answer POST /v1/sql, to keys of the scope admin; as SLACKWATER_SQL=1.")
def serve(context: Context, sql: bool, as_json: bool) -> None:
    """Serve merged answers over REST, and the page, until told to end."""
    from serving.run import serve as run_serve

    check_codecs()
    emit(as_json, {"url": context.url}, lambda: console.print(f"serving at {context.url}"))
    run_serve(replace(context.settings, sql=sql or context.settings.sql))
