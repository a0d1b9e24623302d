"""Answers of the REST service against the oracle, each at its own positions.

The oracle (`verify.oracle`) reads the log's raw bytes; what the log never held (imported history) or holds no more
comes from the archive. An answer says by `applied` up to which offset of its partition it stands, so the proof holds on
a running system: the oracle walks a partition once and each answer is compared when its position is reached.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from verify.archive import ArchivedFile, Corrected, in_log_order, read_archive, read_gone
from verify.client import Answer, Entity
from verify.decoder import units
from verify.definition import StreamData
from verify.errors import EvidenceError
from verify.evidence import Evidence, unmarked
from verify.oracle import Oracle
from verify.proof import Proof

Group = tuple[str, int, tuple[tuple[int, int], ...], tuple[ArchivedFile, ...], Corrected]
"""Stream, partition, ends of other partitions, imported files, corrections: answers with all of these alike take one
walk."""

Row = dict[str, Any]


def compare(answers: Iterable[Answer], evidence: Evidence, proof: Proof) -> None:
    """Compare answers with the oracle; adds to `proof`."""
    groups: dict[Group, list[Answer]] = defaultdict(list)
    for answer in answers:
        held = {p for p, _ in answer.ends}
        try:
            files = evidence.archive(answer.version, answer.stream.name)
            corrected = evidence.corrected(answer.version, answer.stream.name)
        except EvidenceError as error:
            proof.refusals.append(f"1 answers were not compared: {error.fact}")
            continue
        imported = tuple(file for file in files if file.start is None and file.partition in held)
        groups[answer.stream.name, answer.partition, answer.others, imported, corrected].append(answer)
    for (_, partition, others, imported, corrected), group in groups.items():
        walk = _Walk(evidence, group, corrected)
        waiting = sorted(group, key=lambda answer: answer.applied)
        try:
            walk.imported(imported)
            for p, end in others:
                for _ in walk.offsets(p, end):
                    pass
            for offset in walk.offsets(partition, waiting[-1].applied):
                while waiting and waiting[0].applied <= offset:
                    _compare(waiting.pop(0), walk, proof)
        except EvidenceError as error:
            proof.refusals.append(f"{len(waiting)} answers were not compared: {error.fact}")
            continue
        for answer in waiting:
            _compare(answer, walk, proof)
        proof.events += walk.oracle.events


class _Walk:
    """The oracle of a group of answers, and the events that it has seen of entities whose events are compared."""

    def __init__(self, evidence: Evidence, group: Sequence[Answer], corrected: Corrected) -> None:
        self._gone = read_gone(corrected)
        self.stream = group[0].stream
        self.oracle = Oracle(self.stream, {a.view.definition: a.view for a in group if a.view}.values())
        self.events: dict[Entity, list[Row]] = {answer.entity: [] for answer in group if not answer.view}
        self._evidence = evidence
        self._version = max(answer.version for answer in group)

    def imported(self, files: Iterable[ArchivedFile]) -> None:
        """Count what the log never held."""
        for file, offset, index, event in read_archive(self.stream, files):
            self.oracle.event(event)
            self._note(file.partition, offset, index, event)

    def offsets(self, partition: int, upto: int) -> Iterator[int]:
        """Every offset below `upto`, from the log, below its start from the archive; each counts after it was given."""
        start = self._evidence.bounds(self.stream.name)[partition].start
        if start > 0 and self._version:
            files = self._evidence.archive(self._version, self.stream.name)
            logged = [file for file in files if file.start is not None and file.partition == partition]
            for _, offset, index, event in in_log_order(self.stream, logged, start):
                yield offset or 0
                self.oracle.event(event)
                self._note(partition, offset, index, event)
        for record in unmarked(self._evidence, self.stream.name, partition, start, upto):
            yield record.offset
            gone = self._gone.get((partition, record.offset), ())
            for index, event in self.oracle.record(record.value, record.append_time_ms, gone):
                self._note(partition, record.offset, index, event)

    def _note(self, partition: int, offset: int | None, index: int | None, event: Row) -> None:
        events = self.events.get(tuple([event[name] for name in self.stream.entity]))
        if events is not None:
            events.append({**event, "partition": partition, "offset": offset, "index": index})


def _compare(answer: Answer, walk: _Walk, proof: Proof) -> None:
    part, view, stream = proof.part(answer.name), answer.view, walk.stream
    part.answers += 1
    proof.versions.add(answer.version)
    proof.entities.add(entity_text(answer.entity))
    served = answer.rows
    if view is None:
        hidden = set(stream.entity)
        expected = [{k: v for k, v in event.items() if k not in hidden} for event in walk.events[answer.entity]]
        served = [_as_event(row, stream) for row in served]
        place = ["partition", "offset", "index", stream.time, stream.identity]
    else:
        of = view.definition, answer.entity
        if answer.at is None:
            proof.intervals.add(answer.interval)
            expected = walk.oracle.rows(*of, answer.interval, answer.start, answer.end, answer.quantiles)
        else:
            expected = walk.oracle.before(*of, answer.at)
        place = ["start", *(name for name in view.rest if not (answer.quantiles and name in view.derived))]
    _compare_rows(answer, expected, served, place, proof)


def _compare_rows(answer: Answer, expected: Sequence[Row], served: Sequence[Row], key: list[str], proof: Proof) -> None:
    """Compare rows by their places; those of a view stand in order, and a place is served once."""
    wanted = {_place(row, key): row for row in expected}
    order = [_place(row, key) for row in served]
    given = {place: _as_numbers(row, wanted.get(place)) for place, row in zip(order, served, strict=True)}
    places = wanted.keys() | given.keys()
    part = proof.part(answer.name)
    part.rows += len(places)
    if len(given) != len(served) or (answer.view and sorted(given) != order) or len(wanted) != len(expected):
        part.differ += 1
        proof.note(_difference(answer, None, "order", "sorted, once each", "not"))
    for place in sorted(places, key=str) if wanted != given else ():
        ours, theirs = wanted.get(place, {}), given.get(place, {})
        if (place in wanted) != (place in given) or ours != theirs:
            part.differ += 1
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                proof.note(_difference(answer, place, name, ours.get(name), theirs.get(name)))


def _as_event(row: Row, stream: StreamData) -> Row:
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


def _as_numbers(row: Row, expected: Row | None) -> Row:
    """A row whose integers are numbers, also where JSON has them as text, beyond 2^53."""
    if row == expected:  # most are: half a million in the proof of the demo
        return row
    return {
        name: int(value) if type((expected or {}).get(name)) is int and _is_digits(value) else value
        for name, value in row.items()
    }


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdigit()


def _place(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple([row.get(name) for name in names])


def entity_text(entity: Entity) -> str:
    """An entity as messages name it, such as `binance:BTCUSDT`."""
    return ":".join(map(str, entity))


def _difference(answer: Answer, place: object, name: str, expected: object, served: object) -> Row:
    return {
        "view": answer.name,
        "entity": entity_text(answer.entity),
        "interval": answer.interval,
        "place": place,
        "field": name,
        "expected": expected,
        "served": served,
        "version": answer.version,
        "applied": answer.applied,
    }
