"""What a browser may do with the page and with `/docs`, which run scripts; in answers nothing runs."""

from slackwater.http.edge import ANSWER_HEADERS, HEADERS, POLICY, Headers

_PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI draws with style attributes; its script is a file of ours like the page's.
_DOCS = _PAGE.replace(b"style-src 'self'", b"style-src 'self' 'unsafe-inline'")

PAGE_HEADERS: Headers = (
    *HEADERS,
    (POLICY, _PAGE),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
DOCS_HEADERS: Headers = tuple((name, _DOCS if name == POLICY else value) for name, value in PAGE_HEADERS)


def headers_of(path: str) -> Headers:
    """Those of an answer."""
    if path == "/docs":
        return DOCS_HEADERS
    return PAGE_HEADERS if path == "/" or path.startswith("/static/") else ANSWER_HEADERS
