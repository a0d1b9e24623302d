"""What commands print: text for people (rich), or JSON lines for programs with `--json`. Logs go to stderr."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ops.context import pass_context

# In a pipe or a file nothing is wrapped at some width that nobody has.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def _not_empty(_: click.Context, __: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.UsageError("--reason is empty.")
    return value.strip()


reason_option = click.option(
    "--reason", required=True, metavar="TEXT", callback=_not_empty, help="Why; it is recorded with who and when."
)


def emit(as_json: bool, facts: dict[str, Any], show: Callable[[], None]) -> None:
    """Print `facts` as one JSON line, or let `show` print them for a person."""
    if as_json:
        print(json.dumps(facts, default=str), flush=True)
    else:
        show()


def command(name: str, *lines: str, of: click.Group | None = None) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command, with examples in its help and `--json` as its last option, and adds it to a group.

    Its function is given the context, its own arguments and options, and `as_json`.
    """

    def made(function: Callable[..., None]) -> click.Command:
        found = click.command(name, epilog=examples(*lines))(json_option(pass_context(function)))
        found.params.append(found.params.pop(0))  # --json, which stands first here and last in the help
        if of is not None:
            of.add_command(found)
        return found

    return made


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def table(*columns: str) -> Table:
    """An empty table without lines."""
    return Table(*columns, box=None, padding=(0, 2))


def time_text(at_us: int) -> str:
    """A time in microseconds, UTC, to the second; 0: none."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}" if at_us else ""


def plain(text: str) -> str:
    """A text as it is: rich would take brackets in it for its own, and a terminal control characters for orders."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.replace("[", "\\[")
