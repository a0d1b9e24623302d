"""What audits know of the parts of the served version: a record beside the versions, since a part never changes.

    <home>/versions/audited.json    {"rows": 1200000, "credit": 40000,
                                     "parts":  {path: [known since, swept up to, found right at]},
                                     "places": {"bars/1s/0": [swept up to, ended at]},
                                     "wrong":  {"bars": [version, "the first difference"]}}

A sweep goes over the bars of one view, interval and shard in the order of their time. A part is found right by a sweep
that passed over it from its first bar to its last. Times in microseconds, UTC. A record that is gone or torn costs one
more round. Not here: what is compared, and when (`batch_layer.audit_parts`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from slackwater.versions.errors import RecordError
from slackwater.versions.manifest import Manifest, Part
from slackwater.versions.record import decode_record, encode_record
from slackwater.versions.store import VersionStore


class Place(NamedTuple):
    """The parts of one view, published interval and shard."""

    view: str
    interval: str
    shard: int


class PartState(NamedTuple):
    """`known_us`: when an audit first saw the part; `swept`: how far the sweep is that began at or before it, None if
    there is none; `right_us`: when it was last found right, 0 if never.
    """

    known_us: int
    swept: int | None = None
    right_us: int = 0


class PlaceState(NamedTuple):
    """How far the sweep of a place is, None where none is going on, and when the last one ended, 0 if none did."""

    at: int | None = None
    ended_us: int = 0


class Wrong(NamedTuple):
    """In which version a view was found wrong, and the first difference."""

    version: int
    text: str


@dataclass
class AuditState:
    """`rows` were read by audits so far; `credit` rows may be read before the next run brings more."""

    rows: int = 0
    credit: int = 0
    parts: dict[str, PartState] = field(default_factory=dict)
    places: dict[Place, PlaceState] = field(default_factory=dict)
    wrong: dict[str, Wrong] = field(default_factory=dict)

    def place(self, place: Place) -> PlaceState:
        """How far the sweep of a place is."""
        return self.places.get(place, PlaceState())

    def see(self, manifest: Manifest, now_us: int) -> None:
        """These are the parts now: those that are gone are forgotten, and so is what was wrong and made again."""
        self.parts = {p.file.path: self.parts.get(p.file.path, PartState(now_us)) for p in manifest.parts}
        there = set(places_of(manifest))
        self.places = {place: state for place, state in self.places.items() if place in there}
        wrong = self.wrong_views(manifest)
        self.wrong = {view: found for view, found in self.wrong.items() if view in wrong}

    def pass_over(self, place: Place, parts: Iterable[Part], low: int, high: int, now_us: int) -> None:
        """The bars of a place in [low, high) are right; `high` is where its sweep goes on."""
        for part in parts:
            known = self.parts.get(part.file.path, PartState(now_us))
            begun = part.low >= low or (known.swept is not None and known.swept >= low)
            if part.high < low or part.low >= high or not begun:
                continue
            done = part.high < high
            swept, right_us = (None, now_us) if done else (high, known.right_us)
            self.parts[part.file.path] = PartState(known.known_us, swept, right_us)
        self.places[place] = self.place(place)._replace(at=high)

    def end(self, place: Place, now_us: int) -> None:
        """The sweep of a place is over, be it that it cannot go on."""
        self.places[place] = PlaceState(None, now_us)

    def wrong_views(self, manifest: Manifest) -> dict[str, Wrong]:
        """The views that were found wrong and hold parts from before that: they were not made again since."""
        first: dict[str, int] = {}
        for part in manifest.parts:
            first[part.view] = min(part.made[0], first.get(part.view, part.made[0]))
        return {
            view: found for view, found in self.wrong.items() if first.get(view, found.version + 1) <= found.version
        }

    def right_us(self, part: Part) -> int:
        """When a part was last found right; 0 if it never was."""
        known = self.parts.get(part.file.path)
        return 0 if known is None else known.right_us

    def is_right(self, part: Part) -> bool:
        """Whether a part was ever found right."""
        return self.right_us(part) > 0

    def never(self, parts: Iterable[Part]) -> int:
        """How many parts were never found right."""
        return sum(not self.is_right(part) for part in parts)

    def longest_us(self, manifest: Manifest) -> int:
        """Since when the part of a version that was longest not found right was, or was there; the version's own time
        for one that no audit saw yet, and where there are none.
        """
        found = (self.parts.get(part.file.path, PartState(manifest.created_us)) for part in manifest.parts)
        return min((each.right_us or each.known_us for each in found), default=manifest.created_us)


def places_of(manifest: Manifest) -> dict[Place, list[Part]]:
    """Every place that has parts, and those of each view in which another view of its stream has some."""
    shards: dict[str, set[int]] = {}
    found: dict[Place, list[Part]] = {}
    intervals: dict[str, dict[str, None]] = {}
    for part in manifest.parts:
        shards.setdefault(manifest.sources.get(part.view, ""), set()).add(part.shard)
        intervals.setdefault(part.view, {})[part.interval] = None
        found.setdefault(Place(part.view, part.interval, part.shard), []).append(part)
    for view, of in intervals.items():
        for interval in of:
            for shard in shards[manifest.sources.get(view, "")]:
                found.setdefault(Place(view, interval, shard), [])
    return found


def read_audit(store: VersionStore) -> AuditState:
    """What is known; nothing where the record is gone or torn."""
    path = store.folder / "audited.json"
    try:
        return _state_from(decode_record(store.files.read(path), path))
    except (FileNotFoundError, RecordError, KeyError, ValueError, TypeError, AttributeError):
        return AuditState()


def change_audit(store: VersionStore, change: Callable[[AuditState], None]) -> AuditState:
    """Change what is known, under the publish lock: a run and a command may audit at once. Raises OSError."""
    with store.locked():
        state = read_audit(store)
        change(state)
        store.files.replace(store.folder / "audited.json", encode_record(_facts(state)))
    return state


def _facts(state: AuditState) -> Mapping[str, object]:
    return {
        "rows": state.rows,
        "credit": state.credit,
        "parts": state.parts,
        "places": {f"{view}/{interval}/{shard}": known for (view, interval, shard), known in state.places.items()},
        "wrong": state.wrong,
    }


def _state_from(body: Mapping[str, dict[str, list[int]]]) -> AuditState:
    places = {}
    for name, known in body["places"].items():
        view, interval, shard = name.split("/")
        places[Place(view, interval, int(shard))] = PlaceState(*known)
    return AuditState(
        rows=int(body["rows"]),  # type: ignore[call-overload]
        credit=int(body["credit"]),  # type: ignore[call-overload]
        parts={path: PartState(*known) for path, known in body["parts"].items()},
        places=places,
        wrong={view: Wrong(*found) for view, found in body["wrong"].items()},  # type: ignore[arg-type]
    )
