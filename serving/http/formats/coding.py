"""Content codings: zstd, gzip, or none, by `Accept-Encoding`; the bytes of each are the same every time.

What is small is sent as it is, and so is what is compressed in itself (Parquet) or costs more to compress than to
send (Arrow), unless the client refuses that.
"""

import zlib
from functools import lru_cache
from typing import Protocol

import zstandard

from serving.http.preferences import preferences
from serving.http.problems import ProblemError

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
