"""The headers that the OpenAPI document declares, and which of them an answer may have.

Not declared: those of HTTP itself about the body (`Content-Type`, `Content-Length`, `Content-Encoding`), and the
security headers that stand on every answer (docs/security.md).
"""

from collections.abc import Iterable
from typing import Any

_TEXT = {"type": "string"}
_OFFSETS = {"type": "string", "pattern": r"^\{.*\}$", "examples": ['{"1":10}']}


def _header(description: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


HEADERS: dict[str, dict[str, Any]] = {
    "Cache-Control": _header("`no-cache`, `no-store`, or `immutable` where the range is closed and pinned.", _TEXT),
    "ETag": _header("Strong; send it back in `If-None-Match`.", _TEXT, required=True),
    "Link": _header('Where the next page is, with `rel="next"`; not with the last one.', _TEXT),
    "RateLimit": _header(
        "What is left of the quota of the key, or of the client, and in how many seconds all of it is there again.",
        {**_TEXT, "examples": ['"default";r=5940;t=1']},
    ),
    "RateLimit-Policy": _header(
        "The quota: so many requests in so many seconds. Only where rates are limited.",
        {**_TEXT, "examples": ['"default";q=6000;w=60']},
    ),
    "Retry-After": _header("Seconds until another try makes sense.", {"type": "integer", "minimum": 0}),
    "Slackwater-Applied": _header("What JSON says under `meta`, where the body is rows alone.", _OFFSETS),
    "Slackwater-Complete": _header("The same.", {"enum": ["true", "false"]}),
    "Slackwater-Cut": _header("The same.", _OFFSETS),
    "Slackwater-Definition": _header("The same.", _TEXT),
    "Slackwater-Lag-Records": _header(
        "Records of the asked partitions between `applied` and the high watermark; outside the ETag; not with as_of.",
        {"type": "integer", "minimum": 0},
    ),
    "Slackwater-Layer": _header("The same as for `Slackwater-Applied`.", {"enum": ["merged", "batch", "speed"]}),
    "Slackwater-Reason": _header("The same; only where it is not complete.", _TEXT),
    "Slackwater-Refusal": _header("The same; only where a newer version was refused.", _TEXT),
    "Slackwater-Stream": _header("The same: the stream whose partitions these are.", _TEXT),
    "Slackwater-Version": _header("The same.", {"type": "integer", "minimum": 0}),
    "Vary": _header("Which request headers the form of the answer depends on.", _TEXT),
    "WWW-Authenticate": _header("How to authenticate; for a key without the scope also which one.", _TEXT),
    "X-Accel-Buffering": _header("`no`: a proxy hands events on at once.", _TEXT),
    "X-Request-ID": _header("The request's id, which the log has too; the client's own, if it sent one.", _TEXT),
}

ALWAYS = ("Cache-Control", "X-Request-ID")
LIMITED = ("RateLimit", "RateLimit-Policy")
CACHED = ("ETag", "Vary")
FACTS = tuple(
    f"Slackwater-{name}"
    for name in ("Applied", "Complete", "Cut", "Definition", "Layer", "Reason", "Refusal", "Stream", "Version")
)
LAG = "Slackwater-Lag-Records"


def refer(names: Iterable[str]) -> dict[str, Any]:
    """A response's headers: references to the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}
