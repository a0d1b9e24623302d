"""What commands print: text for people (rich), or JSON lines for programs with `--json`. Logs go to stderr."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

# In a pipe or a file nothing is wrapped at some width that nobody has.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def emit(as_json: bool, facts: dict[str, Any], show: Callable[[], None]) -> None:
    """Print `facts` as one JSON line, or let `show` print them for a person."""
    if as_json:
        print(json.dumps(facts, default=str), flush=True)
    else:
        show()


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
