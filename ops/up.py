"""`slackwater up`: broker, topics, then every service as a supervised process, until Ctrl-C or SIGTERM."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ops.broker import Broker, BrokerSettings
from ops.context import Context
from ops.evidence import ServiceError
from ops.health import serving
from ops.output import console
from ops.rest import trusted
from ops.services import services, to_environ
from ops.supervisor import OnLine, RestartingBroker, Supervisor
from slackwater.log.topics import create_topics

COLOURS = {
    "broker": "magenta",
    "speed": "cyan",
    "serving": "green",
    "batch": "yellow",
    "intake": "blue",
    "ingest": "blue",
}
READY_S, READY_ANSWER_S = 90.0, 2.0
TICK_S = 0.1


class Stack:
    """The running stack. `with` it: everything is started inside, and stopped, the broker last, after."""

    def __init__(self, context: Context, demo: bool, on_line: OnLine) -> None:
        self.context = context
        self._demo = demo
        self._on_line = on_line
        self._exits = contextlib.ExitStack()
        settings = context.settings
        # Children get the broker's address and absolute folders, whatever this process was given; and where the ingest
        # service will be, so that one that is there before it waits, and does not become the writer of its venues.
        url = settings.ingest_url or context.intake_url
        self._settings = replace(settings, bootstrap=settings.servers, ingest_url=url)
        self.supervisor = Supervisor(to_environ(self._settings), settings.home / "logs", on_line)
        self.broker: RestartingBroker | None = None

    def __enter__(self) -> "Stack":
        with contextlib.ExitStack() as exits:
            settings = self.context.settings
            if settings.bootstrap:
                self._on_line("broker", f"using {settings.bootstrap}")
            else:
                on_line = partial(self._on_line, "broker")
                broker = Broker(BrokerSettings(settings.home, settings.broker_port), on_line)
                self.broker = exits.enter_context(RestartingBroker(broker, on_line))
            create_topics(
                self.context.log, self.context.names, self.context.streams, settings.partitions, settings.replication
            )
            exits.callback(self.supervisor.stop)
            for service in services(self._settings):
                if self._demo or not service.demo:
                    self.supervisor.start(service)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def keep(self) -> None:
        """Start again what ended."""
        self.supervisor.keep()
        if self.broker is not None:
            self.broker.keep(time.monotonic())

    def ready(self) -> bool:
        """Whether the service answers that it is ready."""
        return not serving(self.context.url, trusted(self.context.settings), READY_ANSWER_S)

    def wait_ready(self, stop: threading.Event) -> None:
        """Wait for the service. Raises ServiceError after READY_S seconds."""
        deadline = time.monotonic() + READY_S
        while not self.ready():
            if stop.wait(TICK_S):
                return
            if time.monotonic() > deadline:
                fact = f"The service at {self.context.url} was not ready within {READY_S:.0f} s."
                raise ServiceError(fact, f"See {self._settings.home}/logs.")
            self.keep()


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; the handlers that were there come back."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def line_printer(as_json: bool) -> OnLine:
    """Prints a service's line behind its name; from any thread."""
    lock = threading.Lock()

    def on_line(name: str, line: str) -> None:
        with lock:
            if as_json:
                print(json.dumps({"service": name, "line": line}), flush=True)
            else:
                console.print(f"[{COLOURS.get(name, 'white')}]{name:>8} │[/] ", end="")
                console.print(line, markup=False, soft_wrap=True)

    return on_line


def run_up(context: Context, as_json: bool) -> None:
    """Run until told to end."""
    on_line = line_printer(as_json)
    with stopping() as stop, Stack(context, demo=False, on_line=on_line) as stack:
        stack.wait_ready(stop)
        if not stop.is_set():
            on_line("stack", f"ready: {context.url}  (Ctrl-C ends everything)")
        while not stop.wait(TICK_S):
            stack.keep()
        on_line("stack", "stopping")
    on_line("stack", "stopped")
