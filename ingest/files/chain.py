"""Several sources as one: each is opened where the one before it ends, so that one alone takes memory."""

from collections.abc import Callable, Sequence

from ingest.chunk import Chunk, Source, nothing
from ingest.errors import EmptySourceError

Opener = Callable[[], Source]


class Chain(Source):
    """What its parts give, in order, an empty chunk between two. One without events is left out, unless all are."""

    def __init__(
        self, name: str, parts: Sequence[Opener], left_out: Sequence[str] = (), total: int | None = None
    ) -> None:
        self.name = name
        self.total = total
        self.left_out: list[str] = list(left_out)
        self._parts = list(parts)
        self._now: Source | None = None
        self._bulk = False
        self._given = False
        self._ended = False
        self._before = 0

    @property
    def part(self) -> str:
        return self._now.part if self._now is not None else ""

    def in_bulk(self) -> None:
        self._bulk = True

    def read(self, timeout_s: float) -> Chunk | None:
        """What the part that is read has now.

        Raises:
            EmptySourceError: no part has any event.
            SourceError, MappingError: a part cannot be read; those before it were.
        """
        try:
            now = self._now or self._next()
            if now is None:
                return None
            chunk = now.read(timeout_s)
        except EmptySourceError as error:
            if self._ended:
                raise
            self.left_out.append(error.fact)
            self.close()
            return nothing(self.name)
        if chunk is None:
            self.close()
            return nothing(self.name)
        self._given = self._given or bool(chunk.lines)
        self.done = self._before + now.done
        return chunk

    def close(self) -> None:
        if self._now is not None:
            self._before += self._now.done
            self.left_out += self._now.left_out
            self._now.close()
            self._now = None

    def _next(self) -> Source | None:
        if not self._parts:
            self._ended = True
            if not self._given and self.left_out:
                raise EmptySourceError(self.name)
            return None
        self._now = self._parts.pop(0)()
        if self._bulk:
            self._now.in_bulk()
        return self._now
