"""Logs of every process of ours, on stderr: lines for people, or one JSON object a line for programs.

    2026-11-21T19:30:00.123Z INFO    serving.watch.feed  ...                    text
    {"time": "2026-11-21T19:30:00.123456Z", "level": "INFO", "logger": ..., "message": ..., "request_id": ...}

Times are UTC. While a request is answered, `request_id` names it, `trace_id` too where it is traced. API keys never
come through: what has the form of one is replaced. Libraries are heard from WARNING on.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS, LogData
from pythonjsonlogger.json import JsonFormatter

from slackwater.core.key_text import without_keys
from slackwater.core.request import REQUEST

FORMATS = ("text", "json")
ROOMS = ("speed_layer", "batch_layer", "serving", "ingest", "ops", "verify", "bench", "lesson", "slackwater")
ACCESS = "slackwater.access"
"""The logger of requests, one line each where that is asked for."""

_NOISE = ("color_message", "taskName")
"""Attributes that libraries add to records: a second message with escape codes, a name that asyncio made up."""


class TextLines(logging.Formatter):
    """Lines for people; a traceback follows its line."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the base's name
        """The record's time, UTC, to the millisecond."""
        return f"{super().formatTime(record, datefmt)}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        line = super().format(record)
        return without_keys(line if request is None else f"{line}  [request {request.id}]")


class JsonLines(JsonFormatter):
    """One JSON object a line; what a call gives as `extra` is in it, and a traceback is one of its members."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"},
            reserved_attrs=[*RESERVED_ATTRS, *_NOISE],
        )

    def add_fields(self, log_data: LogData, record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        super().add_fields(log_data, record, message_dict)
        log_data["process"] = record.process
        request = REQUEST.get()
        if request is not None:
            log_data["request_id"] = request.id
            if request.trace_id:
                log_data["trace_id"] = request.trace_id

    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))


def set_up_logging(log_format: str = "text", level: int = logging.INFO) -> None:
    """Send every log of this process to stderr, in one of FORMATS; what was set up before is replaced."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # It warns of its own event loop whenever the machine is busy.
    logging.getLogger("kafka.net").setLevel(logging.ERROR)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level)


def in_json() -> bool:
    """Whether this process logs JSON."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)
