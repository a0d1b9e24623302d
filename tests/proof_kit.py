"""The proof of `verify`, with a test's log and store: all registered views, or answers of bars that a test kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.evidence import LogEvidence, claims
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.versions.store import VersionStore
from slackwater.views.bars import BARS
from slackwater.views.interval import NAMED_INTERVALS, Interval
from slackwater.views.registry import registered
from slackwater.views.view import View
from verify.archive import ArchivedFile
from verify.client import Answer, Client
from verify.compare import compare
from verify.definition import read_view
from verify.proof import Proof
from verify.run import WAIT_S, verify

OF_BARS = read_view(BARS)


def prove(
    client: Client,
    log: Log,
    names: TopicNames,
    store: VersionStore,
    intervals: Sequence[Interval] = NAMED_INTERVALS,
    views: Iterable[View] | None = None,
    wait_s: float = WAIT_S,
) -> Proof:
    """The proof of everything."""
    return verify(client, LogEvidence(log, names, store), claims(views or registered(), intervals), wait_s)


@dataclass(frozen=True)
class Kept(LogEvidence):
    """Evidence that knows the archives of versions, even of those that are retired by now."""

    archives: Mapping[int, Sequence[ArchivedFile]] = field(default_factory=dict)

    def archive(self, version: int, stream: str) -> Sequence[ArchivedFile]:
        return self.archives[version] if version in self.archives else super().archive(version, stream)


def compared(evidence: LogEvidence, answers: Iterable[Answer]) -> Proof:
    """The proof of these answers alone."""
    proof = Proof()
    compare(answers, evidence, proof)
    return proof


def bars_answer(instrument: tuple[str, str], interval: Interval, found: Mapping[str, Any], **more: Any) -> Answer:
    """A page of bars, as the service answered it, over one partition or by what is given."""
    meta = found["meta"]
    if "partition" not in more:
        ((partition, applied),) = meta["applied"].items()
        more |= {"partition": int(partition), "applied": applied}
    rows = found["bars"]
    return Answer(OF_BARS.stream, instrument, interval.text, meta["version"], rows=rows, view=OF_BARS, **more)
