"""The Python client of the service: `Client` and `AsyncClient`, what they answer with, and what they raise.

    from slackwater_client import Client

    with Client("http://127.0.0.1:8000") as client:
        bars = client.bars("binance_spot", "BTCUSDT", interval="5m", start="2026-01-31T09:00:00Z")
        frame = bars.to_polars()

It needs httpx; Arrow, pandas and polars where a method of that name is called. It imports no
room of the project, so that what it says about the service was learnt over HTTP alone.
"""

from slackwater_client.asynchronous import AsyncClient
from slackwater_client.bars import Bar
from slackwater_client.blocking import Client
from slackwater_client.catalog import Gap, Handoff, Instrument, Proof, Readiness, Span, Version, Versions
from slackwater_client.errors import (
    ArgumentError,
    BadRequestError,
    ClientError,
    ConnectionFailedError,
    ForbiddenError,
    GoneError,
    MissingPackageError,
    NotFoundError,
    ProblemError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnavailableError,
)
from slackwater_client.events import Changes, Disconnected, Ending, Event, Heartbeat, Snapshot, VersionChange
from slackwater_client.intake import Ingested
from slackwater_client.meta import Meta
from slackwater_client.restatements import Restatement
from slackwater_client.retry import Retry
from slackwater_client.rows import Row, Rows
from slackwater_client.trades import Trade

__all__ = [
    "ArgumentError",
    "AsyncClient",
    "BadRequestError",
    "Bar",
    "Changes",
    "Client",
    "ClientError",
    "ConnectionFailedError",
    "Disconnected",
    "Ending",
    "Event",
    "ForbiddenError",
    "Gap",
    "GoneError",
    "Handoff",
    "Heartbeat",
    "Ingested",
    "Instrument",
    "Meta",
    "MissingPackageError",
    "NotFoundError",
    "ProblemError",
    "Proof",
    "ProtocolError",
    "RateLimitedError",
    "Readiness",
    "Restatement",
    "Retry",
    "Row",
    "Rows",
    "ServerError",
    "Snapshot",
    "Span",
    "Trade",
    "UnauthorizedError",
    "UnavailableError",
    "Version",
    "VersionChange",
    "Versions",
]
