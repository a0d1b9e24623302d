"""The proof of a hand-off: `state(v) == state(parent) (+) the speed layer's cells between the two cuts`.

Three outcomes: `equal`; `different`, which is never served unless it was forced; `unproven`, with the reason: the
speed layer is behind, its chain has a hole, or there is no common definition. Not here: who computes it
(`batch_layer.prove`), and the file of a proof that comes later than its version (`slackwater.versions.handoff`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["equal", "different", "unproven"]


@dataclass(frozen=True)
class Span:
    """One partition of a stream between the two cuts: the offsets [start, upto), and how the cells lie over them.

    Attributes:
        events: events of these offsets in the archive.
        refused: records and lines of these offsets that are dead letters.
        cells: cells of the chain, over all views.
        gap: offsets of [start, upto) that the chain does not cover.
        overlap: offsets beyond `upto` that a cell which starts below it covers.
    """

    stream: str
    partition: int
    start: int
    upto: int
    events: int
    refused: int
    cells: int = 0
    gap: int = 0
    overlap: int = 0


@dataclass(frozen=True)
class Difference:
    """One value that differs. `expected` is what the parent and the cells give, `found` what the version holds."""

    view: str
    interval: str
    partition: int
    key: tuple[str | int, ...]
    start: int
    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"{self.view} {self.interval} {':'.join(map(str, self.key))} at {self.start}"
        return f"{where}: {self.field} expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Forced:
    """Who published a version whose proof fails, and why."""

    by: str
    reason: str


@dataclass(frozen=True)
class Proof:
    """What is known of the hand-off of one stream from the parent to a version, or of all of them (`joined`).

    Times in microseconds, UTC; `took_ms` in all.

    Attributes:
        imported: events of imported history, which no cell holds; their states are recomputed from their own files.
        compared: states compared, a view's row of one key and start each, at every published interval.
        differ: how many of them differ; `first` says what differs in the first ones.
        new: views that the parent does not have, or has wrong: no cells lie between the cuts of those, and they were
            compared with what their own SQL makes of the archive.
    """

    outcome: Outcome
    reason: str
    spans: tuple[Span, ...] = ()
    imported: int = 0
    compared: int = 0
    differ: int = 0
    first: tuple[Difference, ...] = ()
    proven_us: int = 0
    took_ms: int = 0
    forced: Forced | None = None
    new: tuple[str, ...] = ()

    @property
    def gap(self) -> int:
        """Offsets between the cuts that no cell of the chain covers, over all partitions."""
        return sum(span.gap for span in self.spans)

    @property
    def overlap(self) -> int:
        """Offsets beyond the cut that a cell from below it covers, over all partitions."""
        return sum(span.overlap for span in self.spans)


_WORST: tuple[Outcome, ...] = ("different", "unproven", "equal")


def joined(proofs: Mapping[str, Proof]) -> Proof:
    """The proofs of all streams as one: the worst outcome, every reason, every sum."""
    parts = list(proofs.values())
    outcomes = {part.outcome for part in parts}
    outcome: Outcome = next((each for each in _WORST if each in outcomes), "equal")
    return Proof(
        outcome=outcome,
        reason=" ".join(part.reason for part in parts if part.reason),
        spans=tuple(span for part in parts for span in part.spans),
        imported=sum(part.imported for part in parts),
        compared=sum(part.compared for part in parts),
        differ=sum(part.differ for part in parts),
        first=tuple(difference for part in parts for difference in part.first),
        proven_us=max((part.proven_us for part in parts), default=0),
        took_ms=sum(part.took_ms for part in parts),
        forced=next((part.forced for part in parts if part.forced is not None), None),
        new=tuple(view for part in parts for view in part.new),
    )


def proofs_from(entries: Mapping[str, Any]) -> dict[str, Proof]:
    """Stream -> its proof, of the JSON form of `dataclasses.asdict`. Raises TypeError, KeyError, ValueError or
    AttributeError where it is none.
    """
    return {stream: _proof_from(dict(fields)) for stream, fields in entries.items()}


def _proof_from(fields: dict[str, Any]) -> Proof:
    if fields.get("outcome") not in {"equal", "different", "unproven"}:
        raise ValueError(f"{fields.get('outcome')!r:.40} is no outcome")
    fields["spans"] = tuple(Span(**span) for span in fields.get("spans", ()))
    fields["first"] = tuple(Difference(**{**each, "key": tuple(each["key"])}) for each in fields.get("first", ()))
    if fields.get("forced") is not None:
        fields["forced"] = Forced(**fields["forced"])
    fields["new"] = tuple(fields.get("new", ()))
    return Proof(**fields)
