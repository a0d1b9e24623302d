"""The reply: bytes with a strong ETag over them, and 304 where the client has them already."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

IMMUTABLE = "public, max-age=31536000, immutable"
LAG_HEADER = "Slackwater-Lag-Records"


def reply(request: Request, body: bytes, lag_records: int | None = None, immutable: bool = False) -> Response:
    """JSON bytes as a response. Lag is in a header, outside the ETag, since it changes while the answer does not."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE if immutable else "no-cache"}
    if lag_records is not None:
        headers[LAG_HEADER] = str(lag_records)
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return Response(body, 200, headers, "application/json")


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in header.split(","))
