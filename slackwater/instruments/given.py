"""One row as files and requests give it: texts or JSON values by name, into `Facts`.

Decimals are text or JSON numbers, exact either way (`parse` of `slackwater.instruments.rows` reads no double); times
are microseconds or ISO 8601 with an offset. An empty text is a value that is not given. What is not given:

    settlement    spot and linear: the quote; inverse: the base; an option says it
    multiplier    spot and linear: 1; others say it
    effective     0, always
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from slackwater.instruments.errors import FactsError
from slackwater.instruments.facts import DECIMALS, FIELDS, REQUIRED, TIMES, Facts, check_kind

_DECIMAL = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)

_NEEDED = (*REQUIRED, "settlement", "multiplier")


def facts_of(row: Mapping[str, Any]) -> Facts:
    """The facts of a row.

    Raises:
        FactsError: it has an unknown field, lacks one, or a value is none.
    """
    if unknown := [name for name in row if name not in FIELDS]:
        raise FactsError(
            "unknown-field", f"There is no field {str(unknown[0])[:64]!r}.", f"There are {', '.join(FIELDS)}."
        )
    given = {name: value for name, value in row.items() if value is not None and value != ""}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise FactsError(f"bad-{name}", f"{name} is {value!r}.", "It is a text or a number.")
    if "kind" in given:
        check_kind(given["kind"])  # first: what else there must be follows from it
    found = {**_defaults(given), **given}
    if missing := [name for name in _NEEDED if name not in found]:
        raise FactsError("missing-field", f"A row without {missing[0]}.")
    found |= {name: _decimal(name, given[name]) for name in DECIMALS if name in given}
    found |= {name: _time(name, given[name]) for name in TIMES if name in given}
    return Facts(**found)


def _defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    settled_in = {"spot": "quote", "linear": "quote", "inverse": "base"}.get(given.get("kind", ""), "")
    if settled_in in given:
        found["settlement"] = given[settled_in]
    if given.get("kind") in {"spot", "linear"}:
        found["multiplier"] = Decimal(1)
    return found


def _decimal(name: str, value: str | int | Decimal) -> Decimal:
    text = value if isinstance(value, str) else str(value)
    if not _DECIMAL.fullmatch(text):
        raise FactsError(f"bad-{name}", f"{name} is {text[:64]!r}, which is no decimal number.")
    return Decimal(text)


def _time(name: str, value: str | int | Decimal) -> int:
    text = value if isinstance(value, str) else str(value)
    if _WHOLE.fullmatch(text):
        return int(text)
    if not _ISO.fullmatch(text):
        hint = "Write 2026-11-28T10:30:00Z, or microseconds since 1970."
        raise FactsError(f"bad-{name}", f"{name} is {text[:64]!r}, which is no time with an offset.", hint)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise FactsError(f"bad-{name}", f"{name} is {text!r}: {error}.") from error
    since = at - datetime.fromisoformat("1970-01-01T00:00Z")
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
