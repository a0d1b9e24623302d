"""Several sources as one: each is opened where the one before it ends, so that one alone takes memory."""

from collections.abc import Callable, Sequence

from ingest.chunk import Chunk, Source, nothing
from ingest.errors import EmptySourceError

Opener = Callable[[], Source]


class Chain(Source):
    """What its parts give, in order. A part without events is left out, unless none has any."""

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
        self._before = 0

    def in_bulk(self) -> None:
        self._bulk = True

    def read(self, timeout_s: float) -> Chunk | None:
        """What the part that is read has now.

        Raises:
            EmptySourceError: no part has any event.
            SourceError, MappingError: a part cannot be read; those before it were.
        """
        try:
            if self._now is None:
                if not self._parts:
                    self._check_given()
                    return None
                self._now = self._parts.pop(0)()
                if self._bulk:
                    self._now.in_bulk()
            chunk = self._now.read(timeout_s)
        except EmptySourceError as error:
            self.left_out.append(error.fact)
            chunk = None
        if chunk is None:
            self.close()
            return nothing(self.name)
        self._given = self._given or bool(chunk.lines)
        self.done = self._before + self._now.done if self._now is not None else self._before
        return chunk

    def close(self) -> None:
        if self._now is not None:
            self._before += self._now.done
            self._now.close()
            self._now = None

    def _check_given(self) -> None:
        if not self._given and self.left_out:
            raise EmptySourceError(self.name)
