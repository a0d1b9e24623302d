"""`/metrics` of this process, in Prometheus' text format; off unless a port is set.

One page that says a few numbers, so the standard library's server is enough. The service's own figures are in
`serving.metrics`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from slackwater.errors import SettingError
from speed_layer.figures import FIGURES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/metrics"
        body = FIGURES.text() if found else b"The figures are at /metrics.\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A line for each request would drown the rest."""


@contextmanager
def serve_metrics(host: str, port: int) -> Iterator[None]:
    """Serve until the block ends; with port 0 do nothing.

    Raises:
        SettingError: the port cannot be listened on.
    """
    if not port:
        yield
        return
    try:
        server = ThreadingHTTPServer((host, port), _Page)
    except OSError as error:
        raise SettingError(f"SLACKWATER_SPEED_METRICS_PORT is {port}: {error}.", "Name a free port, or 0.") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
