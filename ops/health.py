"""Health checks from outside a service's process: `python -m ops.health <service>` ends with 0, or says why not.

Each looks at what the service does, not at whether its process is there, which the container engine sees by itself:

    speed     the deltas of every partition reach where the event log ended when the look began
    serving   /health/ready answers 200
    batch     a run published, or found nothing new, within three intervals and a minute
    ingest    an event is appended while the check looks; a batch run's marks do not count

Not here: who calls this (docker-compose.yml), the service's own readiness (`serving.service`), what a person is told
(`ops.doctor`). No Beam: a check costs about a second of one core.
"""

import json
import math
import os
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import httpx

from ops.context import Context
from ops.rest import trusted
from slackwater.core.clock import Clock, SystemClock
from slackwater.core.errors import SlackwaterError
from slackwater.core.settings import from_environ
from slackwater.deltas.reader import POLL_S, DeltaReader
from slackwater.log.log import Log
from slackwater.log.mark import mark_of
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.idle import last_idle_us
from slackwater.versions.store import VersionStore
from slackwater.views.definitions import streams_of
from slackwater.views.view import View

WAIT_S = 8.0
"""How long a check looks; docker-compose.yml gives it longer than that."""

HTTP_S = 5.0
INTERVALS, SLACK_S = 3, 60
"""The last run that ended well is at most so many batch intervals and so many seconds ago."""


def speed(log: Log, names: TopicNames, views: tuple[View, ...], clock: Clock) -> str:
    """What is wrong with the speed layer, stream by stream; empty if nothing is."""
    by_stream = {stream: [view for view in views if view.stream == stream] for stream in streams_of(views)}
    wrong = {stream.name: _behind(log, names, stream, own, clock) for stream, own in by_stream.items()}
    return " ".join(f"{name}: {text}" if len(wrong) > 1 else text for name, text in wrong.items() if text)


def _behind(log: Log, names: TopicNames, stream: Stream, views: Iterable[View], clock: Clock) -> str:
    topic, deltas = names.topic(stream), names.deltas(stream)
    topic_id = log.topic_id(topic)
    behind = {p: bounds.end for p, bounds in log.bounds(topic).items() if bounds.end > bounds.start}
    if not behind:
        return ""
    known = {(view.name, view.definition, topic_id): view for view in views}
    # From the newest delta on: an idle partition has no other, one with an open cell gets it again each second.
    starts = {p: bounds.end - 1 for p, bounds in log.bounds(deltas).items()}
    reader = DeltaReader(log, deltas, starts, lambda delta_key, _: known.get(delta_key[:3]), behind.keys())
    deadline = clock.elapsed_s() + WAIT_S
    try:
        while behind and clock.elapsed_s() < deadline:
            for cell, _ in reader.poll(POLL_S):
                if cell.upto >= behind.get(cell.delta_key.partition, math.inf):
                    del behind[cell.delta_key.partition]
    finally:
        reader.close()
    if not behind:
        return ""
    return f"No deltas within {WAIT_S:g} s up to where the event log ended, as partition: offset: {behind}."


def serving(url: str, tls: ssl.SSLContext | None = None, timeout_s: float = HTTP_S) -> str:
    """What is wrong with the service at `url`; empty if nothing is. `tls` says which certificate it must show."""
    try:
        found = httpx.get(f"{url}/health/ready", timeout=timeout_s, verify=tls or True)
    except httpx.HTTPError as error:
        return f"No answer from {url}: {error}."
    return "" if found.is_success else f"Not ready: {found.text[:2_000]}"


def batch(store: VersionStore, every_s: int, clock: Clock) -> str:
    """What is wrong with the batch layer that runs every `every_s` seconds; empty if nothing is.

    Raises:
        PointerError, ManifestError: what is published cannot be read.
    """
    current, idle_us = store.current(), last_idle_us(store)
    if current is None and idle_us is None:
        return "No version is published yet."
    ended_us = max(idle_us or 0, current.created_us if current is not None else 0)
    age_s, limit_s = (clock.now_us() - ended_us) // 1_000_000, INTERVALS * every_s + SLACK_S
    return "" if age_s <= limit_s else f"The last run that ended well was {age_s} s ago; {limit_s} s are allowed."


def ingest(log: Log, names: TopicNames, streams: Sequence[Stream], clock: Clock) -> str:
    """What is wrong with a source that never pauses, of whatever stream; empty if nothing is."""
    topics = [names.topic(stream) for stream in streams]
    deadline = clock.elapsed_s() + WAIT_S
    readers = [log.reader(topic, {p: bounds.end for p, bounds in log.bounds(topic).items()}) for topic in topics]
    try:
        while clock.elapsed_s() < deadline:
            for found in (found for reader in readers for found in reader.poll(POLL_S / len(readers))):
                if any(mark_of(record) is None for record in found.records):
                    return ""
    finally:
        for reader in readers:
            reader.close()
    hidden = sum(bounds.hidden for topic in topics for bounds in log.bounds(topic).values())
    text = f" An open transaction hides {hidden} records." if hidden else ""
    return f"No event was appended within {WAIT_S:g} s.{text}"


CHECKS: Mapping[str, Callable[[Context], str]] = {
    "speed": lambda context: speed(context.log, context.names, context.views, SystemClock()),
    "serving": lambda context: serving(context.url, trusted(context.settings)),
    "intake": lambda context: serving(context.intake_url, trusted(context.settings)),
    "batch": lambda context: batch(context.store, context.settings.batch_seconds, SystemClock()),
    "ingest": lambda context: ingest(context.log, context.names, context.streams, SystemClock()),
}


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check one service; the exit code."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        print(f"Name one service: {', '.join(CHECKS)}.", file=sys.stderr)
        return 1
    try:
        wrong = CHECKS[arguments[0]](Context(from_environ(environ)))
    except SlackwaterError as error:
        wrong = str(error)
    print(json.dumps({"service": arguments[0], "healthy": not wrong, "reason": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
