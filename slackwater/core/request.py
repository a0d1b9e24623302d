"""The request that is being answered, for what happens far below its route: logs, traces and problems name it.

One context variable; outside of a request it is None. Not here: who makes it (`slackwater.http.observed`).
"""

import itertools
import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

from slackwater.core.key_text import holds_key

_PROCESS, _COUNT = secrets.token_hex(8), itertools.count(1)
_GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(slots=True)
class Request:
    """One request. `version` is the one that its answer stands on, `cold` whether it had to read files."""

    id: str
    trace_id: str = ""
    version: int | None = None
    cold: bool = False


REQUEST: ContextVar[Request | None] = ContextVar("slackwater_request", default=None)


def request_id(given: bytes | None) -> str:
    """The id that a client gave, if it is well formed: 1 to 128 letters, digits, `.`, `_` and `-`. Else a new one.

    A new one is 16 random hex digits of this process and 16 that count: to ask for random ones each time costs more
    than all else that is done about it. What looks like an API key is no id: it would be in every log.
    """
    if given is not None:
        text = given.decode("latin-1")
        if _GIVEN.fullmatch(text) and not holds_key(text):
            return text
    return f"{_PROCESS}{next(_COUNT):016x}"
