"""The proof: every bar of every interval as the REST service answers it, against the oracle at the answer's positions.

The oracle (`verify.oracle`) reads the event log's raw bytes; what the log never held (imported history) or holds no
more comes from the archive. An answer says by `applied` up to which offset of its partition it stands, so the proof
holds on a running system: the oracle walks a partition once and each answer is compared when its position is reached.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slackwater.core.decimals import decimal_text
from slackwater.log.errors import UnreadableError
from slackwater.log.log import Log, read_range
from slackwater.log.mark import mark_of
from slackwater.log.names import TopicNames
from slackwater.streams.schema import PRICE_SCALE
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore
from slackwater.views.interval import NAMED_INTERVALS, Interval
from verify.errors import ServiceError
from verify.oracle import Oracle
from verify.standing import Standing, Wanted

EVER = "1970-01-01"
PAGE = 10_000

WAIT_S = 10.0
"""How long answers may take to stand on what the log holds; the speed layer takes milliseconds."""

AGAIN_S = 0.5
FIRST_DIFFERENCES = 10


@dataclass(frozen=True)
class Answer:
    """One answer of the service, its pages joined.

    An instrument lies in one partition, unless a foreign writer chose others: `others` are these, with what is applied.
    """

    venue: str
    symbol: str
    interval: Interval
    version: int
    partition: int
    applied: int
    bars: list[dict[str, Any]]
    start: int | None = None
    end: int | None = None
    others: tuple[tuple[int, int], ...] = ()

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """(partition, applied) of each partition that it stands on."""
        return (self.partition, self.applied), *self.others


@dataclass
class Proof:
    """What was compared.

    It holds if something was, nothing differs, nothing was refused, and nothing is `beyond`: what the log holds that no
    answer stands on.
    """

    answers: int = 0
    bars: int = 0
    differ: int = 0
    trades: int = 0
    both: int = 0
    seconds: float = 0.0
    versions: set[int] = field(default_factory=set)
    instruments: set[str] = field(default_factory=set)
    intervals: set[str] = field(default_factory=set)
    differences: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every bar is equal, and all events are in them."""
        return self.bars > 0 and self.differ == 0 and not self.refusals and not self.beyond


class Client:
    """The REST service, as the proof asks it. A context manager."""

    def __init__(self, url: str, timeout_s: float = 30.0, http: httpx.Client | None = None) -> None:
        self.url = url
        self._http = http or httpx.Client(base_url=url, timeout=timeout_s)

    def get(self, path: str, **parameters: object) -> Any:
        """A JSON answer.

        Raises:
            ServiceError: the service is not there, or answers an error.
        """
        try:
            found = self._http.get(path, params={k: str(v) for k, v in parameters.items()})
        except httpx.HTTPError as error:
            raise ServiceError(self.url, str(error) or type(error).__name__) from error
        if found.status_code != httpx.codes.OK:
            raise ServiceError(self.url, f"{path} answers {found.status_code}: {found.text[:300]}")
        return found.json()

    def instruments(self) -> Iterator[dict[str, Any]]:
        """Every instrument, page by page; one that lies in several partitions comes once for each."""
        page = self.get("/v1/instruments", limit=PAGE)
        yield from page["instruments"]
        while page["next"] is not None:
            page = self.get("/v1/instruments", limit=PAGE, cursor=page["next"])
            yield from page["instruments"]

    def answer(self, venue: str, symbol: str, interval: Interval) -> tuple[Answer, list[str]]:
        """All bars of an instrument, every page at the same positions; and what the service refused."""
        query: dict[str, object] = {"venue": venue, "symbol": symbol, "interval": interval.text}
        page = self.get("/v1/bars", **query, start=EVER, limit=PAGE)
        about, bars = page["meta"], page["bars"]
        while page["next"] is not None:
            page = self.get("/v1/bars", **query, start=EVER, limit=PAGE, cursor=page["next"])
            bars += page["bars"]
        refusal = [f"{venue}:{symbol}: {about['refusal']}"] if about.get("refusal") else []
        (partition, applied), *others = sorted((int(p), at) for p, at in about["applied"].items())
        answer = Answer(venue, symbol, interval, about["version"], partition, applied, bars, others=tuple(others))
        return answer, refusal

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def verify(
    client: Client,
    log: Log,
    names: TopicNames,
    store: VersionStore,
    intervals: Sequence[Interval] = NAMED_INTERVALS,
    wanted: Wanted = lambda _venue, _symbol: True,
    wait_s: float = WAIT_S,
) -> Proof:
    """Ask for every bar of the wanted instruments at `intervals`, and compare.

    Answers that do not stand on all that the log held when this began are asked for again, for up to `wait_s` seconds.
    """
    began = time.monotonic()
    standing = Standing(log, names.topic("trades"), wanted)
    while True:
        proof = Proof()
        answers = _ask(client, intervals, wanted, proof)
        proof.beyond = standing.beyond(_least(answers))
        if not proof.beyond or time.monotonic() - began >= wait_s:
            break
        time.sleep(AGAIN_S)
    compare(answers, log, names, store, proof)
    proof.seconds = time.monotonic() - began
    return proof


