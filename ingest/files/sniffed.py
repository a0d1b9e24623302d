"""What a file or a pipe is by its first bytes: compressed ones are unpacked, those of another format are refused."""

from ingest.errors import FormatError
from ingest.files.inlet import Again, Inlet
from ingest.files.unpacked import UNPACKERS, Unpacked

KINDS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # one without files
    b"PAR1": "Parquet",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
"""First bytes -> what begins with them, as no text does."""

HEAD_BYTES = max(map(len, KINDS))


def kind_of(head: bytes) -> str | None:
    """What begins with these bytes; None: text, for all that one can see."""
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)


class Sniffed(Inlet):
    """The text in `inner`, whether it is compressed or not.

    A file is looked at at once, a pipe when its first bytes are read. `kind` is what it was found to be.
    """

    def __init__(self, name: str, inner: Inlet, wanted: str, inside: bool = False) -> None:
        """`wanted` is the format that is expected; `inside`: these bytes were compressed already.

        Raises:
            FormatError: a file is something else.
            TornError: its first bytes cannot be unpacked.
        """
        self._name = name
        self._inner = inner
        self._wanted = wanted
        self._inside = inside
        self._head = b""
        self._decided = False
        self.kind: str | None = None
        self.total = inner.total
        while self.total is not None and not self._decided:
            self._sniff(0.0)

    @property
    def more(self) -> bool:
        return bool(self._head) or self._inner.more

    def read(self, timeout_s: float) -> bytes | None:
        """See `Inlet.read`.

        Raises:
            FormatError: a pipe gives something else than `wanted`.
        """
        if not self._decided:
            self._sniff(timeout_s)
            if not self._decided:
                return b""
        head, self._head = self._head, b""
        found = head or self._inner.read(timeout_s)
        self.done = self._inner.done
        return found

    def close(self) -> None:
        self._inner.close()

    def _sniff(self, timeout_s: float) -> None:
        block = self._inner.read(timeout_s)
        self._head = self._head + (block or b"")
        # Half of such a beginning is waited for; a pipe with a short line is not kept waiting.
        if block is not None and any(len(self._head) < len(magic) and magic.startswith(self._head) for magic in KINDS):
            return
        self._decided = True
        self.kind = kind_of(self._head)
        if self.kind is None:
            return
        if self.kind not in UNPACKERS or self._inside:
            raise FormatError(self._name, self._refusal())
        packed, self._head = self._head, b""
        unpacked = Unpacked(Again(packed, self._inner), UNPACKERS[self.kind])
        self._inner = Sniffed(self._name, unpacked, self._wanted, inside=True)

    def _refusal(self) -> str:
        within = "holds" if self._inside else "is"
        if self.kind == "Parquet" and (self.total is None or self._inside):
            return f"{within} Parquet, which is read from its end: give it as a file, not packed and not by a pipe"
        if self.kind == "Parquet":
            return f"is Parquet, not {self._wanted}"
        if self.kind == "zip":
            return f"{within} a zip archive, whose list of files is at its end: give it as a file, not by a pipe"
        if self._inside:
            return f"was compressed twice, the second time with {self.kind}; unpack it first"
        return f"is compressed with {self.kind}, which is not read; unpack it first, or compress it with zstd"
