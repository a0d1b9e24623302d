"""How a version stands on each stream: its cut, and whether the log still is the one that the cut was taken in.

A stream whose log does not fit the version keeps its batch view, which is true of its own cut; nothing is added to it.
What happens to one stream is in its own standing alone. Each check of the log gives a reason, or nothing.
"""

from collections.abc import Iterable, Mapping

from serving.store.snapshot import Standing, standing_key
from serving.watch.live import Live, Lives
from serving.watch.log_watch import LogFacts
from slackwater.log.errors import LogError
from slackwater.log.log import Bounds, Log
from slackwater.log.mark import marks_at
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import Manifest, empty_manifest, first_cut

Seen = Mapping[str, LogFacts | None]
"""Stream -> what the last check of its log gave; None where the topic is missing, or was not seen yet."""


def nothing_published(seen: Seen) -> Manifest | None:
    """Version 0 of the streams whose logs were seen; None if none was."""
    cuts = {name: first_cut(facts.topic_id, "", facts.starts) for name, facts in seen.items() if facts is not None}
    return empty_manifest(cuts) if cuts else None


def standings(log: Log, manifest: Manifest, lives: Lives, seen: Seen) -> dict[str, Standing]:
    """Stream -> how the version stands on it now.

    Raises:
        LogError: of no stream the record at the cut can be read.
    """
    found: dict[str, Standing] = {}
    failed: list[LogError] = []
    for name, live in lives.items():
        try:
            found[name] = _standing(log, manifest, live, seen.get(name))
        except LogError as error:
            failed.append(error)
            found[name] = _refused(manifest, name, (str(error),))
    if failed and len(failed) == len(lives):
        raise failed[0]
    return found


def alone(manifest: Manifest, streams: Iterable[str]) -> dict[str, Standing]:
    """Stream -> how the version stands on it by itself, at its own cut and without a chain."""
    return {name: _refused(manifest, name, ()) for name in streams}


def _standing(log: Log, manifest: Manifest, live: Live, facts: LogFacts | None) -> Standing:
    name = live.stream.name
    if facts is None:
        return _refused(manifest, name, (live.log_watch.error or "The log was not read yet.",))
    reasons = _reasons(log, manifest, live, facts)
    if reasons:
        return _refused(manifest, name, tuple(reasons))
    cut = {**facts.starts, **manifest.cut(name)}  # of a stream or a partition that it does not know, from its start
    return Standing(standing_key(manifest, name, facts.topic_id, cut), facts.topic_id, cut)


def _reasons(log: Log, manifest: Manifest, live: Live, facts: LogFacts) -> list[str]:
    stream, topic = live.stream, live.log_watch.topic
    if stream.name not in manifest.streams:
        return []
    reasons = cut_reasons(manifest, stream, topic, facts) or mark_reasons(manifest, stream, topic, log)
    cut = manifest.cut(stream)
    lost = {p: at for p, at in live.log_watch.lost.items() if cut.get(p, 0) < at}
    return reasons + [f"The log lost its tail below {at} in partition {p}." for p, at in lost.items()]


def _refused(manifest: Manifest, stream: str, refusals: tuple[str, ...]) -> Standing:
    own = manifest.of(stream)
    return Standing(standing_key(manifest, stream, own.topic_id, own.cut), own.topic_id, own.cut, False, refusals)


def cut_reasons(manifest: Manifest, stream: Stream, topic: str, facts: LogFacts) -> list[str]:
    """Topic id, retained start and end against the cut."""
    own = manifest.of(stream)
    if own.topic_id != facts.topic_id:
        known = own.topic_id or "none"
        return [
            f"Topic {topic} was created again: version {manifest.version} knows {known}, now it is {facts.topic_id}."
        ]
    reasons = []
    for mark in own.marks:
        bounds = facts.bounds.get(mark.partition)
        if bounds is None:
            reasons.append(f"Partition {mark.partition} of {topic} is gone.")
        elif bounds.start > mark.offset:
            reasons.append(
                f"The log's start {bounds.start} is above the cut {mark.offset} in partition {mark.partition}."
            )
        elif bounds.end < mark.offset:
            reasons.append(f"The log's end {bounds.end} is below the cut {mark.offset} in partition {mark.partition}.")
    return reasons


def mark_reasons(manifest: Manifest, stream: Stream, topic: str, log: Log) -> list[str]:
    """The records at the cut against the version's own marks; a cut without a mark is not checked."""
    own = {mark.partition: mark for mark in manifest.of(stream).marks if mark.run_id is not None}
    if not own:
        return []
    found = marks_at(log, topic, {p: mark.offset for p, mark in own.items()})
    return [
        f"The record at the cut {mark.offset} in partition {p} is not the mark of version {manifest.version}."
        for p, mark in own.items()
        if found.get(p) != mark.run_id
    ]


def lost_ends(applied: Mapping[int, int], bounds: Mapping[int, Bounds]) -> dict[int, int]:
    """Partition -> what is applied there, where that is above the log's end: its tail was lost."""
    return {p: at for p, at in applied.items() if p in bounds and at > bounds[p].end}
