"""The batch layer as a plain Beam program.

    python -m batch_layer --runner=... [Beam options]                    one batch run, if anything is new
    python -m batch_layer --input 'trades/*.parquet' --output views/     the views of any Parquet files, no broker

Without `--runner` it runs in process. Settings come from the environment, as for `slackwater`. Rows of `--input` are
events of `--stream` and checked as those of `slackwater archive import` are; where one is refused the exit code is 1
unless `--allow-refused`.
"""

import os
import sys
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from batch_layer.errors import BatchError
from batch_layer.input import find_input, views_of_input
from batch_layer.run import BatchRun
from batch_layer.sink import shard_path
from batch_layer.waiting import Idle
from slackwater.context import Context
from slackwater.core.clock import SystemClock
from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import arm
from slackwater.core.logs import set_up_logging
from slackwater.core.settings import from_environ
from slackwater.core.tracing import TRACES
from slackwater.log.kafka_log import log_of
from slackwater.log.names import TopicNames
from slackwater.pipeline.options import read_options
from slackwater.streams.event import AHEAD_US
from slackwater.streams.registry import registered as registered_streams
from slackwater.streams.registry import stream_named
from slackwater.streams.stream import Stream
from slackwater.versions.snapshots import Schedule
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import defaults
from slackwater.views.limits import Limits, limits_of
from slackwater.views.registry import views_of
from slackwater.views.view import View


class BatchOptions(PipelineOptions):
    """The options of its own; all others are Beam's."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--input", help="Parquet files of events, a glob; then no broker is used.")
        parser.add_argument("--output", help="Folder that the views of --input are written to.")
        parser.add_argument("--stream", help="The stream of --input; the first registered one if it is not given.")
        allow = "End with 0 even if rows of --input were refused; they never count."
        parser.add_argument("--allow_refused", "--allow-refused", action="store_true", help=allow)


def main(arguments: list[str]) -> int:
    """Run; 0 if a version was published, nothing was new, or the views were written."""
    try:
        arm(os.environ)
        settings = from_environ(os.environ)
        set_up_logging(settings.log_format)
        TRACES.start(os.environ, "slackwater-batch")
        options = read_options("batch_layer", __doc__ or "", arguments, BatchOptions)
        own, views = options.view_as(BatchOptions), views_of(settings)
        streams = registered_streams(settings.streams)
        if (own.input is None) != (own.output is None):
            raise BatchError("--input and --output go together.")
        if own.input is not None:
            stream = streams[0] if own.stream is None else stream_named(own.stream, streams)
            return _views_of(stream, own, defaults(views), options, limits_of(settings))
        log, store = log_of(settings), VersionStore(settings.home)
        context = Context(log, TopicNames(settings.prefix), store, views, SystemClock(), streams, limits_of(settings))
        run = BatchRun(context, options)
        run.proof_deadline_s, run.keep = settings.proof_seconds, settings.keep_versions
        run.snapshots = Schedule(settings.snapshot_hours, settings.snapshot_days)
        made = run.run_if_new()
    except SlackwaterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(made, Idle):
        print(made)
    else:
        print(f"version {made.version}: {made.count('events')} events, cut {made.cuts}, {made.proof.outcome}")
    return 0


def _views_of(stream: Stream, own: BatchOptions, views: tuple[View, ...], options: Any, limits: Limits) -> int:
    """The views of files; prints where they are on stdout, and on stderr what became of the rows."""
    folder, views = Path(own.output).absolute(), tuple(view for view in views if view.stream == stream)
    if not views:
        raise BatchError(f"No view is of the stream {stream.name!r}.", "Name its module in SLACKWATER_VIEWS.")
    latest_us = SystemClock().now_us() + AHEAD_US
    done = views_of_input(stream, find_input(stream, own.input), views, folder, latest_us, options, limits)
    if done.accepted:
        for view in views:
            for interval in view.intervals:
                print(f"{view.name} {interval.text}: {shard_path(folder, view.name, interval, 0)}")
    print(done.text, file=sys.stderr)
    if done.refused and not own.allow_refused:
        raise BatchError(
            f"{done.refused.total():,} rows were refused: {folder / 'refused.jsonl'} says which and why. "
            "The views hold the others.",
            "Mend them, or leave them out on purpose with --allow-refused.",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
