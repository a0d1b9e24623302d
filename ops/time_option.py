"""A time as an option of a command."""

from datetime import datetime
from typing import Any

import click


class Time(click.ParamType):  # type: ignore[type-arg]
    """A time in microseconds, UTC: ISO 8601 with an offset, or an integer of microseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value.isdigit():
            if len(value) < 16:
                self.fail(f"{value!r} is no time in microseconds since 2009.", param, ctx)
            return int(value)
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write it as 2026-11-28T10:30:00Z or in microseconds.", param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} has no offset; write {found.isoformat()}Z for UTC.", param, ctx)
        whole = int(found.replace(microsecond=0).timestamp())
        return whole * 1_000_000 + found.microsecond
