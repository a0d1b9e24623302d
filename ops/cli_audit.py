"""`slackwater batch audit`, and what `batch list` says of audits."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ops.context import Context
from ops.output import command, console, emit, table, time_text
from slackwater.versions.audited import AuditState
from slackwater.versions.manifest import Manifest

if TYPE_CHECKING:
    from batch_layer.audit_parts import Found


@command("audit", "slackwater batch audit", "slackwater batch audit --all", "slackwater batch audit --all --json")
@click.option("--all", "every", is_flag=True, help="Every part of the served version, from its first bar to its last.")
def audit_command(context: Context, every: bool, as_json: bool) -> None:
    """Make the bars of the served version again of the archive, and compare. Ends with 1 if any differ.

    Every batch run audits some; this goes on with that round by as much as a run would, and with --all over everything.
    Nothing is published. What is wrong is noted, and the next batch run makes that view again of the whole archive; the
    closed bars that change are restatements with the cause `audit`. What nobody could prove counts as proven once all
    that it made was found right.
    """
    from batch_layer.audit_run import AuditRun

    found = list["Found"]()
    version, state = AuditRun(context.parts, every, found.append).run()
    wrong = state.wrong_views(version)
    facts = {
        **audit_facts(state, version),
        "version": version.version,
        "compared": sum(each.compared for each in found),
        "differ": sum(each.differ for each in found),
        "steps": [_step_facts(each) for each in found],
    }
    emit(as_json, facts, lambda: _show(version, state, found))
    if wrong or any(each.differ or each.failed for each in found):
        raise SystemExit(1)


def audit_facts(state: AuditState, version: Manifest) -> dict[str, Any]:
    """What is known of the parts of a version, for a program."""
    return {
        "parts": len(version.parts),
        "never": state.never(version.parts),
        "longest_us": state.longest_us(version),
        "rows": state.rows,
        "wrong": {view: found._asdict() for view, found in state.wrong_views(version).items()},
    }


def show_audit(state: AuditState, version: Manifest) -> None:
    """The same in a line for a person, and a line for each view that is wrong."""
    since = time_text(state.longest_us(version))
    never, parts = state.never(version.parts), len(version.parts)
    console.print(
        f"audit of version {version.version}: {never:,} of {parts:,} parts were never found right; the longest has "
        f"waited since {since}"
    )
    for view, found in state.wrong_views(version).items():
        console.print(f"  {view} is wrong since version {found.version} or before: {found.text}", markup=False)


def _step_facts(found: "Found") -> dict[str, Any]:
    place, low, high, rows = found.step
    facts = {**place._asdict(), "low": low, "high": high, "rows": rows, "compared": found.compared}
    return {**facts, "differ": found.differ, "first": [asdict(each) for each in found.first], "failed": found.failed}


def _show(version: Manifest, state: AuditState, found: "list[Found]") -> None:
    shown = table("view", "interval", "shard", "rows read", "bars compared", "differ")
    of = dict.fromkeys(each.step.place for each in found)
    for place in of:
        own = [each for each in found if each.step.place == place]
        read, compared = sum(each.step.rows for each in own), sum(each.compared for each in own)
        numbers = place.shard, read, compared, sum(each.differ for each in own)
        shown.add_row(place.view, place.interval, *(f"{number:,}" for number in numbers))
    console.print(shown)
    for each in found:
        for difference in each.first[:3]:
            console.print(f"  {difference}", markup=False)
        if each.failed:
            console.print(f"  {each.step.place.view} of shard {each.step.place.shard}: {each.failed}", markup=False)
    differ, compared = sum(each.differ for each in found), sum(each.compared for each in found)
    console.print(f"{differ:,} of {compared:,} bars differ")
    show_audit(state, version)