def _ask(client: Client, intervals: Sequence[Interval], wanted: Wanted, proof: Proof) -> list[Answer]:
    answers = []
    for instrument in client.instruments():
        venue, symbol = instrument["venue"], instrument["symbol"]
        if wanted(venue, symbol):
            for interval in intervals:
                answer, refusals = client.answer(venue, symbol, interval)
                answers.append(answer)
                proof.refusals += refusals
    return answers


def _least(answers: Iterable[Answer]) -> dict[int, int]:
    """Partition -> how far its answers stand, the one that stands on least."""
    found: dict[int, int] = {}
    for answer in answers:
        for partition, applied in answer.ends:
            found[partition] = min(applied, found.get(partition, applied))
    return found


def compare(
    answers: Iterable[Answer],
    log: Log,
    names: TopicNames,
    store: VersionStore,
    proof: Proof,
    archives: Mapping[int, tuple[ArchiveFile, ...]] | None = None,
) -> None:
    """Compare answers with the oracle, each at its own positions; adds to `proof`.

    `archives` are the archives of the answers' versions, if some of these may be retired by now.

    Raises:
        RetiredVersionError: an answer stands on a version that was retired, and there is no `archives`.
    """
    groups: dict[tuple[int, tuple[ArchiveFile, ...]], list[Answer]] = defaultdict(list)
    spread: dict[tuple[tuple[tuple[int, int], ...], tuple[ArchiveFile, ...]], list[Answer]] = defaultdict(list)
    for answer in answers:
        if archives is not None:
            archive = archives[answer.version]
        else:
            archive = store.manifest(answer.version).archive if answer.version else ()
        held = {p for p, _ in answer.ends}
        imported = tuple(f for f in archive if f.start is None and f.partition in held)
        if answer.others:
            spread[answer.ends, imported].append(answer)
        else:
            groups[answer.partition, imported].append(answer)
    for (ends, imported), group in spread.items():
        _compare_over(ends, imported, group, log, names, store, proof)
    for (partition, imported), group in groups.items():
        intervals = sorted({answer.interval.us for answer in group})
        oracle = Oracle(intervals)
        for event in _archived(store, imported):
            oracle.event(*event)
        waiting = sorted(group, key=lambda answer: answer.applied)
        newest = waiting[-1].version
        try:
            for offset, apply in _records(log, names, store, partition, waiting[-1].applied, newest, oracle):
                while waiting and waiting[0].applied <= offset:
                    _compare(waiting.pop(0), oracle, proof)
                apply()
        except UnreadableError as error:
            proof.refusals.append(f"{len(waiting)} answers were not compared: {error.fact}")
            continue
        for answer in waiting:
            _compare(answer, oracle, proof)
        proof.trades += oracle.events


