"""When a source is given up because too much of it is refused: most likely it is read in a wrong way.

nothing said      all of its first 10,000 lines are refused, or all of it, if it has fewer
a share           more than that share of its lines is, from 10,000 lines on and at its end
"""

from ingest.chunk import Source
from ingest.errors import SourceError
from ingest.verdicts import Summary

FIRST_LINES = 10_000
"""Lines after which a source is judged."""


class TooManyRefusedError(SourceError):
    """Too much of a source is refused. What was taken of it before stays taken; the rest was not read."""

    def __init__(self, name: str, refused: int, lines: int, share: float | None, tally: Summary) -> None:
        firsts = "; ".join(
            f"{reason}, first {first.source}, {first.position}: {first.error}"
            for reason, first in sorted(tally.examples.items())
        )
        allowed = "all of them" if share is None else f"more than {share:.4g}"
        super().__init__(
            f"Of {lines:,} lines of {name} {refused:,} are refused, {allowed}. {firsts}",
            "Look at them by `slackwater dead-letters show`; is the mapping of its columns right? --max-refused allows "
            "another share.",
        )


class MostRefused:
    """Looks at the counts of one source. `share` is from 0 to 1; None: not all lines may be refused.

    `before` are the counts of what was read before it.
    """

    def __init__(self, name: str, share: float | None, before: Summary | None = None) -> None:
        self._name = name
        self._share = share
        self._before = before or Summary()

    def look(self, tally: Summary, ended: bool) -> None:
        """See `ingest.writer.Look`. Raises TooManyRefusedError, once enough was seen."""
        refused, lines = tally.dead_letters - self._before.dead_letters, tally.lines - self._before.lines
        if lines < (1 if ended else FIRST_LINES):
            return
        if refused == lines if self._share is None else refused > self._share * lines:
            raise TooManyRefusedError(self._name, refused, lines, self._share, tally)


class MostRefusedOfEach:
    """The same for each part of a source (`Source.part`): a good file is no excuse for the next one."""

    def __init__(self, source: Source, share: float | None) -> None:
        self._source = source
        self._share = share
        self._part = ""
        self._before = Summary()

    def look(self, tally: Summary, ended: bool) -> None:
        """See `ingest.writer.Look`. Raises TooManyRefusedError."""
        part = "" if ended else self._source.part
        self._part = part or self._part
        MostRefused(self._part, self._share, self._before).look(tally, not part)
        if not part:
            self._before = tally.copy()
