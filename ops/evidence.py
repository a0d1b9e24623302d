"""What `slackwater verify` reads beside the service, handed to a proof that knows nothing of how it is read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from slackwater.core.errors import SlackwaterError
from slackwater.log.errors import LogError
from slackwater.log.log import Bounds, Log, Record, read_range
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.errors import VersionError
from slackwater.versions.store import VersionStore
from slackwater.views.interval import NAMED_INTERVALS, Interval
from slackwater.views.view import View
from verify.archive import ArchivedFile, Corrected
from verify.client import Client
from verify.definition import StreamData, read_view
from verify.errors import EvidenceError, VerifyError
from verify.evidence import Version
from verify.proof import Proof
from verify.run import WAIT_S, Claims, verify
from verify.standing import Wanted, everything


@dataclass(frozen=True)
class LogEvidence:
    """The log and the archive of one home. Raises EvidenceError as `verify.evidence.Evidence` says."""

    log: Log
    names: TopicNames
    store: VersionStore

    def bounds(self, stream: str) -> Mapping[int, Bounds]:
        with _as_evidence():
            return self.log.bounds(self.names.topic(stream))

    def records(self, stream: str, partition: int, start: int, end: int) -> Iterator[Record]:
        with _as_evidence():
            for found in read_range(self.log, self.names.topic(stream), {partition: start}, {partition: end}):
                yield from found.records

    def served(self, stream: StreamData) -> Version:
        with _as_evidence():
            manifest = self.store.current()
        if manifest is None:
            return Version(0, {}, (), {})
        entities = [place.entity(len(stream.entity)) for place in manifest.instruments_of(stream.name)]
        return Version(manifest.version, manifest.definitions, entities, manifest.cut(stream.name))

    def archive(self, version: int, stream: str) -> Sequence[ArchivedFile]:
        with _as_evidence():
            files = self.store.manifest(version).archive_of(stream) if version else ()
        fetch = self.store.data.fetch
        return [ArchivedFile(fetch(file.file), file.partition, file.start, file.late) for file in files]

    def corrected(self, version: int, stream: str) -> Corrected:
        with _as_evidence():
            ledger = self.store.corrections.all()
            if not version or not ledger:
                return Corrected()
            manifest = self.store.manifest(version)
        files = [each.file for each in ledger if each.stream == stream and each.number <= manifest.corrected]
        paths = tuple(map(self.store.data.fetch, files))
        return Corrected(paths, tuple(sorted(manifest.cut(stream).items())) if paths else ())


@contextmanager
def _as_evidence() -> Iterator[None]:
    try:
        yield
    except (LogError, VersionError) as error:
        raise EvidenceError(error.fact, error.hint) from error


class ServiceError(SlackwaterError):
    """The service is not there, or answers an error."""

    retriable: ClassVar[bool] = True


class ProofError(SlackwaterError):
    """The proof cannot go on."""


def prove(client: Client, evidence: LogEvidence, wanted: Claims, wait_s: float = WAIT_S) -> Proof:
    """The proof, with this program's errors.

    Raises:
        ServiceError, ProofError
    """
    try:
        return verify(client, evidence, wanted, wait_s)
    except VerifyError as error:
        raise (ServiceError if error.retriable else ProofError)(error.fact, error.hint) from error


def claims(
    views: Iterable[View],
    intervals: Iterable[Interval] = NAMED_INTERVALS,
    wanted: Wanted = everything,
    registered: Iterable[Stream] = (),
) -> Claims:
    """What is to be proven of these views, and of the events of their streams; `registered` are all streams."""
    found = [read_view(view) for view in views]
    streams = {view.stream.name: view.stream for view in found}
    silent = [stream.name for stream in registered if stream.name not in streams]
    return Claims(found, [interval.text for interval in intervals], list(streams.values()), wanted, silent)
