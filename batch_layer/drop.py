"""Which streams and views a run may do without: none of its parent's, but one that is dropped by name.

parent      trades: bars, flow    fills: holdings
program     trades: bars, flow                          refused: a package is missing, and expiry would delete fills
drop fills                                              a version without fills and holdings, which says who and why
"""

from batch_layer.errors import BatchError, LackingError
from slackwater.context import Context
from slackwater.versions.manifest import Dropped, Manifest


def check_known(context: Context, parent: Manifest, drop: Dropped | None = None) -> None:
    """Check that a program knows every stream and view of a version, but what is dropped.

    Raises:
        LackingError: it does not.
        BatchError: what is dropped is not there, or would come again with the next run.
    """
    streams = parent.streams.keys() - {stream.name for stream in context.streams}
    views = parent.definitions.keys() - {view.name for view in context.views}
    if drop is not None:
        _check(parent, drop, streams if drop.kind == "stream" else views)
        streams, views = streams - {drop.name}, {view for view in views if not _goes(parent, drop, view)}
    if streams or views:
        raise LackingError(parent.version, sorted(streams), sorted(views))


def _check(parent: Manifest, drop: Dropped, unknown: set[str]) -> None:
    held = parent.streams if drop.kind == "stream" else parent.definitions
    if drop.name not in held:
        there = ", ".join(sorted(held)) or "none"
        raise BatchError(f"Version {parent.version} holds no {drop.kind} {drop.name!r}.", f"It holds {there}.")
    if drop.name not in unknown:
        raise BatchError(
            f"This program has the {drop.kind} {drop.name!r}, so its next run would take it in again.",
            "First take it out of SLACKWATER_STREAMS and SLACKWATER_VIEWS, or uninstall its package, everywhere; a "
            "view of this package is left out by naming the others in SLACKWATER_ONLY_VIEWS.",
        )


def _goes(parent: Manifest, drop: Dropped, view: str) -> bool:
    return view == drop.name if drop.kind == "view" else parent.sources.get(view) == drop.name
