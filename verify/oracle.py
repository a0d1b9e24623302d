"""The independent oracle of the proof: every row of every view recomputed from the log's raw bytes, in plain Python.

It is *not* a fast path and shares nothing with one: no room, no package, no decimal type, no SQL, only the standard
library, the definitions as data and the contract (DESIGN.md, sections 2, 4 "Closed" and 5). What the batch view, the
speed layer and the service print has to equal what this prints; a mistake that both make must be made twice. A test
holds its imports. Reading the log, skipping marks and comparing live in the caller.

    bytes --Decoder--> event --add--> {(entity, key, base start): state} --rows--> {"start": ..., "open": "61000.1"}

All numbers are whole ones: decimals in units of 1e-8, sums in units of 1e-16. An event seen twice is counted twice:
dropping duplicates is the ingest service's work, and this is below it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from verify.answers import answer_of, decimal, quantile
from verify.decoder import Decoder
from verify.definition import Definition, StreamData
from verify.errors import NotProvenError
from verify.expressions import parse
from verify.intervals import CALENDAR, CLOSED_AFTER_US, Interval, length_of, span
from verify.keys import bounds, key_of
from verify.measures import measure_of

Entity = tuple[Any, ...]
State = list[tuple[Any, ...]]
States = dict[tuple[Any, ...], State]
"""(start, key after the entity...) -> state."""

Finished = tuple[tuple[str, ...], dict[tuple[Any, ...], dict[str, Any]]]
"""The key columns that tell rows apart, and the answers of each place."""


class ViewOracle:
    """The states of one view at its base interval, of the events that it was shown. `base_us`: another base."""

    def __init__(self, view: Definition, scales: Mapping[str, int | None], base_us: int = 0) -> None:
        self.view = view
        self.base_us = base_us or length_of(view.base)
        self._measures = [measure_of(name, part, scales) for name, part in view.measures.items()]
        columns = {name: scale for measure in self._measures for name, scale in measure.columns}
        self._names = tuple(columns)
        self._answers = {name: answer_of(name, part, columns) for name, part in view.answers.items()}
        self._key = [key_of(name, view.derived.get(name), scales) for name in view.rest]
        self._time = view.stream.time
        self._scales = scales
        self._states: dict[Entity, dict[int, dict[tuple[Any, ...], State]]] = {}
        if unknown := {part.kind for part in view.quantiles.values()} - {"Quantiles"}:
            raise NotProvenError(f"The oracle knows no {', '.join(sorted(unknown))}.")

    def add(self, entity: Entity, event: Mapping[str, Any]) -> None:
        """Count an event."""
        time = event[self._time]
        key = tuple([column(event) for column in self._key])
        states = self._states.setdefault(entity, {}).setdefault(time - time % self.base_us, {})
        state = states.get(key)
        if state is None:
            states[key] = [measure.of(event) for measure in self._measures]
        else:
            for i, measure in enumerate(self._measures):
                state[i] = measure.add(state[i], measure.of(event))

    def merged(self, entity: Entity, interval: Interval, low: int | None = None, high: int | None = None) -> States:
        """(start, key...) -> state of the bars with low <= start < high, in no order."""
        found: States = {}
        bars = self._states.get(entity, {})
        times: Iterable[int] = bars
        if low is not None and high is not None and low < high:
            few = range(low - low % self.base_us, span(interval, high - 1)[1], self.base_us)
            times = [time for time in few if time in bars] if len(few) < len(bars) else bars
        for time in times:
            start = span(interval, time)[0]
            if (low is None or start >= low) and (high is None or start < high):
                for key, state in bars[time].items():
                    self._merge(found, (start, *key), state)
        return found

    def before(self, entity: Entity, time: int) -> States:
        """(0, key...) -> state of everything before a time: of base bars that start before it."""
        found: States = {}
        for start, states in self._states.get(entity, {}).items():
            for key, state in states.items() if start < time else ():
                self._merge(found, (0, *key), state)
        return found

    def finished(self, states: States) -> Finished:
        """The answers of each state, by the whole key after the entity."""
        found = {}
        for place, state in states.items():
            values = self._values(state)
            found[place] = {name: finish(values) for name, finish in self._answers.items()}
        return self.view.rest, found

    def finished_quantiles(self, states: States) -> Finished:
        """Both bounds of each quantile, by the key without buckets."""
        kept = [i for i, name in enumerate(self.view.rest) if name not in self.view.derived]
        groups: dict[tuple[Any, ...], list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}
        for (start, *key), state in states.items():
            groups.setdefault((start, *(key[i] for i in kept)), []).append((tuple(key), self._values(state)))
        names = tuple(self.view.rest[i] for i in kept)
        return names, {place: dict(self._bounds(rows)) for place, rows in groups.items()}

    def _values(self, state: State) -> dict[str, Any]:
        return dict(zip(self._names, (value for part in state for value in part), strict=True))

    def _bounds(self, rows: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> Iterator[tuple[str, Any]]:
        for name, part in self.view.quantiles.items():
            by, of = part.args["by"], part.args["of"]
            counts: Counter[int] = Counter()
            for key, values in rows:
                counts[key[self.view.rest.index(by)]] += values[of]
            declared = self.view.derived[by]
            found = quantile(list(counts.items()), part.args["at"])
            scale = parse(declared.args["expr"], self._scales).scale or 0
            both = (None, None) if found is None else bounds(found, declared.args["digits"])
            for side, bound in zip(("low", "high"), both, strict=True):
                yield f"{name}_{side}", decimal(bound, scale) if scale and bound is not None else bound

    def _merge(self, found: States, place: tuple[Any, ...], state: State) -> None:
        known = found.get(place)
        if known is None:
            found[place] = list(state)
        else:
            for i, measure in enumerate(self._measures):
                known[i] = measure.add(known[i], state[i])


class Oracle:
    """Views of one stream, from the records that it is shown, in any order; an answer is about those shown so far.

    `events` counts the applied events, `refused` the refused lines, and the records refused as a whole (once each), by
    reason. `base_us` is another base interval than the views'.

    Raises:
        NotProvenError: a definition holds something that is not known here.
    """

    def __init__(self, stream: StreamData, views: Iterable[Definition] = (), base_us: int = 0) -> None:
        self._decoder = Decoder(stream)
        self._entity = stream.entity
        self._time = stream.time
        self.views = {view.definition: ViewOracle(view, self._decoder.scales, base_us) for view in views}
        self._newest: dict[Entity, int] = {}
        self.events = 0

    @property
    def refused(self) -> Counter[str]:
        """Reason -> how often."""
        return self._decoder.refused

    @property
    def entities(self) -> list[Entity]:
        """Every entity with an applied event, sorted."""
        return sorted(self._newest)

    def record(
        self, value: bytes | None, append_time_ms: int, without: Collection[int] = ()
    ) -> list[tuple[int, dict[str, Any]]]:
        """Count one record: its raw value, and when the log appended it; its events, but for those at the indexes
        `without`. Marks are not shown here.
        """
        found = [each for each in self._decoder.events(value, append_time_ms) if each[0] not in without]
        for _, event in found:
            self.event(event)
        return found

    def event(self, event: Mapping[str, Any]) -> None:
        """Count one valid event; nothing is checked again."""
        entity = tuple(event[name] for name in self._entity)
        time = event[self._time]
        self._newest[entity] = max(self._newest.get(entity, time), time)
        self.events += 1
        for view in self.views.values():
            view.add(entity, event)

    def rows(
        self,
        definition: str,
        entity: Entity,
        interval: Interval,
        start: int | None = None,
        end: int | None = None,
        quantiles: bool = False,
    ) -> list[dict[str, Any]]:
        """The rows with start <= row start < end (microseconds, None: no bound) as the service prints them, in order.

        `quantiles`: those of each start instead, both bounds of each.

        Raises:
            ValueError: there is no such interval, or the base does not divide it.
        """
        view = self.views[definition]
        if interval not in CALENDAR and length_of(interval) % view.base_us:
            raise ValueError(f"No rows of {interval!r} can be made of those of {view.base_us} microseconds.")
        found = view.merged(entity, interval, start, end)
        return self._printed(view, entity, found, quantiles, lambda start: span(interval, start)[1])

    def before(self, definition: str, entity: Entity, time: int, quantiles: bool = False) -> list[dict[str, Any]]:
        """One bar of all events before a time, which ends there and starts at 0: as the service prints it."""
        view = self.views[definition]
        return self._printed(view, entity, view.before(entity, time), quantiles, lambda _: time)

    def _printed(
        self, view: ViewOracle, entity: Entity, states: States, quantiles: bool, end: Callable[[int], int]
    ) -> list[dict[str, Any]]:
        closed_to = self._newest.get(entity, 0) - CLOSED_AFTER_US
        names, finished = view.finished_quantiles(states) if quantiles else view.finished(states)
        return [
            {
                **dict(zip(names, place[1:], strict=True)),
                "start": place[0],
                **finished[place],
                "closed": end(place[0]) <= closed_to,
            }
            for place in sorted(finished)
        ]
