"""`slackwater lesson`."""

import os
import sys
from pathlib import Path

import click

from lesson.cases import CASES, Case
from ops.output import console, emit, examples, json_option


@click.command(
    epilog=examples(
        "slackwater lesson",
        "slackwater lesson --case late --seed 7",
        "slackwater lesson --svg lesson.svg",
        "slackwater lesson --json",
    )
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another seed, another stream.")
@click.option("--case", "cases", multiple=True, type=click.Choice(CASES), help="Only this case; may be repeated.")
@click.option("--minutes", default=4, show_default=True, type=click.IntRange(2, 9), help="Minutes of the sample.")
@click.option(
    "--trades", default=2000, show_default=True, type=click.IntRange(100, 20_000), help="About so many trades."
)
@click.option("--jobs", type=click.IntRange(1), help="Cases played at once. Default: one a core.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write the picture to this file.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table as Markdown.")
@json_option
def lesson(
    seed: int,
    cases: tuple[Case, ...],
    minutes: int,
    trades: int,
    jobs: int | None,
    svg: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Show why the boundary between batch and speed is what it is, without a broker.

    One stream of real trades, with late ones, duplicates, crashes, slow batch runs and a silent partition, is served
    under four boundary rules; every answer is compared with the oracle. Exit code 0 if Slackwater's rule was never
    wrong, else 1.
    """
    from lesson.picture import picture
    from lesson.run import SLACKWATER, Size, run_lesson
    from lesson.table import facts, markdown, show

    chosen = tuple(case for case in CASES if case in cases or not cases)
    jobs = min(jobs or os.cpu_count() or 1, len(chosen))
    if not (as_json or as_markdown):
        console.print(f"Playing {len(chosen)} cases under 4 rules, {jobs} at once; a minute or two ...")
    found = run_lesson(seed, Size(minutes, trades), chosen, jobs)
    if svg is not None:
        svg.write_text(picture(found), encoding="utf-8")
    if as_markdown:
        print(markdown(found))
    else:
        emit(as_json, facts(found), lambda: show(found))
    if any(score.wrong for score in found.scores if score.rule == SLACKWATER):
        sys.exit(1)
