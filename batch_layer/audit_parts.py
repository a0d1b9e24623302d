"""Audits what is proven: parts of the served version against the archive, so that what a run or a merge once wrote
wrong, with a right checksum, is found.

    a run       as many rows as it has credit for (`batch_layer.audit_plan`): a round takes as many runs as it takes
    at once     every place of the version from its first bar to its last (`batch_layer.audit_run`)

A proof covers what a run adds, and a merge proves itself by what it read; nobody else would look at a part again.
Events are read as a run reads them, and summarised by the view's own SQL, past the pipeline. What is found is kept in a
record (`slackwater.versions.audited`): a view that is wrong is made again of the archive by the next run.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import duckdb

from batch_layer.audit_plan import LAST_US, Step, next_place, next_step
from batch_layer.comparison import Comparison, touching
from batch_layer.ranges import Times
from slackwater.context import Context
from slackwater.versions.audited import AuditState, Place, Wrong, change_audit, places_of, read_audit
from slackwater.versions.manifest import ArchiveFile, Manifest, Part
from slackwater.versions.proof import Difference
from slackwater.versions.suspects import suspect
from slackwater.views.interval import parse_interval
from slackwater.views.levels import finer_published
from slackwater.views.view import View

logger = logging.getLogger(__name__)

LEAST_ROWS = 100_000
"""Rows that a run reads again for it, or as many as its parent took in, if those are more."""

STEPS = 4
"""Of a run at most: of a small history each takes longer to begin than to do."""

ROWS_AT_ONCE = 2_000_000
"""Of a step where everything is audited at once."""

IDLE_US = 3_600_000_000
"""A run that finds nothing new audits if a part has waited for so long."""


class Found(NamedTuple):
    """What came of a step: the bars compared, those that differ, the first of them, and why it could not be done."""

    step: Step
    compared: int
    differ: int
    first: tuple[Difference, ...]
    failed: str = ""


def budget_of(version: Manifest) -> int:
    """Rows that the run behind a version may read: as many as it took in, or LEAST_ROWS if those are more."""
    return max(LEAST_ROWS, version.count("new_events"))


def audit_parts(
    context: Context, version: Manifest, views: Iterable[View], budget: int, steps: int = STEPS
) -> tuple[AuditState, list[Found]]:
    """Go on with the round by a run's budget of rows: what is known then, and what came of each step."""
    auditor = Auditor(context, version, views)
    state, found, done = read_audit(context.store), list[Found](), set[Place]()
    credit, waits = state.credit + budget, 0
    while len(found) < steps:
        place = next_place(state, auditor.places)
        if place is None or place in done:
            break
        step = auditor.step(place, state.place(place).at, budget)
        if step.rows > credit:
            waits = step.rows
            break
        credit -= step.rows
        found.append(auditor.compare(step))
        auditor.note(state, found[-1])
        if state.place(place).at is None:
            done.add(place)
    return auditor.keep(found, min(credit, waits)), found


def audit_waiting(context: Context, version: Manifest, views: Iterable[View]) -> None:
    """Go on with the round where no run does, if a part has waited for IDLE_US."""
    if context.clock.now_us() - read_audit(context.store).longest_us(version) >= IDLE_US:
        audit_parts(context, version, views, budget_of(version))


def audit_all(context: Context, version: Manifest, views: Iterable[View]) -> Iterator[tuple[AuditState, Found]]:
    """Audit every part, whatever is known of it: what is known after each step, and what came of it."""
    auditor = Auditor(context, version, views)
    for place in sorted(auditor.places):
        at: int | None = None
        while at != LAST_US:
            step = auditor.step(place, at, ROWS_AT_ONCE)
            found = auditor.compare(step)
            yield auditor.keep([found], None), found
            at = LAST_US if found.failed else step.high


class Auditor:
    """Compares steps of one version; `places` are those whose definitions this program has."""

    def __init__(self, context: Context, version: Manifest, views: Iterable[View]) -> None:
        self._context = context
        self._version = version
        self._views = {view.name: view for view in views if version.definitions.get(view.name) == view.definition}
        self._archive: dict[tuple[str, int], list[ArchiveFile]] | None = None
        self.places: Mapping[Place, Sequence[Part]] = {
            place: parts for place, parts in places_of(version).items() if place.view in self._views
        }

    def step(self, place: Place, at: int | None, least: int) -> Step:
        """The next step of a place."""
        return next_step(self._version, self._views[place.view], place, self.places, at, least)

    def compare(self, step: Step) -> Found:
        """Make the bars of a step again and compare them. A file that cannot be read is marked, and read whole by the
        next run.
        """
        view, store = self._views[step.place.view], self._context.store
        interval, of = parse_interval(step.place.interval), Times(step.low, step.high)
        own = touching(self.places[step.place], of)
        try:
            with Comparison(store.data.fetch, self._context.limits, partial(suspect, store)) as comparison:
                if interval == view.intervals[0]:
                    events = self._events(view.stream.name, step.place.shard)
                    comparison.archived(view, step.place.shard, own, events, of)
                else:
                    finer = step.place._replace(interval=finer_published(view, interval).text)
                    below = touching(self.places.get(finer, ()), of)
                    comparison.merged(view, interval, own, below, of)
        except duckdb.Error as error:
            logger.error("%s is not audited in [%d, %d): %s", step.place, *of, error)
            return Found(step, 0, 0, (), str(error))
        found = comparison.compared
        if found.differ:
            text = "; ".join(map(str, found.first[:3]))
            logger.error(
                "Alarm: %s of version %d is not what the archive gives: %s", view.name, self._version.version, text
            )
        return Found(step, found.states, found.differ, tuple(found.first))

    def note(self, state: AuditState, found: Found) -> None:
        """What came of a step, in what is known."""
        step, now_us = found.step, self._context.clock.now_us()
        state.rows += step.rows
        if found.differ:
            state.wrong[step.place.view] = Wrong(self._version.version, str(found.first[0]))
        if found.differ or found.failed:
            state.end(step.place, now_us)  # others are not to wait for it
            return
        state.pass_over(step.place, self.places[step.place], step.low, step.high, now_us)
        if step.high == LAST_US:
            state.end(step.place, now_us)

    def keep(self, found: Iterable[Found], credit: int | None) -> AuditState:
        """Write it down; None leaves the credit as it is."""

        def change(state: AuditState) -> None:
            state.see(self._version, self._context.clock.now_us())
            for each in found:
                self.note(state, each)
            state.credit = state.credit if credit is None else credit

        return change_audit(self._context.store, change)

    def _events(self, stream: str, shard: int) -> list[ArchiveFile]:
        if self._archive is None:
            self._archive = {}
            for entry in self._version.archive:
                self._archive.setdefault((entry.stream, entry.partition), []).append(entry)
        return self._archive.get((stream, shard), [])


def closed_by(state: AuditState, version: Manifest, open_now: Iterable[int]) -> Iterator[int]:
    """The versions that nobody could prove whose parts were all found right."""
    for number in open_now:
        if all(state.is_right(part) for part in version.parts if part.holds(number)):
            yield number
