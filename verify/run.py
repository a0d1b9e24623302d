"""The proof from its questions to its result: which rows and events are asked for, and what came of them.

questions --Client--> answers --compare--> proof        asked again while something is refused or missing
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from verify.client import Answer, Client, Entity
from verify.compare import compare, entity_text
from verify.definition import Definition, StreamData
from verify.errors import EvidenceError, NotProvenError, ServiceError
from verify.evidence import Evidence, Version, unmarked
from verify.intervals import CALENDAR, length_of
from verify.oracle import Oracle
from verify.proof import Proof
from verify.standing import Standing, Wanted, everything

WAIT_S = 10.0
"""How long answers may take to stand on what the log holds; the speed layer takes milliseconds."""

AGAIN_S = 0.5


@dataclass(frozen=True)
class Claims:
    """What is to be proven: all definitions of all views, those of one name side by side; and intervals.

    `streams`: those whose events are compared, too. `without_view` are the names of streams that nothing answers for.
    """

    views: Sequence[Definition]
    intervals: Sequence[str]
    streams: Sequence[StreamData] = ()
    wanted: Wanted = everything
    without_view: Sequence[str] = ()

    @property
    def fed(self) -> list[StreamData]:
        """Every stream of the views and of `streams`, once."""
        every = (*(view.stream for view in self.views), *self.streams)
        return list({stream.name: stream for stream in every}.values())


def verify(client: Client, evidence: Evidence, claims: Claims, wait_s: float = WAIT_S) -> Proof:
    """Ask for every row of the wanted entities at `intervals`, and compare.

    All is asked again, for up to `wait_s` seconds, while an answer does not stand on all that the log held when this
    began, or is refused: a service that has just started, or that takes a version in, refuses for a moment.

    Raises:
        ServiceError: the service still gives no answer, or no list of entities, when the time is over.
    """
    began = time.monotonic()
    standing = Standing(evidence, claims.fed, claims.wanted)
    while True:
        last, proof = time.monotonic() - began >= wait_s, Proof()
        try:
            answers = _ask(client, evidence, claims, proof)
            proof.tail = standing.tail(_least(answers))
            if last or not (proof.tail or proof.refusals):
                break
        except ServiceError:
            if last:
                raise
        time.sleep(AGAIN_S)
    compare(answers, evidence, proof)
    proof.seconds = time.monotonic() - began
    return proof


def _ask(client: Client, evidence: Evidence, claims: Claims, proof: Proof) -> list[Answer]:
    answers: list[Answer] = []
    served = {stream.name: evidence.served(stream) for stream in claims.fed}
    entities = {stream.name: _entities(client, evidence, claims, stream, served[stream.name]) for stream in claims.fed}
    by_name: dict[str, list[Definition]] = defaultdict(list)
    for view in claims.views:
        by_name[view.name].append(view)
    for name, definitions in by_name.items():
        part, known, version = proof.part(name), _known(definitions, proof), served[definitions[0].stream.name]
        if version.number and name not in version.definitions:
            part.pending = f"Version {version.number} was published without it."
            continue
        for entity in entities[definitions[0].stream.name] if known else ():
            for answer in _given(_of_view(client, definitions[0], entity, claims.intervals), entity, proof):
                if answer.definition not in known:
                    part.not_proven = part.not_proven or f"It answers by the definition {answer.definition}."
                else:
                    answers.append(replace(answer, view=known[answer.definition]))
    for name in claims.without_view:
        proof.part(name).pending = "No view is of this stream, so nothing answers for it."
    for stream in claims.streams:
        version = served[stream.name]
        if not _answered(claims, stream, version):
            proof.part(stream.name).pending = f"Version {version.number} was published without a view of it."
        for entity in entities[stream.name]:
            answers += _given((client.events(stream, e) for e in [entity]), entity, proof)
    proof.refusals += [f"{entity_text(answer.entity)}: {answer.refusal}" for answer in answers if answer.refusal]
    proof.refusals = list(dict.fromkeys(proof.refusals))
    return answers


def _entities(client: Client, evidence: Evidence, claims: Claims, stream: StreamData, version: Version) -> list[Entity]:
    """All that the service lists, all that the version knows, and all that the log holds from its cut on."""
    if not _answered(claims, stream, version):
        return []
    oracle = Oracle(stream)
    try:
        for p, bounds in evidence.bounds(stream.name).items():
            for record in unmarked(evidence, stream.name, p, max(bounds.start, version.cut.get(p, 0)), bounds.end):
                oracle.record(record.value, record.append_time_ms)
    except EvidenceError:
        pass  # what cannot be read is said where it is compared
    known = {*client.entities(stream), *version.entities, *oracle.entities}
    return [entity for entity in sorted(known) if claims.wanted(entity)]


def _answered(claims: Claims, stream: StreamData, version: Version) -> bool:
    """Whether the service answers for a stream: not where a version holds the stream and no view of it."""
    of = [view for view in claims.views if view.stream.name == stream.name]
    return not version.cut or any(view.name in version.definitions for view in of)


def _given(answers: Iterator[Answer], entity: Entity, proof: Proof) -> Iterator[Answer]:
    """Answers, up to the first that the service refuses; an entity that it does not know is refused, too."""
    try:
        yield from answers
    except ServiceError as error:
        if not error.status:
            raise
        proof.refusals.append(f"{entity_text(entity)}: {error.fact}")


def _of_view(client: Client, view: Definition, entity: Entity, intervals: Sequence[str]) -> Iterator[Answer]:
    """All rows of an entity at each interval, quantiles at the first and the last; and what was before its newest rows.

    Quantiles are made of the very rows, so two intervals are enough to see that they are made right.
    """
    newest = 0
    for interval in (name for name in intervals if name in CALENDAR or not length_of(name) % length_of(view.base)):
        answer = client.answer(view, entity, interval)
        yield answer
        newest = max([newest, *(row["start"] for row in answer.rows)])
        if view.quantiles and interval in (intervals[0], intervals[-1]):
            yield client.answer(view, entity, interval, quantiles=True)
    if newest:
        yield client.before(view, entity, newest)


def _known(definitions: Iterable[Definition], proof: Proof) -> dict[str, Definition]:
    """Definitions that the oracle knows by their hashes; why not, of the others, goes to the proof."""
    found = {}
    for view in definitions:
        try:
            Oracle(view.stream, [view])
            found[view.definition] = view
        except NotProvenError as error:
            proof.part(view.name).not_proven = error.fact
    return found


def _least(answers: Iterable[Answer]) -> dict[tuple[str, int], int]:
    """(stream, partition) -> how far its answers stand, the one that stands on least."""
    found: dict[tuple[str, int], int] = {}
    for answer in answers:
        for partition, applied in answer.ends:
            key = answer.stream.name, partition
            found[key] = min(applied, found.get(key, applied))
    return found
