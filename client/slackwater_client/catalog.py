"""What there is: instruments, versions with the proofs of their hand-offs, and whether the service is ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slackwater_client.meta import offsets
from slackwater_client.times import datetime_of


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument in one partition. Times are starts of its first and last second, microseconds since the epoch.

    `quantity_unit` is `base` (coins) or `contracts`; `duplicates` counts trades that stand in the batch view twice.
    """

    venue: str
    symbol: str
    partition: int
    first_start: int
    last_start: int
    quantity_unit: str
    duplicates: int

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Instrument":
        """From an item of a document."""
        return cls(**{name: item[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids `first`..`last` of an instrument, both in it, of which `missing` are not there: all where it is `exact`.

    `after` and `before` are starts of the seconds with the trades beside it, microseconds since the epoch, where known.
    """

    venue: str
    symbol: str
    first: int
    last: int
    missing: int
    exact: bool
    after: int | None
    before: int | None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Gap":
        """From an item of a document."""
        found = {name: item[name] for name in cls.__slots__}
        return cls(**{**found, "first": int(item["first"]), "last": int(item["last"])})


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of a version's hand-off in a line. `outcome` is `equal`, `different` or `unproven` (with a `reason`).

    `records` offsets lie between the parent's cut and the version's; `compared` states were compared, `differ` differ.
    `forced` says who published it in spite of the proof, and why.
    """

    outcome: str
    reason: str
    records: int
    gap: int
    overlap: int
    compared: int
    differ: int
    forced: Mapping[str, str] | None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Proof":
        """From an item of a document."""
        return cls(**{name: item[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Version:
    """A published version. `cut` holds offsets by stream and partition, `counts` numbers by stream; `open` are versions
    that made some of its parts and that nobody has proven yet; `corrected` is the last correction that it applies;
    `state` says what became of it, `pins` are its names.
    """

    version: int
    parent: int
    created_us: int
    published_us: int
    run_id: str
    cut: Mapping[str, Mapping[int, int]]
    counts: Mapping[str, Mapping[str, int]]
    open: tuple[int, ...]
    corrected: int
    restated: Mapping[str, int]
    definitions: Mapping[str, str]
    proof: Proof
    state: str
    pins: tuple[str, ...]

    @property
    def created(self) -> datetime:
        """When it was made, UTC."""
        return datetime_of(self.created_us)

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Version":
        """From an item of a document."""
        plain = ("version", "parent", "run_id", "counts", "restated", "definitions", "state")
        return cls(
            created_us=item["created"],
            published_us=item["published"],
            cut={stream: offsets(cut) for stream, cut in item["cut"].items()},
            proof=Proof.of(item["proof"]),
            open=tuple(item["open"]),
            corrected=item["corrected"],
            pins=tuple(item["pins"]),
            **{name: item[name] for name in plain},
        )


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions, newest first; which one is served; and the moves of the pointer that were no publication."""

    versions: tuple[Version, ...]
    served: int | None
    rollbacks: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Versions":
        """From a document."""
        return cls(tuple(map(Version.of, document["versions"])), document["served"], tuple(document["rollbacks"]))


@dataclass(frozen=True, slots=True)
class Span:
    """What a proof compared of one partition of a stream: the offsets [start, upto), half-open."""

    stream: str
    partition: int
    start: int
    upto: int
    events: int
    refused: int
    cells: int
    gap: int
    overlap: int

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Span":
        """From an item of a document."""
        return cls(**{name: item[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Handoff:
    """The whole proof that a version is its parent and the deltas between their cuts.

    `published` is false for a run whose proof failed. `spans` are what was compared of each partition, `first` the
    first differences.
    """

    version: int
    published: bool
    parent: int | None
    proof: Proof
    spans: tuple[Span, ...]
    first: tuple[Mapping[str, Any], ...]
    proven_us: int
    took_ms: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Handoff":
        """From a document."""
        return cls(
            proof=Proof.of(document),
            spans=tuple(map(Span.of, document["spans"])),
            first=tuple(document["first"]),
            **{name: document[name] for name in ("version", "published", "parent", "proven_us", "took_ms")},
        )


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the service keeps its full promise now; each reason says what is missing."""

    ready: bool
    reasons: tuple[str, ...]
    version: int | None
    proof: Proof | None

    def __bool__(self) -> bool:
        return self.ready

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Readiness":
        """From a document."""
        proof = document.get("proof")
        return cls(document["ready"], tuple(document["reasons"]), document["version"], proof and Proof.of(proof))
