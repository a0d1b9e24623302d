"""`slackwater bench` and `slackwater swaps`."""

import sys

import click

from ops.output import emit, examples, json_option

BENCH_PARTS = ("batch", "speed", "latency", "serving", "export", "stream", "overload", "instruments")


@click.command(
    epilog=examples("slackwater bench", "slackwater bench batch --trades 3000000", "slackwater bench export --json")
)
@click.argument("parts", nargs=-1, type=click.Choice(BENCH_PARTS))
@click.option(
    "--trades",
    default=30_000_000,
    show_default=True,
    type=click.IntRange(100_000),
    help="Trades of `batch` and `serving`.",
)
@json_option
def bench(parts: tuple[str, ...], trades: int, as_json: bool) -> None:
    """Measure throughput, latency and overload on this machine, with a broker and a home folder of its own."""
    from bench.suite import run_bench

    results = run_bench(parts or BENCH_PARTS, trades, quiet=as_json)
    emit(as_json, results, lambda: None)


@click.command(
    epilog=examples("slackwater swaps", "slackwater swaps --swaps 100 --rate 200", "slackwater swaps --json")
)
@click.option("--swaps", "count", default=1000, show_default=True, type=click.IntRange(1), help="Versions to publish.")
@click.option("--rate", default=500, show_default=True, type=click.IntRange(1), help="Requests a second, in all.")
@json_option
def swaps(count: int, rate: int, as_json: bool) -> None:
    """Swap versions one after the other under load, with a broker and a home folder of its own.

    Every different answer is compared with the oracle. Exit code 0 if none failed, tore or went backwards, else 1.
    """
    from bench.swaps import Swaps, holds, run_swaps, show_swaps

    found = run_swaps(Swaps(swaps=count, rate=rate), quiet=as_json)
    emit(as_json, {**found, "holds": holds(found)}, lambda: show_swaps(found))
    if not holds(found):
        sys.exit(1)
