"""Proves a hand-off: `state(v) == state(parent) (+) cells between the two cuts`, an equality, since sums are exact.

A version lists its parent's parts and its own, so its own are compared with the cells, and nothing else is read; only
a view that was made whole is compared with the parent's parts and the cells.

    equal       every state that the run computed, at every published interval, is what the cells give
    different   one is not, or two cells over one slice differ
    unproven    a chain does not reach the cut (speed behind, a hole), or the definition is another one, by the deadline

Each stream is proven by itself. Imported history was never in the log, so no cell holds it: its states are summarised
from its own files, by the view's own SQL and past the pipeline, and added. So is the whole archive for a view that the
parent does not have.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn

from batch_layer.cells import Between, Joined
from batch_layer.comparison import Comparison, Side
from batch_layer.errors import ProofFailedError
from slackwater.context import Context
from slackwater.deltas.cell import DeltaKey, delta_key_of
from slackwater.log.errors import LogError
from slackwater.restatements.of_run import Differing
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.handoff import handoff_path, write_handoff
from slackwater.versions.manifest import ArchiveFile, Manifest, Part
from slackwater.versions.proof import Outcome, Proof, Span, joined
from slackwater.views.definitions import held_views
from slackwater.views.view import View

SHOWN = 3
"""Reasons that are reported; the rest is counted."""


@dataclass(frozen=True)
class Claim:
    """What is to be proven of a version in one stream; `spans` are the partitions between the cuts. The views named in
    `again` are proven by the archive, since the parent's parts of them are wrong.
    """

    stream: Stream
    parent: Manifest
    version: Manifest
    spans: tuple[Span, ...]
    again: Collection[str] = ()

    @cached_property
    def imported(self) -> tuple[ArchiveFile, ...]:
        """History that the version added and no cell holds: imported, or of a partition with nothing between the cuts.

        So it is all of the archive that a candidate stands on.
        """
        read = {span.partition for span in self.spans if span.start < span.upto}
        added = self.version.taken_in(self.stream, self.parent.version)
        return tuple(entry for entry in added if entry.start is None or entry.partition not in read)

    def whole(self, view: View) -> bool:
        """Whether the version was made of everything there, and takes no part over from its parent."""
        return all(part.made_by(self.version.version) for part in self.version.parts if part.view == view.name)

    def delta_key(self, view: View, partition: int) -> DeltaKey:
        """Of the cells between the cuts."""
        return delta_key_of(view, self.version.of(self.stream).topic_id, partition)


class Prover:
    """Proves claims about versions; a version is proven by the definition that it holds.

    `collected`, where it is a list, takes all states that differ.
    """

    def __init__(self, context: Context, collected: list[Differing] | None = None) -> None:
        self._collected = collected
        self._context = context

    def prove(self, claim: Claim, deadline_s: float, retried: bool = False) -> Proof:
        """Compare, after waiting up to `deadline_s` for cells that are missing.

        `retried`: it was unproven before. What needs no cell was compared then, of files that never change, so while it
        stays unproven that is not compared again.
        """
        clock = self._context.clock
        began = clock.elapsed_s()
        common, new, reasons = self._common(claim)
        with Comparison(self._context.store.data.fetch, self._context.limits) as comparison:
            comparison.collected = self._collected
            delta_keys = {
                claim.delta_key(view, span.partition): (view, Joined(span.start, span.upto))
                for view in common
                for span in claim.spans
            }
            between = self._read(claim, delta_keys, comparison, deadline_s)
            conflicts = [joined.conflict for _, joined in delta_keys.values() if joined.conflict]
            joins: defaultdict[View, list[Side]] = defaultdict(list)
            for delta_key, (view, joined) in delta_keys.items():
                if joined.end == joined.upto:
                    shard = delta_key.partition
                    before = _of_shard(claim.parent.parts, view, shard) if claim.whole(view) else []
                    joins[view].append(Side(delta_key, before, *_made_of(claim, view, shard, claim.imported)))
                else:
                    reasons.append(_short(delta_key, joined))
            for view, sides in joins.items():
                comparison.base(view, sides)
            if any(joined.end < joined.upto for _, joined in delta_keys.values()) and between.bad:
                reasons.append(between.bad)
            compare_rest = not (retried and reasons)
            for view in new if compare_rest else ():
                archive = claim.version.archive_of(claim.stream)
                shards = sorted({entry.partition for entry in archive})
                made = [Side(claim.delta_key(view, s), (), *_made_of(claim, view, s, archive)) for s in shards]
                comparison.base(view, made)
            for view in self._views(claim) if compare_rest else ():
                if claim.version.definitions[view.name] != view.definition:
                    continue
                comparison.coarser(view, [part for part in claim.version.own if part.view == view.name])
            compared = comparison.compared
        outcome, reason = _verdict(compared.differ, compared.states, conflicts, reasons)
        return Proof(
            outcome=outcome,
            reason=reason,
            spans=tuple(_measured(span, delta_keys) for span in claim.spans),
            imported=sum(entry.file.rows for entry in claim.imported),
            compared=compared.states,
            differ=compared.differ,
            first=tuple(compared.first),
            proven_us=clock.now_us(),
            took_ms=round((clock.elapsed_s() - began) * 1000),
            new=tuple(view.name for view in new),
        )

    def _read(
        self,
        claim: Claim,
        delta_keys: Mapping[DeltaKey, tuple[View, Joined]],
        comparison: Comparison,
        deadline_s: float,
    ) -> Between:
        """The cells; where the delta topic cannot be read there are none, and it says why."""
        log, clock = self._context.log, self._context.clock
        between = Between(delta_keys, lambda delta_key, rows: comparison.add(delta_key, delta_keys[delta_key][0], rows))
        topic, own = self._context.names.deltas(claim.stream), claim.parent.of(claim.stream)
        try:
            # A topic that was created again has none of the cells from the parent's cut on, but may have later ones.
            starts = own.delta_start if own.deltas_id == log.topic_id(topic) else {}
            between.read(log, topic, starts, clock, deadline_s)
        except LogError as error:
            between.bad = between.bad or str(error)
        return between

    def _views(self, claim: Claim) -> list[View]:
        return [v for v in held_views(self._context.views, claim.version.definitions) if v.stream == claim.stream]

    def _common(self, claim: Claim) -> tuple[list[View], list[View], list[str]]:
        """The views of one definition in parent and version, its files whole; those that are new; why others are not
        among them.
        """
        common, new, reasons = [], [], []
        parent, known = claim.parent, claim.stream.name in claim.parent.streams
        for view in self._views(claim):
            held, own = parent.definitions.get(view.name), claim.version.definitions[view.name]
            if own == view.definition and known and (held is None or view.name in claim.again):
                new.append(view)
                continue
            if own != view.definition or (known and held != own):
                reasons.append(
                    f"No common definition of {view.name}: version {parent.version} holds {held or 'none'}, "
                    f"this one {own}, this program {view.definition}."
                )
                continue
            try:
                if claim.whole(view):
                    self._context.store.check(part.file for part in parent.parts_of(view.name, view.base))
                common.append(view)
            except DamagedFileError as error:
                reasons.append(f"The parent, version {parent.version}, is damaged: {error}")
        return common, new, reasons


def refuse(context: Context, version: Manifest, proofs: Mapping[str, Proof]) -> NoReturn:
    """Write down the proofs of a version that is not published. Raises ProofFailedError."""
    write_handoff(context.store, version.version, version.run_id, proofs)
    path = handoff_path(context.store, version.version)
    raise ProofFailedError(version.version, version.parent, joined(proofs), path)


def _of_shard(parts: Iterable[Part], view: View, shard: int) -> list[Part]:
    return [part for part in parts if (part.view, part.interval, part.shard) == (view.name, view.base, shard)]


def _made_of(
    claim: Claim, view: View, shard: int, events: Iterable[ArchiveFile]
) -> tuple[list[Part], list[ArchiveFile]]:
    """The version's own parts of a shard, and those of the files of `events` that are in it."""
    return _of_shard(claim.version.own, view, shard), [entry for entry in events if entry.partition == shard]


