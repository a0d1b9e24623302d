"""How a process shows its figures to Prometheus: a registry with what every process has, and a page for those without.

The service answers `/metrics` itself (`serving.http.routes.health`); the speed layer and ingest have no web server of
their own, so the client library's small one does it, on a port of theirs. Not here: the figures
(`slackwater.http.figures`, `serving.status.metrics`, `speed_layer.figures`, `ingest.figures`). docs/metrics.md lists
every one of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import start_http_server

from slackwater.core.errors import SettingError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def process_registry() -> CollectorRegistry:
    """A registry that holds this process' memory, processor time, open files and garbage collections.

    Counters are shown without the time of their creation, which no query of ours reads.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@contextmanager
def serve_metrics(registry: CollectorRegistry, host: str, port: int, setting: str) -> Iterator[None]:
    """Show `registry` at http://host:port/metrics until the block ends; with port 0 do nothing.

    Raises:
        SettingError: the port, which `setting` names, cannot be listened on.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingError(f"{setting} is {port}: {error}.", "Name a free port, or 0.") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
