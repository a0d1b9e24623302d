"""The command line: `slackwater <command>`. Every setting is an environment variable and an option, from one list.

A secret is no option: any user of a machine may read its command lines. Not here: what the commands do; they are in
`ops.cli_*`, and their work is done by the rooms.
"""

import logging
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from ops.cli_backup import backup_command, restore_command
from ops.cli_batch import batch
from ops.cli_capture import capture
from ops.cli_correct import correct
from ops.cli_dead_letters import dead_letters
from ops.cli_gaps import gaps
from ops.cli_ingest import archive, ingest, topics
from ops.cli_instruments import instruments
from ops.cli_keys import key
from ops.cli_serve import serve, serve_ingest, speed
from ops.cli_stack import demo, doctor, settings_command, up
from ops.cli_verify import verify
from ops.cli_versions import stream, view
from ops.context import Context
from ops.output import errors, examples
from slackwater import __version__
from slackwater.core.errors import SlackwaterError, StorageError
from slackwater.core.faults import arm
from slackwater.core.logs import in_json, set_up_logging
from slackwater.core.setting import Setting
from slackwater.core.settings import SETTINGS, from_environ
from slackwater.core.tracing import TRACES

logger = logging.getLogger(__name__)

CHECKOUT = {"bench": "bench.command", "swaps": "bench.command", "lesson": "lesson.command"}
"""Commands of rooms that are not in the wheel, by the module that has each."""


def _option(setting: Setting) -> Any:
    return click.option(setting.option, setting.name, metavar="VALUE", help=setting.help, hidden=True)


class _Commands(click.Group):
    """The commands of this room, and those of CHECKOUT where their rooms are there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All, in order of their names."""
        there = [name for name, module in CHECKOUT.items() if find_spec(module.partition(".")[0])]
        return sorted([*super().list_commands(ctx), *there])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands first: settings are many, and `slackwater settings` shows them."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)
        with formatter.section("Settings"):
            formatter.write_text(
                "Each is an environment variable and an option before the command, such as `slackwater --port 9000 "
                "serve`. `slackwater settings` lists them."
            )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its room imported now."""
        module = CHECKOUT.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        try:
            found: click.Command = getattr(import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            raise click.UsageError(f"`slackwater {cmd_name}` needs a checkout of the project.") from error
        return found


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "slackwater demo", "slackwater up", "slackwater --home /data/slackwater --port 9000 serve", "slackwater doctor"
    ),
)
@click.version_option(__version__, prog_name="slackwater")
@click.pass_context
def main(context: click.Context, /, **given: str | None) -> None:
    """One definition, one cut, one answer: a Lambda architecture whose merged answer equals a full recomputation."""
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    settings = from_environ(environ)
    set_up_logging(settings.log_format)
    arm(os.environ)
    TRACES.start(os.environ, f"slackwater-{context.invoked_subcommand}")
    context.call_on_close(TRACES.stop)
    context.obj = Context(settings)


for _setting in reversed(SETTINGS):
    if not _setting.secret:  # a command line is read by every user of the machine
        main = _option(_setting)(main)

_INGEST, _VERSIONS = (
    (ingest, capture, gaps, archive, dead_letters, instruments, topics),
    (batch, correct, stream, view, backup_command, restore_command),
)
for _command in (demo, up, doctor, settings_command, *_INGEST, speed, serve, serve_ingest, key, *_VERSIONS, verify):
    main.add_command(_command)


def run() -> None:
    """The program: errors meant for people are printed without a traceback; the exit code says if to try again."""
    try:
        main(standalone_mode=False)
    except SlackwaterError as error:
        sys.exit(_failed(error))
    except OSError as error:
        sys.exit(_failed(StorageError(error)))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        errors.print("interrupted")
        sys.exit(130)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except Exception as error:
        from slackwater.core.checked_files import damage_in
        from slackwater.versions.errors import DamagedFileError

        damage = damage_in(error)
        if damage is None:
            raise
        sys.exit(_failed(DamagedFileError(Path(damage[0]), "the bytes that were written", damage[1])))


def _failed(error: SlackwaterError) -> int:
    if in_json():
        logger.error("%s", error, extra={"exit_code": error.exit_code})
        return error.exit_code
    errors.print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)  # one error is one line, also in a log
    return error.exit_code


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
