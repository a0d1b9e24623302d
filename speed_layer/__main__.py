"""The speed layer as a plain Beam program.

    python -m speed_layer [--streams trades] [--partitions 0,1] --runner=... [Beam options]

Without `--runner` it runs in process until it is told to end. On a cluster, submit one job for each share of the
partitions. Settings come from the environment, as for `slackwater`.
"""

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from slackwater.core.errors import SettingError, SlackwaterError
from slackwater.core.faults import arm
from slackwater.core.logs import set_up_logging
from slackwater.core.settings import from_environ
from slackwater.log.compression import check_codecs
from slackwater.pipeline.options import read_options
from slackwater.views.definitions import streams_of
from speed_layer.metrics import speed_metrics
from speed_layer.run import ALL, build, run
from speed_layer.settings import source_settings
from speed_layer.source import Share, SourceSettings
from speed_layer.stopping import STOP

CLUSTER_SLICE_S = 10.0
"""A runner's own checkpoint, and its stop, wait for the end of a slice."""


class SpeedOptions(PipelineOptions):
    """The options of its own; all others are Beam's."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--streams", help="Streams that this job reads, such as trades,fills. Default: all.")
        parser.add_argument("--partitions", help="Partitions of each that it reads, such as 0,1. Default: all.")


def main(arguments: list[str]) -> int:
    """Run until told to end."""
    try:
        arm(os.environ)
        settings = from_environ(os.environ)
        set_up_logging(settings.log_format)
        check_codecs()
        options = read_options("speed_layer", __doc__ or "", arguments, SpeedOptions, streaming=True)
        source = source_settings(settings, options.view_as(SpeedOptions).streams)
        share = _share(options.view_as(SpeedOptions).partitions, source)
        if options.view_as(StandardOptions).runner is None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: STOP.set())
            with speed_metrics(settings):
                run(source, share)
        else:
            pipeline = beam.Pipeline(options=options)
            build(pipeline, replace(source, slice_s=CLUSTER_SLICE_S), [share])
            pipeline.run().wait_until_finish()
    except SlackwaterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _share(text: str | None, source: SourceSettings) -> Share:
    if text is None:
        return ALL
    log = source.open_log()
    there = sorted({p for stream in streams_of(source.views) for p in log.bounds(source.names.topic(stream))})
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) in there for word in words):
        raise SettingError(f"--partitions is {text!r}.", f"There are {', '.join(map(str, there))}.")
    return Share(tuple(sorted({int(word) for word in words})))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