def _compare_over(
    ends: Iterable[tuple[int, int]],
    imported: Iterable[ArchiveFile],
    group: Sequence[Answer],
    log: Log,
    names: TopicNames,
    store: VersionStore,
    proof: Proof,
) -> None:
    """Compare answers that stand on several partitions, with an oracle that has seen each up to its end."""
    oracle = Oracle(sorted({answer.interval.us for answer in group}))
    for event in _archived(store, imported):
        oracle.event(*event)
    newest = max(answer.version for answer in group)
    try:
        for partition, applied in ends:
            for _, apply in _records(log, names, store, partition, applied, newest, oracle):
                apply()
    except UnreadableError as error:
        proof.refusals.append(f"{len(group)} answers were not compared: {error.fact}")
        return
    for answer in group:
        _compare(answer, oracle, proof)
    proof.trades += oracle.events


def _records(
    log: Log, names: TopicNames, store: VersionStore, partition: int, upto: int, version: int, oracle: Oracle
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Every offset below `upto` with what it adds to the oracle: from the log, below its start from the archive."""
    start = log.bounds(names.topic("trades"))[partition].start
    if start > 0 and version:
        files = [f for f in store.manifest(version).archive if f.start is not None and f.partition == partition]
        for offset, *event in _archived(store, files, start, "offset"):
            yield offset, lambda event=event: oracle.event(*event)  # type: ignore[misc]
    for found in read_range(log, names.topic("trades"), {partition: start}, {partition: upto}):
        for record in found.records:
            if mark_of(record) is None:
                yield record.offset, lambda r=record: oracle.record(r.value, r.append_time_ms)  # type: ignore[misc]


def _archived(
    store: VersionStore, files: Iterable[ArchiveFile], below: int | None = None, *more: str
) -> Iterator[tuple[Any, ...]]:
    names = [*more, "venue", "symbol", "trade_id", "time", "price", "quantity", "side"]
    for file in files:
        for batch in pq.ParquetFile(store.home / file.file.path).iter_batches(columns=[*{*names, "offset"}]):
            rows = batch if below is None else batch.filter(pc.less(batch.column("offset"), below))
            for row in rows.select(names).to_pylist():
                row["price"], row["quantity"] = _text(row["price"]), _text(row["quantity"])
                yield tuple(row.values())


def _text(value: Any) -> str:
    return decimal_text(int(value.scaleb(PRICE_SCALE)), PRICE_SCALE)  # 18 digits, below the context's 28


def _compare(answer: Answer, oracle: Oracle, proof: Proof) -> None:
    proof.answers += 1
    proof.versions.add(answer.version)
    proof.instruments.add(f"{answer.venue}:{answer.symbol}")
    proof.intervals.add(answer.interval.text)
    expected = oracle.bars(answer.venue, answer.symbol, answer.interval.us, answer.start, answer.end)
    wanted: dict[Any, Any] = {bar["start"]: bar for bar in expected}
    served = {bar["start"]: _with_numbers(bar) for bar in answer.bars}
    proof.bars += len(wanted.keys() | served.keys())
    if len(served) != len(answer.bars) or sorted(served) != [bar["start"] for bar in answer.bars]:
        proof.differ += 1
        proof.differences.append(_difference(answer, None, "order", "sorted, once each", "not"))
    for start in sorted(wanted.keys() | served.keys()):
        ours, theirs = wanted.get(start), served.get(start)
        if ours == theirs:
            continue
        proof.differ += 1
        fields = sorted({*(ours or {}), *(theirs or {})})
        for name in fields:
            a, b = (ours or {}).get(name), (theirs or {}).get(name)
            if a != b and len(proof.differences) < FIRST_DIFFERENCES:
                proof.differences.append(_difference(answer, start, name, a, b))


def _with_numbers(bar: dict[str, Any]) -> dict[str, Any]:
    """A bar whose ids are numbers, also where JSON has them as text, beyond 2^53."""
    return {name: int(value) if name.endswith("_trade_id") else value for name, value in bar.items()}


def _difference(answer: Answer, start: object, name: str, expected: object, served: object) -> dict[str, Any]:
    return {
        "instrument": f"{answer.venue}:{answer.symbol}",
        "interval": answer.interval.text,
        "start": start,
        "field": name,
        "expected": expected,
        "served": served,
        "version": answer.version,
        "applied": answer.applied,
    }
