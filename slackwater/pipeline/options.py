"""The options of a Beam program: Beam's standard ones and a layer's own, all in `--help`, none guessed.

Beam itself drops options that it does not know with a warning, and its `--help` lists none. Runners that ask a job
server take options that only the server knows, such as Flink's `--parallelism`; with them the others pass through.
"""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, _BeamArgumentParser
from apache_beam.runners.runner import create_runner

from slackwater.core.errors import SettingError

JOB_SERVER_RUNNERS = frozenset({"flinkrunner", "portablerunner", "prismrunner", "sparkrunner"})


_Kind = TypeVar("_Kind", bound=PipelineOptions)


class Options(PipelineOptions):
    """Options that give the same view of a kind each time it is asked for.

    Beam builds a parser and parses the command line for each view, and asks for more than a hundred of them in a run: a
    tenth of the time of a small one. What the views hold is shared in any case, so that one is as good as many.
    """

    def view_as(self, cls: type[_Kind]) -> _Kind:
        """See PipelineOptions."""
        views: dict[type[PipelineOptions], Any] = self.__dict__.setdefault("_views", {})  # attributes are options
        if cls not in views:
            views[cls] = super().view_as(cls)
        found: _Kind = views[cls]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_views"}


def read_options(program: str, about: str, arguments: Sequence[str], own: type[Any], **more: Any) -> Any:
    """The PipelineOptions of a command line. `own` declares the program's options, `more` overrides any by name.

    Raises:
        SettingError: an option is unknown or has a value that cannot be used, or there is no such runner.
        SystemExit: `--help` was asked for.
    """
    parser = _Parser(
        prog=f"python -m {program}",
        usage=f"python -m {program} [options]",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    own._add_argparse_args(parser.add_argument_group(f"options of {program}"))
    others = parser.add_argument_group("options of Apache Beam")
    for kind in dict.fromkeys(PipelineOptions.__subclasses__()):
        # Subclasses of this project are other programs' options.
        if kind.__module__.startswith("apache_beam."):
            others.add_value_provider_argument = parser.add_value_provider_argument
            kind._add_argparse_args(others)
    _, unknown = parser.parse_known_args(arguments)
    runner = PipelineOptions(arguments).view_as(StandardOptions).runner
    if unknown and _name(runner) not in JOB_SERVER_RUNNERS:
        raise SettingError(f"Unknown option {unknown[0]!r}.", _hint(unknown[0], parser))
    if runner is not None:
        try:
            create_runner(runner)
        except (ValueError, ImportError, AttributeError, TypeError) as error:
            raise SettingError(f"--runner is {runner!r}: {error}.") from error
    return Options(arguments, **more)


class _Parser(_BeamArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message[:1].upper()}{message[1:]}.", "--help lists the options.")


def _name(runner: str | None) -> str:
    name = (runner or "").rpartition(".")[2].lower()
    return name if name.endswith("runner") else name + "runner"


def _hint(option: str, parser: Any) -> str:
    known = [text for action in parser._actions for text in action.option_strings]
    near = difflib.get_close_matches(option.partition("=")[0], known, n=1)
    return f"Did you mean {near[0]}?" if near else "--help lists the options."
