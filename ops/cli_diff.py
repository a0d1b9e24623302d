"""`slackwater batch diff`: what two versions answer differently."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ops.context import Context, pass_context
from ops.output import console, emit, examples, json_option
from slackwater.views.registry import registered

if TYPE_CHECKING:
    from batch_layer.diff import Diff


@click.command(
    name="diff", epilog=examples("slackwater batch diff 8 9", "slackwater batch diff 8 9 --examples 100 --json")
)
@click.argument("a", metavar="V", type=click.IntRange(1))
@click.argument("b", metavar="W", type=click.IntRange(1))
@click.option(
    "--examples", "shown", default=10, show_default=True, type=click.IntRange(0, 10_000), help="Rows to show."
)
@json_option
@pass_context
def diff_command(context: Context, a: int, b: int, shown: int, as_json: bool) -> None:
    """Compare the finished answers of two versions, exactly: rows, fields, and the largest differences.

    Ends with 0 if all are equal and with 1 if anything differs.
    """
    from batch_layer.diff import diff_versions

    store = context.store
    found = diff_versions(store, registered(context.settings.views), a, b, shown)
    same_cut = store.manifest(a).cuts == store.manifest(b).cuts
    for each in found:
        facts = {"versions": [a, b], "same_cut": same_cut, "equal": each.equal, **asdict(each)}

        def show(each: "Diff" = each) -> None:
            _show(each, a, b)

        emit(as_json, facts, show)
    if not same_cut and not as_json:
        console.print("Their cuts are not the same, so the events between the cuts differ, too.")
    if not all(each.equal for each in found):
        raise SystemExit(1)


def _show(diff: "Diff", a: int, b: int) -> None:
    if None in diff.definitions:
        only, lacking = (b, a) if diff.definitions[0] is None else (a, b)
        rows = f" {diff.interval}: {diff.only_a + diff.only_b:,} rows" if diff.interval else ""
        console.print(f"{diff.view}{rows} in {only} alone; version {lacking} does not hold this view")
        return
    console.print(
        f"{diff.view} {diff.interval}: {diff.both:,} rows in both, {diff.differ:,} of them differ; "
        f"{diff.only_a:,} in {a} alone, {diff.only_b:,} in {b} alone"
    )
    for number, fields in ((a, diff.fields_a), (b, diff.fields_b)):
        if fields:
            console.print(f"  answers of {number} alone: {', '.join(fields)}")
    for field in diff.fields:
        console.print(f"  {field.field}: {field.rows:,} rows", markup=False)
        for text, row in (("largest", field.largest), ("largest ratio", field.largest_ratio)):
            if row is not None:
                console.print(f"    {text}: {row}", markup=False)
    for row in diff.first:
        console.print(f"  {row}", markup=False)
    for number, places in diff.alone.items():
        for place in places:
            console.print(f"  in {number} alone: {place}", markup=False)
