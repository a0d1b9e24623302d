"""A quantile of a number that a view buckets: exact in its rank, and known up to its bucket, so both bounds are given.

    rows of one start      bucket   994   995   1100            a view with key (entity, ..., bucket) and a Count
                           trades     2     5      3
    p50 of 10 trades       rank 5: bucket 995                   low <= the fifth smallest number < high

It needs all rows of one start that differ in the bucket alone, so it is no answer of one row: see
`slackwater.views.quantiles`, which makes them of rows and of tables.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slackwater.views.answers.answer import Columns, column_named
from slackwater.views.errors import DefinitionError
from slackwater.views.keys import Bucket
from slackwater.views.kinds import COUNT

_AT = re.compile(r"0\.[0-9]{1,6}|1(\.0)?")


@dataclass(frozen=True)
class Quantiles:
    """The smallest number that at least the part `at` of all (as "0.5") is not above; the column `of` counts them."""

    at: str
    of: str
    by: str = "bucket"

    @property
    def part(self) -> tuple[int, int]:
        """`at` as numerator and denominator."""
        whole, _, rest = self.at.partition(".")
        return int(whole + rest), 10 ** len(rest)

    def check(self, name: str, columns: Columns, buckets: Mapping[str, Bucket]) -> None:
        """Raises DefinitionError."""
        if not _AT.fullmatch(self.at) or not self.part[0]:
            hint = 'It is the text of a part of all, such as "0.5", with at most 6 digits.'
            raise DefinitionError(f"The quantile {name!r} is at {self.at!r}.", hint)
        if self.by not in buckets:
            known = ", ".join(buckets) or "none"
            hint = f"Derive a key column by Bucket; there is {known}."
            raise DefinitionError(f"The quantile {name!r} is by {self.by!r}, which is no bucket.", hint)
        if column_named(columns, self.of)[1] != COUNT:
            raise DefinitionError(f"The quantile {name!r} is of {self.of!r}, which is no count.", "Name a Count.")

    def bucket(self, counts: Iterable[tuple[int, int]]) -> int | None:
        """The bucket of the quantile, of (bucket, count) in the order of buckets; None where nothing was counted."""
        pairs = list(counts)
        numerator, denominator = self.part
        total, reached = sum(count for _, count in pairs), 0
        for bucket, count in pairs:
            reached += count
            if count and reached * denominator >= total * numerator:
                return bucket
        return None
