"""Rate limits: a bucket for each client, and the fields of draft-ietf-httpapi-ratelimit-headers-10 that tell of it.

    RateLimit-Policy: "default";q=6000;w=60     a quota of 6,000 requests, which fills again in 60 s
    RateLimit: "default";r=5940;t=1             5,940 are left; all are there again in 1 s

A bucket is one number, the time at which it is full again (the generic cell rate algorithm): a request moves it on by
window / quota, and is refused if it would come to lie more than a window ahead. Written by hand because it is on the
way of every request: the library `limits` took six to ten times as long for a hit and its figures.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from slackwater.core.rate import Rate

_EPSILON_S = 1e-6  # what floats of a clock may be wrong by
MOST_CLIENTS = 100_000
"""Buckets in memory; above, full ones are forgotten first, which changes nothing, and then the oldest."""


class Allowance(NamedTuple):
    """What a client has left. Times in whole seconds, rounded up; `retry_s` is 0 if the request may pass."""

    rate: Rate
    left: int
    full_s: int
    retry_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The two fields."""
        return [_policy(self.rate), (b"ratelimit", b'"default";r=%d;t=%d' % (self.left, self.full_s))]


class RateLimiter:
    """The buckets. `now_s` is any clock that does not go back, the same at every call."""

    def __init__(self, most_clients: int = MOST_CLIENTS) -> None:
        self._full_at: dict[str, float] = {}
        self._most = most_clients

    def take(self, client: str, rate: Rate, now_s: float) -> Allowance:
        """Count one request of `client`; a refused one takes nothing."""
        step_s = rate.window_s / rate.requests
        full_at = max(self._full_at.get(client, 0.0), now_s) + step_s
        over_s = full_at - now_s - rate.window_s
        if over_s > _EPSILON_S:
            return Allowance(rate, 0, _seconds(full_at - step_s - now_s), _seconds(over_s))
        if len(self._full_at) >= self._most and client not in self._full_at:
            self._forget(now_s)
        self._full_at[client] = full_at
        left = int((rate.window_s - (full_at - now_s)) / step_s + 1e-6)
        return Allowance(rate, left, _seconds(full_at - now_s), 0)

    def _forget(self, now_s: float) -> None:
        self._full_at = {client: at for client, at in self._full_at.items() if at > now_s}
        while len(self._full_at) >= self._most:
            del self._full_at[next(iter(self._full_at))]


@lru_cache(256)
def _policy(rate: Rate) -> tuple[bytes, bytes]:
    return b"ratelimit-policy", b'"default";q=%d;w=%d' % rate


def _seconds(exact_s: float) -> int:
    return max(1, math.ceil(exact_s - _EPSILON_S))
