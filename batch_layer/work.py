"""What a run computes: of each view the new files where its parent's parts are taken over, else the whole archive.

    parent      bars 1: parts of versions 1-7     flow: none, it is new      sizes 1, the program has sizes 2
    version 8   bars 1: these and a part of 8     flow: all of the archive   sizes 1: another needs a candidate

So a run costs what is new. Whole: a view that the parent does not hold so, a damaged part, a run that is forced, and
the one after it, which stands on a version that nobody has proven.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from batch_layer.compute import archive_segments
from slackwater.pipeline.segment import Segment
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, Part
from slackwater.versions.store import VersionStore
from slackwater.views.view import View

logger = logging.getLogger(__name__)


class Work(NamedTuple):
    """The segments to compute, the parts that are taken over, and the names of the views that are made whole."""

    segments: tuple[Segment, ...]
    taken: tuple[Part, ...]
    whole: frozenset[str]


def work_of(
    store: VersionStore, parent: Manifest, version: Manifest, views: Iterable[View], whole: frozenset[str]
) -> Work:
    """What a version is made of. `views` are those that it holds; those named in `whole` are made of everything.

    `version` lists the archive, the parent's and what is new.
    """
    by_stream: dict[Stream, list[View]] = {}
    for view in views:
        by_stream.setdefault(view.stream, []).append(view)
    segments, grown, made = list[Segment](), set[str](), set[str]()
    for stream, own in by_stream.items():
        topic_id = version.of(stream).topic_id
        again = [view for view in own if view.name in whole or parent.definitions.get(view.name) != view.definition]
        grows = [view for view in own if view not in again]
        made |= {view.name for view in again}
        grown |= {view.name for view in grows}
        for of, whole_archive in ((grows, False), (again, True)):
            if not of:
                continue
            files = version.archive_of(stream) if whole_archive else version.taken_in(stream, parent.version)
            if files:
                only = tuple(view.definition for view in of) if len(of) < len(own) else ()
                segments += archive_segments(store.data.fetch, stream.name, topic_id, files, only)
    return Work(tuple(segments), tuple(part for part in parent.parts if part.view in grown), frozenset(made))


def damaged_views(inspector: Inspector, parent: Manifest) -> frozenset[str]:
    """The views that have a part which is not as it was written: they are made of the archive again."""
    found = set()
    for part in parent.parts:
        if part.view in found:
            continue
        try:
            inspector.check([part.file])
        except DamagedFileError as error:
            logger.error("The view %s is made again of the archive: %s", part.view, error)
            found.add(part.view)
    return frozenset(found)


def shards_of(parts: Iterable[Part], view: View, interval: str) -> Mapping[int, list[Part]]:
    """Shard -> the parts of a view at an interval."""
    found: dict[int, list[Part]] = {}
    for part in parts:
        if (part.view, part.interval) == (view.name, interval):
            found.setdefault(part.shard, []).append(part)
    return found
