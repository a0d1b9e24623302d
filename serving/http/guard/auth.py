"""Who asks: `Authorization: Bearer <key>`, once, in the header and nowhere else.

Whatever is wrong with a key, the answer is the same, so that it tells nothing; a key that may not do this is told so.
What a client sent is in no answer, log or figure.
"""

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from serving.http.problems import ProblemError
from slackwater.core.key_text import holds_key
from slackwater.keys.keyring import KeyRing
from slackwater.keys.keys import Key, Scope
from slackwater.versions.errors import RecordError

_LONGEST = 256


def authorized(given: Sequence[bytes], keys: KeyRing, scope: Scope, fresh: bool = False) -> Key:
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
