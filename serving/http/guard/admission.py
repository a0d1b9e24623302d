"""Admission: how many requests are in progress, whether one more may begin, and what was refused.

    request --> in progress < most? --yes--> a task: hot answers at once, cold ones wait for the pool (its own bound)
                     |no
                     +--> 503 with Retry-After, written before anything is made for the request

A request that waits costs memory and makes all behind it late; one that is refused is tried elsewhere or later. So the
bound is small: `Limits.requests` is about what a worker answers within its promised latency. Not here: where this is
asked (`serving.http.connection`), the bound of cold reads (`serving.query.pool`), of streams (their own).
"""

from prometheus_client import CollectorRegistry, Counter

FREE = (b"/health/", b"/metrics", b"/v1/stream/")
"""What is not counted: it must answer under load, or lasts as long as its client likes and has a bound of its own."""

REASONS = (
    "overload",
    "connections",
    "bad-request",
    "url-too-long",
    "headers-too-large",
    "body-too-large",
    "slow-request",
    "no-answer",
    "slow-reader",
)


class Admission:
    """Counts. Belongs to the event loop's thread."""

    def __init__(self, most: int, registry: CollectorRegistry) -> None:
        self.most = most
        self.in_work = 0
        refused = Counter(
            "slackwater_refused",
            "Requests and connections that were refused before they were read.",
            ["reason"],
            registry=registry,
        )
        self._refused = {reason: refused.labels(reason) for reason in REASONS}

    def full(self, url: bytes) -> bool:
        """Whether a request for `url` is one too many."""
        return self.in_work >= self.most and not url.startswith(FREE)

    def enter(self, url: bytes) -> "Place | None":
        """Count a request in; None if such are not counted."""
        return None if url.startswith(FREE) else Place(self)

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self._refused[reason].inc()


class Place:
    """A request's place among those in progress, from when it is made until it is left."""

    __slots__ = ("_admission", "_held")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = True
        admission.in_work += 1

    def leave(self, _: object = None) -> None:
        """Leave it, once."""
        if self._held:
            self._held = False
            self._admission.in_work -= 1
