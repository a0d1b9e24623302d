"""What the pointer named at which time: from the publications and the moves, of which each names where it came from.

    turns    1 <- 0 at 10    2 <- 1 at 20    3 <- 2 at 30    back to 1 <- 3 at 40    4 <- 1 at 50
    spans    0: to 10   1: 10-20   2: 20-30   3: 30-40   1: 40-50   4: 50-

It is read backwards from what the pointer names now. So a manifest that was written by a process which died before it
moved the pointer stands in no span, and where a manifest is gone, there is a span of which nobody knows the version: it
is never taken for the one before. Every move is kept, so nothing goes back unseen. When a version that stays was left
is written down before the manifest goes that says so:

    <home>/versions/left.json       {"left": {"2": [30]}}

A turn is timed under the publish lock, before the pointer moves, and later than the turn before it. So what it was at a
time is settled once a later turn is known, or where nobody held that lock after it.
"""

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import NamedTuple

from slackwater.versions.errors import ManifestError, NoSuchVersionError, RecordError
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore

LEFT = "left.json"


class Turn(NamedTuple):
    """The pointer went from `source` to `version`; time in microseconds, UTC. `source` None: it could not be read;
    `version` None: one that is gone.
    """

    at_us: int
    source: int | None
    version: int | None


class Span(NamedTuple):
    """What was named from `since_us` until before `until_us`; None: until now, and from ever.

    `version` None: one that is gone, nobody knows which.
    """

    version: int | None
    since_us: int | None
    until_us: int | None

    def holds(self, at_us: int) -> bool:
        """Whether a time lies in it."""
        return (self.since_us is None or self.since_us <= at_us) and (self.until_us is None or at_us < self.until_us)


def spans(current: int, turns: Iterable[Turn]) -> list[Span]:
    """The spans without a gap between them, newest first, of a pointer that names `current` now."""
    found: list[Span] = []
    version: int | None = current
    until: int | None = None
    left = sorted(turns, key=lambda turn: turn.at_us, reverse=True)
    while version != 0:
        left = [turn for turn in left if until is None or turn.at_us < until]
        arrival = next((turn for turn in left if turn.version == version), None)
        if arrival is not None:
            found.append(Span(version, arrival.at_us, until))
            version, until = arrival.source, arrival.at_us
        elif left and left[0].version is None:
            version = None
        elif left:  # a manifest is gone; of the newest turn that is left its moment is known
            after = left[0].at_us + 1
            if after != until:
                found.append(Span(None, after, until))
            version, until = left[0].version, after
        else:
            return [*found, Span(None, None, until)]
    return [*found, Span(0, None, until)]


class History:
    """The history of a store's pointer. What was read of a manifest is kept, since none ever changes. Thread safe."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._known: dict[int, Turn | None] = {}

    def spans(self) -> list[Span]:
        """See the module.

        Raises:
            PointerError, RecordError: it is unknown.
        """
        store = self._store
        pointer = store.pointer()
        moves = [Turn(move.at_us, move.source, move.target) for move in store.moves.until(pointer.move)]
        published = [self._turn(number) for number in store.numbers()]
        left = [Turn(at_us, version, None) for version, times in read_left(store).items() for at_us in times]
        return spans(pointer.version, [*moves, *left, *(turn for turn in published if turn is not None)])

    def at(self, at_us: int) -> Span:
        """The span that a time lies in, which is not behind now. What is not settled is read again under the publish
        lock. Raises what `spans` raises.
        """
        found = _at(self.spans(), at_us)
        if found.until_us is not None:
            return found
        with ExitStack() as stack:
            with suppress(OSError):  # a folder that is read only: nobody publishes from here
                stack.enter_context(self._store.locked())
            return _at(self.spans(), at_us)

    def around(self, at_us: int) -> tuple[int | None, int | None]:
        """The nearest versions that answer still, named before a time and after it; None where there is none."""
        found = self.spans()
        older = (span.version for span in found if span.until_us is not None and span.until_us <= at_us)
        newer = (span.version for span in reversed(found) if span.since_us is not None and span.since_us > at_us)
        return next(filter(self._answers, older), None), next(filter(self._answers, newer), None)

    def _answers(self, version: int | None) -> bool:
        if not version:
            return False
        try:
            self._store.answering(version)
        except (NoSuchVersionError, ManifestError):
            return False
        return True

    def _turn(self, number: int) -> Turn | None:
        """A publication; None of a candidate, of a run that did not end, and of what cannot be read."""
        if number not in self._known:
            try:
                manifest = self._store.stored_manifest(number)
            except (NoSuchVersionError, ManifestError):
                return None
            turn = Turn(manifest.published_us, manifest.parent, number)
            self._known[number] = None if manifest.candidate else turn
        return self._known[number]


def read_left(store: VersionStore) -> dict[int, list[int]]:
    """Version -> when it was left, of those that stayed while others went. Raises RecordError."""
    path = store.folder / LEFT
    try:
        body = decode_record(store.files.read(path), path)
    except FileNotFoundError:
        return {}
    try:
        return {int(version): [int(at_us) for at_us in times] for version, times in body["left"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(path, repr(error)) from error


def note_left(store: VersionStore, going: Iterable[int]) -> None:
    """Write down durably when the versions that stay were left, before others go. The caller holds the publish lock.

    Raises:
        PointerError, RecordError: it is unknown.
    """
    stay = set(store.numbers()) - set(going)
    found: dict[int, list[int]] = {}
    for span in History(store).spans():
        if span.version in stay and span.version is not None and span.until_us is not None:
            found.setdefault(span.version, []).append(span.until_us)
    if found != read_left(store):
        body = {str(version): times for version, times in sorted(found.items())}
        store.files.replace(store.folder / LEFT, encode_record({"left": body}))


def _at(found: Iterable[Span], at_us: int) -> Span:
    return next(span for span in found if span.holds(at_us))
