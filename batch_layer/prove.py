"""Proves a hand-off: `state(v) == state(parent) (+) cells between the two cuts`, an equality, since sums are exact.

    equal       every state of every view, at every published interval, is what the parent and the cells give
    different   one is not, or two cells over one slice differ
    unproven    a chain does not reach the cut (speed behind, a hole), or the definition is another one, by the deadline

Each stream is proven by itself. Imported history was never in the log, so no cell holds it: its states are summarised
from its own files, by the view's own SQL and past the pipeline, and added. So is the whole archive for a view that the
parent does not have.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from batch_layer.cells import Between, Joined
from batch_layer.comparison import Comparison
from slackwater.context import Context
from slackwater.deltas.cell import DeltaKey, delta_key_of
from slackwater.log.errors import LogError
from slackwater.restatements.of_run import Differing
from slackwater.streams.stream import Stream
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import ArchiveFile, Manifest, ViewFile
from slackwater.versions.proof import Outcome, Proof, Span
from slackwater.views.definitions import in_force
from slackwater.views.view import View

SHOWN = 3
"""Reasons that are reported; the rest is counted."""


@dataclass(frozen=True)
class Claim:
    """What is to be proven of a version in one stream: its `definitions` and `files`.

    `spans` are the partitions between the cuts, `archive` is all that the views are made of; `imported` is history
    that the version added and no cell holds.
    """

    stream: Stream
    parent: Manifest
    topic_id: str
    delta_start: Mapping[int, int]
    spans: tuple[Span, ...]
    definitions: Mapping[str, str]
    files: tuple[ViewFile, ...]
    archive: tuple[ArchiveFile, ...]
    imported: tuple[ArchiveFile, ...]


class Prover:
    """Proves claims about versions; a version is proven by the definition that it holds.

    `collected`, where it is a list, takes all states that differ.
    """

    def __init__(self, context: Context, collected: list[Differing] | None = None) -> None:
        self._collected = collected
        self._context = context

    def prove(self, claim: Claim, deadline_s: float) -> Proof:
        """Compare, after waiting up to `deadline_s` for cells that are missing."""
        clock = self._context.clock
        began = clock.elapsed_s()
        common, new, reasons = self._common(claim)
        with Comparison(self._context.store.home) as comparison:
            comparison.collected = self._collected
            delta_keys = {
                delta_key_of(view, claim.topic_id, span.partition): (view, Joined(span.start, span.upto))
                for view in common
                for span in claim.spans
            }
            between = self._read(claim, delta_keys, comparison, deadline_s)
            conflicts = [joined.conflict for _, joined in delta_keys.values() if joined.conflict]
            for delta_key, (view, joined) in delta_keys.items():
                if joined.end == joined.upto:
                    comparison.base(view, delta_key, *_of_shard(claim, view, delta_key.partition))
                else:
                    reasons.append(_short(delta_key, joined))
            if any(joined.end < joined.upto for _, joined in delta_keys.values()) and between.bad:
                reasons.append(between.bad)
            for view in new:
                for shard in sorted({entry.partition for entry in claim.archive}):
                    comparison.base(view, delta_key_of(view, claim.topic_id, shard), *_of_archive(claim, view, shard))
            for view in self._views(claim):
                if claim.definitions.get(view.name) != view.definition:
                    continue
                for shard, files in _shards(claim.files, view).items():
                    comparison.coarser(view, shard, files)
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
        try:
            between.read(log, self._context.names.deltas(claim.stream), claim.delta_start, clock, deadline_s)
        except LogError as error:
            between.bad = between.bad or str(error)
        return between

    def _views(self, claim: Claim) -> list[View]:
        found = in_force(self._context.views, claim.definitions)  # a view that came later is not the version's
        return [view for view in found if view.stream == claim.stream and view.name in claim.definitions]

    def _common(self, claim: Claim) -> tuple[list[View], list[View], list[str]]:
        """The views of one definition in parent and version, its files whole; those that are new; why others are not
        among them.
        """
        common, new, reasons = [], [], []
        parent, known = claim.parent, claim.stream.name in claim.parent.streams
        for view in self._views(claim):
            held, own = parent.definitions.get(view.name), claim.definitions.get(view.name)
            if own == view.definition and known and held is None:
                new.append(view)
                continue
            if own != view.definition or (known and held != own):
                reasons.append(
                    f"No common definition of {view.name}: version {parent.version} holds {held or 'none'}, "
                    f"this one {own or 'none'}, this program {view.definition}."
                )
                continue
            try:
                self._context.store.check(file.file for file in parent.files_of(view.name, view.base))
                common.append(view)
            except DamagedFileError as error:
                reasons.append(f"The parent, version {parent.version}, is damaged: {error}")
        return common, new, reasons


def deltas_from(parent: Manifest, stream: Stream, deltas_id: str) -> Mapping[int, int]:
    """Where the cells from the parent's cut on are read in the delta topic; a topic created again has none of them."""
    own = parent.of(stream)
    return own.delta_start if own.deltas_id == deltas_id else {}


def _of_shard(
    claim: Claim, view: View, shard: int
) -> tuple[Sequence[ViewFile], Sequence[ViewFile], Sequence[ArchiveFile]]:
    parent = [file for file in claim.parent.files_of(view.name, view.base) if file.shard == shard]
    own = [file for file in claim.files if (file.view, file.interval, file.shard) == (view.name, view.base, shard)]
    return parent, own, [entry for entry in claim.imported if entry.partition == shard]


def _of_archive(
    claim: Claim, view: View, shard: int
) -> tuple[Sequence[ViewFile], Sequence[ViewFile], Sequence[ArchiveFile]]:
    _, own, _ = _of_shard(claim, view, shard)
    return (), own, [entry for entry in claim.archive if entry.partition == shard]


def _shards(files: Iterable[ViewFile], view: View) -> dict[int, list[ViewFile]]:
    found: defaultdict[int, list[ViewFile]] = defaultdict(list)
    for file in files:
        if file.view == view.name:
            found[file.shard].append(file)
    return found


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
