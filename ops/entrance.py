"""Where a command's events go in: the ingest service that runs, or a writer of the command's own where none does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from ingest.figures import ingest_metrics
from ingest.remote import PATIENCE_S, RemoteWriter
from ingest.writer import IngestWriter, open_ingest
from ops.context import CLOCK, Context
from ops.rest import key_headers, trusted
from slackwater.streams.stream import Stream
from slackwater.versions.services import announced

TIMEOUT_S = 60.0

logger = logging.getLogger(__name__)


@contextmanager
def entrance(context: Context, stream: Stream, patience_s: float = PATIENCE_S) -> Iterator[IngestWriter | RemoteWriter]:
    """A writer of a stream, which waits so long for a service that is gone.

    Where the service asks for a key and SLACKWATER_KEY_FILE names none, the command writes by itself, which no venue
    allows that the service writes.

    Raises:
        SettingError: the file of the key cannot be read.
        LogError, VersionError: nothing can be written.
    """
    settings = context.settings
    url = settings.ingest_url or announced(context.store)
    if url and settings.keys_required and not settings.key_file:
        logger.warning("The ingest service at %s asks for a key: SLACKWATER_KEY_FILE names none.", url)
        url = ""
    if url:
        verify, headers = trusted(settings) or True, key_headers(settings)
        with httpx.Client(base_url=url, timeout=TIMEOUT_S, headers=headers, verify=verify) as client:
            yield RemoteWriter(stream.name, client, CLOCK, patience_s)
        return
    most = settings.max_instruments
    own = open_ingest(stream, context.log, context.names, context.store, CLOCK, most_entities=most)
    with own as writer, ingest_metrics(writer, settings):
        yield writer
