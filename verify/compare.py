"""The proof: every row of every view as the REST service answers it, against the oracle at the answer's positions.

The oracle (`verify.oracle`) reads the log's raw bytes; what the log never held (imported history) or holds no more
comes from the archive. An answer says by `applied` up to which offset of its partition it stands, so the proof holds on
a running system: the oracle walks a partition once and each answer is compared when its position is reached.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from verify.archive import ArchivedFile, read_archive
from verify.client import Answer, Client, Entity
from verify.decoder import units
from verify.definition import Definition, StreamData
from verify.errors import EvidenceError, NotProvenError, ServiceError
from verify.evidence import Evidence, Version, is_mark
from verify.intervals import CALENDAR, length_of
from verify.oracle import Oracle
from verify.proof import Proof
from verify.standing import Standing, Wanted, everything

WAIT_S = 10.0
"""How long answers may take to stand on what the log holds; the speed layer takes milliseconds."""

AGAIN_S = 0.5

Group = tuple[str, int, tuple[tuple[int, int], ...], tuple[ArchivedFile, ...]]
"""Stream, partition, ends of other partitions, imported files: answers with all of these alike take one walk."""


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
        each = (*(view.stream for view in self.views), *self.streams)
        return list({stream.name: stream for stream in each}.values())


def verify(client: Client, evidence: Evidence, claims: Claims, wait_s: float = WAIT_S) -> Proof:
    """Ask for every row of the wanted entities at `intervals`, and compare.

    Answers that do not stand on all that the log held when this began are asked for again, for up to `wait_s` seconds;
    so are entities that the service does not know: a version may be published a moment before it is served.
    """
    began = time.monotonic()
    standing = Standing(evidence, claims.fed, claims.wanted)
    while True:
        proof = Proof()
        answers = _ask(client, evidence, claims, proof)
        proof.tail = standing.tail(_least(answers))
        if not (proof.tail or proof.unknown) or time.monotonic() - began >= wait_s:
            break
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
            for answer in _unless_refused(_asked(client, definitions[0], entity, claims.intervals), entity, proof):
                if answer.definition not in known:
                    part.not_proven = part.not_proven or f"It answers by the definition {answer.definition}."
                else:
                    answers.append(replace(answer, view=known[answer.definition]))
    for name in claims.without_view:
        proof.part(name).pending = "No view is of this stream, so nothing answers for it."
    for stream in claims.streams:
        for entity in entities[stream.name]:
            answers += _unless_refused((client.events(stream, e) for e in [entity]), entity, proof)
    for answer in answers:
        if answer.refusal:
            proof.refusals.append(f"{_text(answer.entity)}: {answer.refusal}")
    proof.refusals = list(dict.fromkeys(proof.refusals))
    return answers


def _entities(client: Client, evidence: Evidence, claims: Claims, stream: StreamData, version: Version) -> list[Entity]:
    """All that the service lists, all that the version knows, and all that the log holds from its cut on."""
    oracle = Oracle(stream)
    try:
        for p, bounds in evidence.bounds(stream.name).items():
            for record in evidence.records(stream.name, p, max(bounds.start, version.cut.get(p, 0)), bounds.end):
                if not is_mark(record):
                    oracle.record(record.value, record.append_time_ms)
    except EvidenceError:
        pass  # what cannot be read is said where it is compared
    listed = client.entities(stream) if stream == claims.fed[0] else ()  # the service lists those of one stream
    return [each for each in sorted({*listed, *version.entities, *oracle.entities}) if claims.wanted(each)]


def _unless_refused(answers: Iterator[Answer], entity: Entity, proof: Proof) -> Iterator[Answer]:
    """Answers, as far as the service gives them; an entity of the log that it does not know is a refusal, too."""
    try:
        yield from answers
    except ServiceError as error:
        if not error.status:
            raise
        if error.status == HTTPStatus.NOT_FOUND:
            proof.unknown.add(_text(entity))
        proof.refusals.append(f"{_text(entity)}: {error.fact}")


def _asked(client: Client, view: Definition, entity: Entity, intervals: Sequence[str]) -> Iterator[Answer]:
    """All rows of an entity at each interval, quantiles at the first and the last; and what was before its newest rows.

    Quantiles are made of the very rows, so two intervals are enough to see that they are made right.
    """
    newest = 0
    for interval in (each for each in intervals if each in CALENDAR or not length_of(each) % length_of(view.base)):
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


def compare(answers: Iterable[Answer], evidence: Evidence, proof: Proof) -> None:
    """Compare answers with the oracle, each at its own positions; adds to `proof`."""
    groups: dict[Group, list[Answer]] = defaultdict(list)
    for answer in answers:
        held = {p for p, _ in answer.ends}
        files = evidence.archive(answer.version, answer.stream.name)
        imported = tuple(file for file in files if file.start is None and file.partition in held)
        groups[answer.stream.name, answer.partition, answer.others, imported].append(answer)
    for (_, partition, others, imported), group in groups.items():
        walk = _Walk(evidence, group)
        waiting = sorted(group, key=lambda answer: answer.applied)
        try:
            walk.imported(imported)
            for p, end in others:
                for _, apply in walk.records(p, end):
                    apply()
            for offset, apply in walk.records(partition, waiting[-1].applied):
                while waiting and waiting[0].applied <= offset:
                    _compare(waiting.pop(0), walk, proof)
                apply()
        except EvidenceError as error:
            proof.refusals.append(f"{len(waiting)} answers were not compared: {error.fact}")
            continue
        for answer in waiting:
            _compare(answer, walk, proof)
        proof.events += walk.oracle.events


@dataclass
class _Walk:
    """The oracle of a group of answers, and the events that it has seen of entities whose events are compared."""

    evidence: Evidence
    group: Sequence[Answer]
    seen: dict[Entity, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stream = self.group[0].stream
        views = {answer.view.definition: answer.view for answer in self.group if answer.view}
        self.oracle = Oracle(self.stream, views.values())
        self.seen = {answer.entity: [] for answer in self.group if not answer.view}
        self._version = max(answer.version for answer in self.group)

    def imported(self, files: Iterable[ArchivedFile]) -> None:
        """Show what the log never held."""
        for file in files:
            for _, _, event in read_archive(self.stream, [file]):
                self.oracle.event(event)
                self._note(file.partition, None, None, event)

    def records(self, partition: int, upto: int) -> Iterator[tuple[int, Callable[[], None]]]:
        """Every offset below `upto` with what shows it: from the log, below its start from the archive."""
        start = self.evidence.bounds(self.stream.name)[partition].start
        if start > 0 and self._version:
            files = self.evidence.archive(self._version, self.stream.name)
            logged = [file for file in files if file.start is not None and file.partition == partition]
            for offset, index, event in read_archive(self.stream, logged, start):
                yield offset or 0, lambda o=offset, i=index, e=event: self._apply(partition, o, i, e)  # type: ignore[misc]
        for record in self.evidence.records(self.stream.name, partition, start, upto):
            if not is_mark(record):
                yield record.offset, lambda r=record: self._record(partition, r)  # type: ignore[misc]

    def _apply(self, partition: int, offset: int | None, index: int | None, event: dict[str, Any]) -> None:
        self.oracle.event(event)
        self._note(partition, offset, index, event)

    def _record(self, partition: int, record: Any) -> None:
        for index, event in self.oracle.record(record.value, record.append_time_ms):
            self._note(partition, record.offset, index, event)

    def _note(self, partition: int, offset: int | None, index: int | None, event: dict[str, Any]) -> None:
        events = self.seen.get(tuple(event[name] for name in self.stream.entity))
        if events is not None:
            events.append({**event, "partition": partition, "offset": offset, "index": index})


def _compare(answer: Answer, walk: _Walk, proof: Proof) -> None:
    part = proof.part(answer.name)
    part.answers += 1
    proof.versions.add(answer.version)
    proof.entities.add(_text(answer.entity))
    if answer.view is None:
        expected, served = _events(answer, walk), [_as_event(row, walk.stream) for row in answer.rows]
        place = ["partition", "offset", "index", walk.stream.time, walk.stream.identity]
    else:
        if answer.at is None:
            proof.intervals.add(answer.interval)
        view = answer.view
        of = view.definition, answer.entity
        if answer.at is not None:
            expected = walk.oracle.before(*of, answer.at)
        else:
            expected = walk.oracle.rows(*of, answer.interval, answer.start, answer.end, answer.quantiles)
        hidden = view.derived if answer.quantiles else {}
        served, place = answer.rows, ["start", *(name for name in view.rest if name not in hidden)]
    _rows(answer, [(row, _place(row, place)) for row in expected], [(row, _place(row, place)) for row in served], proof)


Placed = list[tuple[dict[str, Any], tuple[Any, ...]]]


def _rows(answer: Answer, expected: Placed, served: Placed, proof: Proof) -> None:
    """Compare rows by their places; those of a view stand in order, and a place is served once."""
    wanted = {place: row for row, place in expected}
    given = {place: _as_numbers(row, wanted.get(place)) for row, place in served}
    part = proof.part(answer.name)
    part.rows += len(wanted.keys() | given.keys())
    order = [place for _, place in served]
    if len(given) != len(served) or (answer.view and sorted(given) != order) or len(wanted) != len(expected):
        proof.differs(answer.name, _difference(answer, None, "order", "sorted, once each", "not"))
    for place in sorted(wanted.keys() | given.keys(), key=str):
        ours, theirs = wanted.get(place), given.get(place)
        if ours == theirs:
            continue
        proof.differs(answer.name)
        for name in sorted({*(ours or {}), *(theirs or {})}):
            a, b = (ours or {}).get(name), (theirs or {}).get(name)
            if a != b:
                proof.note(_difference(answer, place, name, a, b))


def _events(answer: Answer, walk: _Walk) -> list[dict[str, Any]]:
    """The events of the answer's entity, as far as the answer holds them, without the entity's columns."""
    hidden = set(walk.stream.entity)
    return [{name: v for name, v in event.items() if name not in hidden} for event in walk.seen[answer.entity]]


def _as_event(row: dict[str, Any], stream: StreamData) -> dict[str, Any]:
    """A served event with decimals as whole numbers, and numbers that JSON has as text beyond 2^53."""
    found = dict(row)
    for column in stream.columns:
        name = column.args["name"]
        if name in found and column.kind == "Decimal":
            found[name] = units(found[name])
        elif name in found and column.kind == "Identity":
            found[name] = str(found[name])
        elif name in found and column.kind in {"Sequence", "Integer"} and _is_digits(found[name]):
            found[name] = int(found[name])
    return found


def _as_numbers(row: dict[str, Any], expected: dict[str, Any] | None) -> dict[str, Any]:
    """A row whose integers are numbers, also where JSON has them as text, beyond 2^53."""
    return {
        name: int(value) if type((expected or {}).get(name)) is int and _is_digits(value) else value
        for name, value in row.items()
    }


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdigit()


def _place(row: dict[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def _text(entity: Entity) -> str:
    return ":".join(map(str, entity))


def _difference(answer: Answer, place: object, name: str, expected: object, served: object) -> dict[str, Any]:
    return {
        "view": answer.name,
        "entity": _text(answer.entity),
        "interval": answer.interval,
        "place": place,
        "field": name,
        "expected": expected,
        "served": served,
        "version": answer.version,
        "applied": answer.applied,
    }
