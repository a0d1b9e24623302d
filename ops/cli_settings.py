"""`slackwater settings`: every setting with its variable, option, default and meaning."""

import click
from rich.table import Table

from ops.context import Context, pass_context
from ops.output import console, emit, examples, json_option
from slackwater.core.settings import SETTINGS


@click.command(name="settings", epilog=examples("slackwater settings", "slackwater --port 9000 settings --json"))
@json_option
@pass_context
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
        table = Table("variable", "option", "default", "unit", "what it does", box=None, padding=(0, 2))
        for row in SETTINGS:
            value = "" if row.secret or row.value(row.default) == row.value(given[row.name]) else given[row.name]
            default = row.default or "-"
            shown = f"{default} [bold](now {value})[/]" if value else default
            table.add_row(row.name, "" if row.secret else row.option, shown, row.unit, row.help)
        console.print(table)

    emit(as_json, {"settings": rows}, show)
