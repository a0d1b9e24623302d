"""Runs the ingest service: the settings, a desk for each stream, uvicorn; and says on this machine where it is."""

import socket
from functools import partial

from ingest.service.app import LIMITS, LOG, MOST_WAITING, IngestService
from ingest.service.desk import Desk
from ingest.service.reports import Reports
from ingest.verdicts import Summary
from ingest.writer import IngestWriter
from slackwater.core.clock import SystemClock
from slackwater.core.heap import give_back
from slackwater.core.settings import Settings
from slackwater.http.options import ObservedOptions
from slackwater.http.run import guard_options, limits_of, listening, server_of, warn_of_keys
from slackwater.keys.keyring import KeyRing
from slackwater.log.compression import check_codecs
from slackwater.log.kafka_log import log_of
from slackwater.log.names import TopicNames
from slackwater.store.files import holding
from slackwater.streams.intake import INTAKE_REPORTS
from slackwater.streams.registry import registered
from slackwater.streams.stream import Stream
from slackwater.versions.services import announce
from slackwater.versions.store import VersionStore


def receive(settings: Settings, url: str) -> None:
    """Take in events until the process is told to stop (SIGINT, SIGTERM). It is reached at `url` from this machine.

    Raises:
        CodecMissingError: batches in some codec could not be read.
        SettingError: the port cannot be listened on.
    """
    give_back()
    check_codecs()
    clock, log, names = SystemClock(), log_of(settings), TopicNames(settings.prefix)
    store = VersionStore(settings.home)

    def noted(stream: str, source: str, counts: Summary) -> None:
        if reports is not None:
            reports.noted(stream, source, counts)

    def desk(stream: Stream) -> Desk:
        writer = partial(IngestWriter, stream, log, names, store, clock, most_entities=settings.max_instruments)
        return Desk(stream.name, writer, MOST_WAITING, noted)

    desks = [(stream, desk(stream)) for stream in registered(settings.streams)]
    own = next((of for stream, of in desks if stream is INTAKE_REPORTS), None)
    reports = None if own is None else Reports(own, clock, f"{socket.gethostname()}-{settings.ingest_port}")
    service = IngestService(
        desks,
        KeyRing(settings.home, clock),
        clock,
        guard_options(settings),
        limits_of(settings, LOG, LIMITS),
        ObservedOptions(bool(settings.access_log), settings.slow_ms / 1000),
        reports,
    )
    warn_of_keys(settings, LOG, settings.ingest_port, "writes events", "write")
    where = listening(settings, settings.ingest_port)
    server = server_of(
        service.app, service.limits, service.admission, service.draining, settings.drain_seconds, **where
    )
    with holding(announce(store, url)):
        server.run()
