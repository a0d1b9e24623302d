"""Whether the log still is the one that a version's cut was taken in. Each check gives a reason, or nothing.

A version that fails one keeps its batch view, which is true of its own cut; nothing may be added to it.
"""

from collections.abc import Mapping

from serving.watch.log_watch import LogFacts
from slackwater.log.log import Bounds, Log
from slackwater.log.mark import marks_at
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import Manifest


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
    """Partition -> what is applied there, where that is beyond the log's end: its tail was lost."""
    return {p: at for p, at in applied.items() if p in bounds and at > bounds[p].end}
