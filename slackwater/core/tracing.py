"""Traces by OpenTelemetry, if the extra `otel` is installed and the standard environment asks for them; else nothing.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 slackwater serve

Asked for by OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER (otlp, console,
none); refused by OTEL_SDK_DISABLED=true. All other OTEL_ variables are read by the SDK itself. Until `start` found
them, nothing of OpenTelemetry is imported, and a span costs one comparison.

Not here: the span of a request (`slackwater.http.observed`), those of a batch run (`batch_layer.run`).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slackwater import __version__
from slackwater.core.errors import SettingError

logger = logging.getLogger(__name__)

ASKED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
Attributes = Mapping[str, str | int | bool]
_EXPORTERS = ("otlp", "console", "none")
_PROTOCOL = "http/protobuf"


class Span:
    """One span, or nothing at all: `set` does nothing then."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        """Add attributes, or replace those of the same name."""
        if self._span is not None:
            self._span.set_attributes(attributes)


_NOTHING = Span()


class Traces:
    """The traces of this process."""

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    def start(self, environ: Mapping[str, str], service: str) -> None:
        """Make spans from now on, if `environ` asks for them; the process is `service` unless it names it otherwise.

        Raises:
            SettingError: the environment names an exporter or a protocol that there is not.
        """
        kind = _asked(environ)
        if kind is None:
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
        except ImportError as error:
            logger.warning("Traces are asked for and not made: %s. Install slackwater[otel].", error)
            return
        exporter = OTLPSpanExporter() if kind == "otlp" else ConsoleSpanExporter()
        self.send_to(BatchSpanProcessor(exporter), environ, service)

    def send_to(self, processor: Any, environ: Mapping[str, str], service: str) -> None:
        """Make spans and give them to a processor of OpenTelemetry's SDK."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        about = {"service.version": __version__} | ({} if named else {"service.name": service})
        self._provider = TracerProvider(resource=Resource.create(about))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("slackwater", __version__)

    def stop(self) -> None:
        """Send what is left, and make no more spans."""
        provider, self._provider, self._tracer = self._provider, None, None
        if provider is not None:
            provider.shutdown()

    @contextmanager
    def span(self, name: str, attributes: Attributes | None = None) -> Iterator[Span]:
        """A span around a block, inside the one that is open; an exception is recorded in it and goes on."""
        if self._tracer is None:
            yield _NOTHING
            return
        with self._tracer.start_as_current_span(name, attributes=attributes) as span:
            yield Span(span)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[tuple[Any, str]]:
        """The span of a request that came in, inside the one that its `traceparent` names; with its trace's id."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(method, context=extract(headers), kind=SpanKind.SERVER) as span:
            yield span, format(span.get_span_context().trace_id, "032x")


TRACES = Traces()


def _asked(environ: Mapping[str, str]) -> str | None:
    """The exporter that is asked for, None for no traces."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(environ.get(name) for name in ASKED_BY):
        return None
    kind = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if kind not in _EXPORTERS:
        raise SettingError(f"OTEL_TRACES_EXPORTER is {kind!r}.", f"Use {', '.join(_EXPORTERS)}.")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if kind == "otlp" and (environ.get(name) or _PROTOCOL) != _PROTOCOL:
            raise SettingError(f"{name} is {environ[name]!r}.", f"The extra has {_PROTOCOL} alone.")
    return None if kind == "none" else kind
