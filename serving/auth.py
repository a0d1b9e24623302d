"""Who asks: `Authorization: Bearer <key>`, once, in the header and nowhere else.

Whatever is wrong with a key, the answer is the same, so that it tells nothing; a key that may not do this is told so.
What a client sent is in no answer, log or figure.
"""

from starlette.requests import Request

from serving.keys import Key, KeyStore, Scope
from serving.problems import ProblemError
from versions.errors import RecordError

_LONGEST = 256


def authorized(request: Request, keys: KeyStore, scope: Scope) -> Key:
    """The key of a request. Reads a file: call it where that may block.

    Raises:
        ProblemError: 401 for whatever is no key, 403 for one of another scope, 503 if keys cannot be read.
    """
    given = request.headers.getlist("authorization")
    kind, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    usable = kind.lower() == "bearer" and len(text) <= _LONGEST
    try:
        key = keys.find(text if usable else "")
    except (RecordError, OSError) as error:
        raise ProblemError(503, "keys-unreadable", "The service cannot read its keys.", retry_after_s=10) from error
    if key is None:
        detail = "This needs a key in the header: `Authorization: Bearer <key>`. `slackwater key create` makes one."
        raise ProblemError(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="slackwater"'})
    if not key.may(scope):
        headers = {"WWW-Authenticate": f'Bearer realm="slackwater", error="insufficient_scope", scope="{scope}"'}
        raise ProblemError(403, "forbidden", f"This needs a key of the scope {scope}.", headers=headers)
    return key
