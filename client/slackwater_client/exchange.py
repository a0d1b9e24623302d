"""One exchange with the service, retried as far as that is right. No I/O is done here."""

import json
from collections.abc import Mapping
from typing import Any

from slackwater_client.errors import ConnectionFailedError, ProtocolError, refusal
from slackwater_client.http import Call, Lost, Pause, Reply, Send
from slackwater_client.retry import STATUSES, Retry, retry_after_s

OK = frozenset({200})


def exchange(request: Send, retry: Retry, accepted: frozenset[int] = OK) -> Call[Reply]:
    """The reply, of an accepted status. A request that is not safe is sent once.

    Raises:
        ProblemError: the service refused.
        ConnectionFailedError: it was not reached, or broke off.
    """
    failures = 0
    while True:
        came = yield request
        if isinstance(came, Reply) and came.status in accepted:
            return came
        failures += 1
        asked_s = retry_after_s(came.headers) if isinstance(came, Reply) else None
        again = request.is_safe and (not isinstance(came, Reply) or came.status in STATUSES)
        wait_s = retry.wait_s(failures, asked_s) if again else None
        if wait_s is None:
            if isinstance(came, Reply):
                raise refusal(came)
            reason = came.reason if isinstance(came, Lost) else "nothing came"
            raise ConnectionFailedError(f"{request.method} {request.path} failed: {reason}.")
        yield Pause(wait_s)


def document(reply: Reply) -> Mapping[str, Any]:
    """The JSON object of a reply.

    Raises:
        ProtocolError: it is none.
    """
    try:
        found = json.loads(reply.body)
    except ValueError as error:
        raise ProtocolError(f"The answer is no JSON: {reply.body[:80]!r}.", "Is this the service's own URL?") from error
    if not isinstance(found, dict):
        raise ProtocolError(f"The answer is no object: {reply.body[:80]!r}.", "Is this the service's own URL?")
    return found
