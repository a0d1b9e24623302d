"""Bytes that were compressed with gzip or zstd, unpacked as they come: a block at a time, whatever they unpack to.

Several streams in one file follow each other, as `cat a.gz b.gz` and parallel compressors make them.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

from ingest.files import inlet
from ingest.files.inlet import Inlet, TornError

ZSTD_STEP = 256
"""Compressed bytes that zstd is given at a time, since it unpacks all that it is given: 4 of them may be 128 KB."""


class Unpacker(Protocol):
    """One compressed stream. `ended`: it was unpacked to its end."""

    ended: bool

    def unpack(self, packed: bytes) -> tuple[bytes, bytes]:
        """What some bytes unpack to, about a block at most, and those that are left. Raises TornError."""


class Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.ended = False

    def unpack(self, packed: bytes) -> tuple[bytes, bytes]:
        try:
            made = self._stream.decompress(packed, inlet.BLOCK_BYTES)
        except zlib.error as error:
            raise TornError(f"it is damaged ({error})") from error
        self.ended = self._stream.eof
        return made, self._stream.unused_data if self.ended else self._stream.unconsumed_tail


class Zstd:
    def __init__(self) -> None:
        import zstandard  # not above: `slackwater doctor` names the package where it is missing

        self._stream = zstandard.ZstdDecompressor().decompressobj()
        self._damage = zstandard.ZstdError
        self.ended = False

    def unpack(self, packed: bytes) -> tuple[bytes, bytes]:
        made: list[bytes] = []
        size = at = 0
        while at < len(packed) and size < inlet.BLOCK_BYTES and not self.ended:
            try:
                made.append(self._stream.decompress(packed[at : at + ZSTD_STEP]))
            except self._damage as error:
                raise TornError(f"it is damaged ({error})") from error
            size += len(made[-1])
            at += ZSTD_STEP
            self.ended = self._stream.eof
        return b"".join(made), (self._stream.unused_data if self.ended else b"") + packed[at:]


UNPACKERS: dict[str, Callable[[], Unpacker]] = {"gzip": Gzip, "zstd": Zstd}


class Unpacked(Inlet):
    """What the bytes of `inner` unpack to."""

    def __init__(self, inner: Inlet, unpacker: Callable[[], Unpacker]) -> None:
        self._inner = inner
        self._new = unpacker
        self._stream: Unpacker | None = None
        self._packed = b""
        self.total = inner.total

    @property
    def more(self) -> bool:
        return bool(self._packed) or self._inner.more

    def read(self, timeout_s: float) -> bytes | None:
        while True:
            if not self._packed:
                block = self._inner.read(timeout_s)
                self.done = self._inner.done
                if block == b"":
                    return block
                if block is None and self._stream is not None:
                    raise TornError("it ends too early, in the middle of its compressed bytes")
                if block is None:
                    return None
                self._packed = block
            if self._stream is None:
                self._packed = self._packed.lstrip(b"\0")  # gzip's files may be padded to a size
                if not self._packed:
                    continue
                self._stream = self._new()
            made, self._packed = self._stream.unpack(self._packed)
            if self._stream.ended:
                self._stream = None
            if made:
                return made

    def close(self) -> None:
        self._inner.close()
