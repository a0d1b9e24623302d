"""What every command works on: the settings, and the log, store and clock that they name."""

import getpass
import os
import signal
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from slackwater.context import Context as Parts
from slackwater.core.clock import SystemClock
from slackwater.core.settings import Settings
from slackwater.log.kafka_log import KafkaLog, log_of
from slackwater.log.names import TopicNames
from slackwater.streams.registry import registered as registered_streams
from slackwater.streams.stream import Stream
from slackwater.versions.snapshots import Schedule
from slackwater.versions.store import VersionStore
from slackwater.views.limits import limits_of
from slackwater.views.registry import views_of
from slackwater.views.view import View

if TYPE_CHECKING:
    from batch_layer.run import BatchRun

CLOCK = SystemClock()


@dataclass(frozen=True)
class Context:
    """The settings of this call, and what they name."""

    settings: Settings

    @property
    def log(self) -> KafkaLog:
        """The cluster."""
        return log_of(self.settings)

    @property
    def names(self) -> TopicNames:
        """The topics."""
        return TopicNames(self.settings.prefix)

    @property
    def store(self) -> VersionStore:
        """The versions under the home folder."""
        return VersionStore(self.settings.home)

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that this program has."""
        return registered_streams(self.settings.streams)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The views that this program has, and the candidates beside them."""
        return views_of(self.settings)

    @property
    def parts(self) -> Parts:
        """The same for the rooms below, with every definition that this program has."""
        return Parts(self.log, self.names, self.store, self.views, CLOCK, self.streams, limits_of(self.settings))

    def batch_run(self, **more: Any) -> "BatchRun":
        """A batch run as the settings say. Whoever makes none imports no Beam."""
        from batch_layer.run import BatchRun

        settings = self.settings
        return BatchRun(
            self.parts,
            proof_deadline_s=settings.proof_seconds,
            keep=settings.keep_versions,
            snapshots=self.snapshots,
            **more,
        )

    @property
    def snapshots(self) -> Schedule:
        """Which versions stay as snapshots."""
        return Schedule(self.settings.snapshot_hours, self.settings.snapshot_days)

    @property
    def url(self) -> str:
        """Where the REST service of these settings is reached from this machine."""
        return self._reached(self.settings.port)

    @property
    def intake_url(self) -> str:
        """Where the ingest service of these settings is reached from this machine."""
        return self._reached(self.settings.ingest_port)

    def _reached(self, port: int) -> str:
        host = "127.0.0.1" if self.settings.host in {"0.0.0.0", "::"} else self.settings.host  # noqa: S104
        scheme = "https" if self.settings.tls_cert else "http"
        return f"{scheme}://{host}:{port}"


pass_context = click.make_pass_decorator(Context)


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and on the first Ctrl-C; a second Ctrl-C ends the program at once."""

    def stopped(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    signal.signal(signal.SIGINT, stopped)
    signal.signal(signal.SIGTERM, stopped)


def user_name() -> str:
    """Who gives this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