def _short(delta_key: DeltaKey, joined: Joined) -> str:
    reach, where = joined.reach(), f"{delta_key.view} in partition {delta_key.partition}"
    if reach > joined.upto:
        return f"A cell of {where} runs over the cut {joined.upto} to {reach}."
    if joined.holed():
        return f"A hole: no cell of {where} starts at {reach}, though later ones are known; the cut is {joined.upto}."
    return f"The speed layer is behind: its cells of {where} reach {reach}, the cut is {joined.upto}."


def _measured(span: Span, delta_keys: Mapping[DeltaKey, tuple[View, Joined]]) -> Span:
    joined = [joined for delta_key, (_, joined) in delta_keys.items() if delta_key.partition == span.partition]
    return replace(
        span,
        cells=sum(each.cells for each in joined),
        gap=max((each.upto - each.end for each in joined), default=0),
        overlap=max((max(0, each.reach() - each.upto) for each in joined), default=0),
    )


def _verdict(differ: int, compared: int, conflicts: Sequence[str], reasons: Sequence[str]) -> tuple[Outcome, str]:
    failed = [f"{differ:,} of {compared:,} states differ."] if differ else []
    failed += _shown(conflicts)
    if failed:
        return "different", " ".join(failed)
    return ("unproven", " ".join(_shown(reasons))) if reasons else ("equal", "")


def _shown(reasons: Sequence[str]) -> list[str]:
    more = [f"And {len(reasons) - SHOWN} more."] if len(reasons) > SHOWN else []
    return [*reasons[:SHOWN], *more]
