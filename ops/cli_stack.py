"""`slackwater up`, `demo`, `doctor` and `settings`: the programs of one machine, and what they are told."""

import sys
from dataclasses import replace

import click

from ops.context import Context
from ops.output import command, console, emit, table
from slackwater.core.settings import SETTINGS


@command("up", "slackwater up", "slackwater --batch-seconds 60 up", "slackwater up --json")
def up(context: Context, as_json: bool) -> None:
    """Run broker, speed layer, batch layer and service on this machine, until Ctrl-C."""
    from ops.up import run_up

    run_up(context, as_json)


@command("demo", "slackwater demo", "slackwater demo --seconds 60", "slackwater --port 9000 demo --seconds 60 --json")
@click.option("--seconds", type=click.IntRange(10, 86_400), help="End after so long. Default: at Ctrl-C.")
@click.option("--batch-every", default=10, show_default=True, type=click.IntRange(2), help="Seconds between versions.")
def demo(context: Context, seconds: int | None, batch_every: int, as_json: bool) -> None:
    """Run everything with real trades as if they happened now, show what happens, and prove the answers at the end.

    Exit code 0 only if every bar equals a full recomputation.
    """
    from ops.demo import run_demo

    context = Context(replace(context.settings, batch_seconds=batch_every))
    sys.exit(0 if run_demo(context, seconds, as_json) else 1)


@command("doctor", "slackwater doctor", "slackwater doctor --json")
def doctor(context: Context, as_json: bool) -> None:
    """Check this machine, and say what to do. Exit code 1 if something needed is missing."""
    from ops.doctor import examine

    findings = examine(context)
    facts = {"findings": [finding._asdict() for finding in findings]}

    def show() -> None:
        for finding in findings:
            sign = {"ok": "[green]✓[/]", "note": "[yellow]•[/]", "bad": "[red]✗[/]"}[finding.verdict]
            console.print(f"{sign} [bold]{finding.what}[/]  {finding.found}")
            if finding.advice:
                console.print(f"    {finding.advice}")

    emit(as_json, facts, show)
    if any(finding.verdict == "bad" for finding in findings):
        sys.exit(1)


@command("settings", "slackwater settings", "slackwater --port 9000 settings --json")
def settings_command(context: Context, as_json: bool) -> None:
    """Show every setting: its variable, its option, its default, and the value in force where that is another.

    An option stands before the command: `slackwater --port 9000 serve`. A secret is a variable alone, and is not shown.
    """
    given = context.settings.environ()
    rows = [
        {
            "name": row.name,
            "option": None if row.secret else row.option,
            "default": row.default,
            "value": None if row.secret else given[row.name],
            "unit": row.unit,
            "help": row.help,
        }
        for row in SETTINGS
    ]

    def show() -> None:
        found = table("variable", "option", "default", "unit", "what it does")
        for row in SETTINGS:
            value = "" if row.secret or row.value(row.default) == row.value(given[row.name]) else given[row.name]
            default = row.default or "-"
            shown = f"{default} [bold](now {value})[/]" if value else default
            found.add_row(row.name, "" if row.secret else row.option, shown, row.unit, row.help)
        console.print(found)

    emit(as_json, {"settings": rows}, show)
