"""The guard: whether a request may come in. Key, Host, rate, in this order; no I/O but a check of the file of keys.

    public (the page, its files, /docs, /health/*)    no key; everything else needs one where keys are required
    a key that is sent is always checked, also where none is required
    where none is required, Host must name this machine: else a page of another site, whose name its owner points here
      (DNS rebinding), could read what only this machine should

A key is sent as `Authorization: Bearer <key>`, once, in the header and nowhere else. Whatever is wrong with it, the
answer is the same, so that it tells nothing; a key that may not do this is told so. What a client sent is in no answer,
log or figure.

Not here: how many requests are in progress (`slackwater.http.guard.admission`), routes that need another scope than
their service (they ask for it), CORS (`slackwater.http.cors`).
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from slackwater.core.clock import Clock
from slackwater.core.key_text import holds_key
from slackwater.core.rate import parse_rate
from slackwater.http.guard.rate_limit import RateLimiter
from slackwater.http.options import GuardOptions
from slackwater.http.problems import ProblemError
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import Key
from slackwater.keys.keys import Scope as KeyScope
from slackwater.versions.errors import RecordError

_LONGEST = 256


def authorized(given: Sequence[bytes], keys: KeyRing, scope: KeyScope, fresh: bool = False) -> Key:
    """The key of a request whose Authorization headers are `given`.

    Raises:
        ProblemError: 401 for whatever is no key, 403 for one of another scope, 503 if keys cannot be read.
    """
    kind, _, text = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    usable = kind.lower() == b"bearer" and len(text) <= _LONGEST
    try:
        key = keys.find(text if usable else b"", fresh)
    except (RecordError, OSError) as error:
        raise ProblemError(503, "keys-unreadable", "The service cannot read its keys.", retry_after_s=10) from error
    if key is None:
        raise unauthorized()
    if not key.may(scope):
        headers = {"WWW-Authenticate": f'Bearer realm="slackwater", error="insufficient_scope", scope="{scope}"'}
        raise ProblemError(403, "forbidden", f"This needs a key of the scope {scope}.", headers=headers)
    return key


def unauthorized() -> ProblemError:
    """401, the same whatever is wrong."""
    detail = "This needs a key in the header: `Authorization: Bearer <key>`. `slackwater key create` makes one."
    return ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="slackwater"'})


def key_in_url(path: str, query: bytes) -> bool:
    """Whether a URL carries a key: it would stand in the logs of every proxy on its way."""
    if b"%" in query:
        query = unquote_to_bytes(query)
    return holds_key(query.decode("latin-1")) or holds_key(path)


LOCAL_HOSTS = frozenset({"localhost"})

_PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/favicon.ico"})
_PUBLIC_UNDER = ("/static/", "/health/")
_FIGURES = "/metrics"
_FREE_UNDER = ("/static/", "/health/", _FIGURES)


class Admitted(NamedTuple):
    """A request that may come in: its key, if it has one, and the headers that its answer gets."""

    key: Key | None
    headers: list[tuple[bytes, bytes]]


_ANYONE = Admitted(None, [])


class Guard:
    """See the module. A key needs `scope`; for the figures `read`, so that who scrapes them can do nothing else."""

    def __init__(self, keys: KeyRing, options: GuardOptions, clock: Clock, scope: KeyScope = "read") -> None:
        self._keys = keys
        self._options = options
        self._clock = clock
        self._scope: KeyScope = scope
        self._limiter = RateLimiter()

    def admit(self, scope: Scope) -> Admitted:
        """Let a request in.

        Raises:
            ProblemError: 401, 403 or 503 for its key, 400 or 421 for its Host, 429 for its rate.
        """
        path: str = scope["path"]
        if key_in_url(path, scope["query_string"]):
            raise unauthorized()
        if path in _PUBLIC or path.startswith(_PUBLIC_UNDER):
            return _ANYONE
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        key = None
        if self._options.require_key or any(value[:6].lower() == b"bearer" for value in given):
            needed: KeyScope = "read" if path.startswith(_FIGURES) else self._scope
            key = authorized(given, self._keys, needed, fresh=needed != "read")  # who writes no longer may, at once
        elif self._options.hosts is not None:
            _check_host(scope, self._options.hosts)
        if path.startswith(_FREE_UNDER):
            return Admitted(key, [])
        return Admitted(key, self._count(scope, key))

    def _count(self, scope: Scope, key: Key | None) -> list[tuple[bytes, bytes]]:
        rate = _parsed(key.rate) if key is not None and key.rate else self._options.rate
        if rate is None:
            return []
        client = f"key {key.id}" if key is not None else f"address {(scope.get('client') or ('',))[0]}"
        found = self._limiter.take(client, rate, self._clock.elapsed_s())
        if found.retry_s:
            headers = {name.decode(): value.decode() for name, value in found.headers()}
            detail = f"More than {rate} are not answered. Come again in {found.retry_s} s."
            raise ProblemError(429, "rate-limited", detail, retry_after_s=found.retry_s, headers=headers)
        return found.headers()


_parsed = lru_cache(256)(parse_rate)


def _check_host(scope: Scope, allowed: frozenset[str]) -> None:
    given = [value for name, value in scope["headers"] if name == b"host"]
    if len(given) != 1:
        raise ProblemError(400, "host", "Send one Host header.")
    if _is_allowed(given[0], allowed):
        return
    detail = "This name is not served. SLACKWATER_ALLOWED_HOSTS names the hosts beside localhost and plain addresses."
    raise ProblemError(421, "misdirected", detail)


@lru_cache(256)
def _is_allowed(host: bytes, allowed: frozenset[str]) -> bool:
    name = _without_port(host.decode("latin-1")).lower()
    return name in LOCAL_HOSTS or name in allowed or _is_address(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
