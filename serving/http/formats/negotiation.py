"""Which representation a request gets (RFC 9110, section 12): the format by `format=` or `Accept`, the content coding
by `Accept-Encoding`. JSON wins ties. The bytes of each coding are the same every time.

What is small is sent as it is, and so is what is compressed in itself (Parquet) or costs more to compress than to
send (Arrow), unless the client refuses that. An element of a header that is not written as the RFC says is passed over:
a client that cannot say what it wants gets the default.

Not here: how a table becomes bytes (`serving.http.formats.encoders`).
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import zstandard

from slackwater.http.problems import ProblemError

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ELEMENT = re.compile(
    rf"(?P<name>{_NAME}(?:/{_NAME})?)"
    rf"(?P<parameters>(?:\s*;\s*(?![qQ]\s*=){_NAME}=(?:{_NAME}|\"[^\"]*\"))*)"
    r"(?:\s*;\s*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?\s*"
)
_PARAMETER = re.compile(rf"({_NAME})=(?:({_NAME})|\"([^\"]*)\")")
LONGEST = 2000
"""Characters of a header that are read."""


class Preference(NamedTuple):
    """One element: a lower-case name, its parameters, its weight from 0 (not acceptable) to 1."""

    name: str
    parameters: frozenset[tuple[str, str]]
    weight: float


def preferences(header: str) -> list[Preference]:
    """The elements of a header, in its order."""
    found = []
    for part in header[:LONGEST].split(","):
        element = _ELEMENT.fullmatch(part.strip())
        if element is not None:
            parameters = ((n.lower(), (a or b).lower()) for n, a, b in _PARAMETER.findall(element["parameters"]))
            weight = 1.0 if element["weight"] is None else float(element["weight"])
            found.append(Preference(element["name"].lower(), frozenset(parameters), weight))
    return found


class Format(NamedTuple):
    """One format. `text`: decimals and times are text or numbers in it, not types; it is worth compressing."""

    name: str
    media_type: str
    ranges: tuple[str, ...]
    text: bool


JSON = Format("json", "application/json", ("application/json",), True)
NDJSON = Format("ndjson", "application/x-ndjson", ("application/x-ndjson", "application/ndjson"), True)
CSV = Format("csv", "text/csv; charset=utf-8; header=present", ("text/csv",), True)
ARROW = Format("arrow", "application/vnd.apache.arrow.stream", ("application/vnd.apache.arrow.stream",), False)
PARQUET = Format("parquet", "application/vnd.apache.parquet", ("application/vnd.apache.parquet",), False)

FORMATS = (JSON, NDJSON, CSV, ARROW, PARQUET)
"""Those of every route that answers with a table, the preferred first."""

BY_NAME = {each.name: each for each in FORMATS}


@lru_cache(256)
def choose_format(accept: str | None) -> Format:
    """The format that a client prefers by its `Accept`.

    Raises:
        ProblemError: 406, it takes none of ours.
    """
    asked = preferences(accept) if accept and accept.strip() else [Preference("*/*", frozenset(), 1.0)]
    weights = [_weight(each, asked) for each in FORMATS]
    best = max(range(len(FORMATS)), key=lambda i: weights[i])  # the first of equals
    if not weights[best]:
        detail = "None of our formats is acceptable to this request. Ask for one by `Accept`, or by `format=`."
        available = [{"format": each.name, "media_type": each.media_type} for each in FORMATS]
        raise ProblemError(406, "not-acceptable", detail, available=available)
    return FORMATS[best]


def _weight(of: Format, asked: Sequence[Preference]) -> float:
    """The weight of the most specific range that matches."""
    _, *own = of.media_type.split("; ")
    parameters = {tuple(each.split("=")) for each in own} | {("charset", "utf-8")}
    best, weight = -1, 0.0
    for each in asked:
        if each.name in of.ranges and each.parameters <= parameters:
            specific = 2 + len(each.parameters)
        elif each.name == of.media_type.partition("/")[0] + "/*":
            specific = 1
        elif each.name == "*/*":
            specific = 0
        else:
            continue
        if specific > best:
            best, weight = specific, each.weight
    return weight


IDENTITY = "identity"
CODINGS = ("zstd", "gzip", IDENTITY)
SMALL_BYTES = 1_000
"""An answer that is not longer is not compressed."""

_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3
_GZIP_BITS = 31  # a gzip header without a name or a time


class Compressor(Protocol):
    """Compresses a stream, part by part, as zlib's and zstandard's objects do."""

    def compress(self, data: bytes, /) -> bytes:
        """What can be sent by now."""

    def flush(self) -> bytes:
        """The rest."""


@lru_cache(256)
def choose_coding(header: str | None, worth: bool) -> str:
    """The coding that the client prefers of those we have. `worth`: whether compressing is of use to anyone.

    Raises:
        ProblemError: 406, it refuses all of them.
    """
    asked = {each.name: each.weight for each in preferences(header or "")}
    if "x-gzip" in asked:
        asked.setdefault("gzip", asked["x-gzip"])
    rest = asked.get("*", 0.0)
    plain = asked.get(IDENTITY, asked.get("*"))
    weights = {name: asked.get(name, rest) for name in CODINGS[:-1]}
    if plain != 0 and not worth:
        return IDENTITY
    # Not named, `identity` is acceptable and the last choice.
    weights[IDENTITY] = 0.0001 if plain is None else plain
    best = max(CODINGS, key=lambda name: weights[name])
    if not weights[best]:
        detail = "None of our codings is acceptable to this request."
        raise ProblemError(406, "not-acceptable", detail, available=list(CODINGS))
    return best


def compressor(coding: str) -> Compressor:
    """A new compressor of `zstd` or `gzip`."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj()
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_BITS)


def compress(body: bytes, coding: str) -> bytes:
    """The whole of `body` in a coding."""
    if coding == IDENTITY:
        return body
    if coding == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(body)
    stream = compressor(coding)
    return stream.compress(body) + stream.flush()
