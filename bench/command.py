"""`slackwater bench` and `slackwater swaps`."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from ops.output import emit, examples, json_option

BENCH_PARTS = (
    *("batch", "speed", "floor", "latency", "serving", "export", "stream", "overload", "idle"),
    *("instruments", "history", "archive", "import", "intake", "capture", "full", "versions", "cold"),
)


@click.command(
    epilog=examples(
        "slackwater bench",
        "slackwater bench batch --trades 3000000",
        "slackwater bench archive --trades 10000000",
        "slackwater bench export --json",
        "slackwater bench history --sizes 3000000,300000000 --runs 9",
        "slackwater bench speed latency --before ../older --rounds 5",
        "slackwater bench --before ../older --at-once --trades 2000000 --rounds 8",
    )
)
@click.argument("parts", nargs=-1, type=click.Choice(BENCH_PARTS))
@click.option(
    "--trades",
    default=30_000_000,
    show_default=True,
    type=click.IntRange(100_000),
    help="Trades of `batch`, `serving`, `archive`, `import`, `full` and `cold`.",
)
@click.option(
    "--sizes",
    metavar="N,N,...",
    help="Trades of history of `history`, one size after the other; default: 3000000,30000000.",
)
@click.option("--runs", type=click.IntRange(1), help="Batch runs of `history` for each size; default: 24.")
@click.option(
    "--before",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="An older checkout with its .venv: measure both in turn, and print the ratio of each figure.",
)
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="How often each is measured with --before."
)
@click.option("--at-once", is_flag=True, help="With --before: hot answers alone, of both services in short turns.")
@json_option
def bench(
    parts: tuple[str, ...],
    trades: int,
    sizes: str | None,
    runs: int | None,
    before: Path | None,
    rounds: int,
    at_once: bool,
    as_json: bool,
) -> None:
    """Measure throughput, latency and overload on this machine, with a broker and a home folder of its own."""
    if at_once and (before is None or parts):
        raise click.UsageError("--at-once goes with --before and without parts.")
    if before is not None and (sizes or runs):
        raise click.UsageError("--sizes and --runs go without --before: run it in each checkout.")
    if before is not None:
        from bench.at_once import run_at_once
        from bench.pairs import run_pairs, show_pairs

        found = (
            run_at_once(before, trades, rounds) if at_once else run_pairs(before, parts or BENCH_PARTS, trades, rounds)
        )
        emit(as_json, found, lambda: show_pairs(found))
        return
    from bench.history import HISTORY_SHAPE
    from bench.suite import PLAN, run_bench

    shape = HISTORY_SHAPE._replace(
        sizes=HISTORY_SHAPE.sizes if sizes is None else _sizes(sizes), runs=runs or HISTORY_SHAPE.runs
    )
    results = run_bench(parts or BENCH_PARTS, trades, as_json, replace(PLAN, history=shape))
    emit(as_json, results, lambda: None)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(each) for each in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"--sizes {text!r} are no numbers with commas between.") from error
    if min(found) < 1:
        raise click.UsageError("--sizes are at least 1.")
    return found


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
