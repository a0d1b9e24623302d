"""The proof of one run: each stream's claim, what follows from its outcome, and what older versions still owe."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from batch_layer.archive import Epoch
from batch_layer.errors import ParentRefutedError
from batch_layer.prove import Claim, Prover, refuse
from batch_layer.prove_later import RETRIED, open_versions, prove_later
from batch_layer.publish import Draft
from batch_layer.spans import Spans
from slackwater.context import Context
from slackwater.core.faults import reach
from slackwater.restatements.of_run import Differing
from slackwater.versions.handoff import refuted
from slackwater.versions.manifest import Manifest
from slackwater.versions.proof import Forced, Proof, Span, joined

logger = logging.getLogger(__name__)


def retry_open(context: Context) -> None:
    """Try what was published unproven again."""
    for _ in prove_later(context, islice(open_versions(context.store), RETRIED)):
        pass  # what comes of it is written down and logged


def check_lineage(context: Context, version: Manifest, forced: Forced | None) -> bool:
    """Whether a version that made some of this one's parts was found wrong, though this one is forced.

    Raises:
        ParentRefutedError: it is not forced.
    """
    wrong = refuted(context.store, version)
    if wrong is not None and forced is None:
        raise ParentRefutedError(*wrong)
    return wrong is not None


def prove_run(
    draft: Draft, deadline_s: float, collected: list[Differing] | None, forced: Forced | None, wrong: bool
) -> dict[str, Proof]:
    """Stream -> its proof, after waiting up to `deadline_s` in all for cells. `collected` takes all states that differ.

    Raises:
        ProofFailedError: one is different, and `forced` is None. The proofs are written down.
    """
    context, number = draft.context, draft.version.version
    prover, until_s = Prover(context, collected), context.clock.elapsed_s() + deadline_s
    proofs = {}
    for spans, epoch in zip(draft.spans, draft.epochs, strict=True):
        claim = Claim(spans.stream, draft.parent, draft.version, _spans(spans, epoch), draft.again)
        proofs[spans.stream.name] = prover.prove(claim, until_s - context.clock.elapsed_s())
    together = joined(proofs)
    if together.outcome == "different":
        if forced is None:
            reach("prove.handoff")
            refuse(context, draft.version, proofs)
        logger.error("Version %d is published by force: %s %s", number, together.reason, together.first[:1])
    if wrong or together.outcome == "different":
        return {name: replace(proof, forced=forced) for name, proof in proofs.items()}
    return proofs


def _spans(spans: Spans, epoch: Epoch) -> tuple[Span, ...]:
    """A partition that is held is one without offsets: its states are the parent's."""
    events = Counter[int]()
    for entry in epoch.files:
        events[entry.partition] += entry.file.rows
    held = {p: at for p, at in spans.parent.cut.items() if p not in spans.start}
    read: Sequence[tuple[int, int, int]] = [(p, at, spans.cut[p]) for p, at in spans.start.items()]
    name = spans.stream.name
    return tuple(
        Span(name, p, start, upto, events[p], epoch.refused_in.get(p, 0))
        for p, start, upto in sorted([*read, *((p, at, at) for p, at in held.items())])
    )
