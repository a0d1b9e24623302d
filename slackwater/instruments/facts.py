"""What one instrument is, as declared: strict, so that whatever is stored can be computed with.

    kind       its price is in    one of it is                        its quantity is in
    spot       quote              one of the base currency            base
    linear     quote              `multiplier` of the base            contracts; base where the multiplier is 1
    inverse    quote              `multiplier` of the quote           contracts; settled in base
    option     quote              `multiplier` of the underlying      contracts

Prices and quantities are stored with 8 digits behind the point (`slackwater.streams.schema`), so a finer tick or lot is
refused: no price of such an instrument could enter. Not here: reading values of files (`slackwater.instruments.given`),
the values of quantities (`slackwater.instruments.worth`).
"""

import re
from dataclasses import dataclass, fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal, get_args

from slackwater.core.decimals import plain_text
from slackwater.instruments.errors import FactsError
from slackwater.streams.columns import EARLIEST_US
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.trades import SYMBOL, VENUE

Kind = Literal["spot", "linear", "inverse", "option"]
Right = Literal["call", "put"]
Unit = Literal["base", "contracts"]

KINDS: tuple[Kind, ...] = get_args(Kind)
RIGHTS: tuple[Right, ...] = get_args(Right)

CURRENCY = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}"
"""A currency as its venue writes it: `BTC`, `1INCH`, `kPEPE`, `USDT`."""

ALWAYS = 0
"""Effective from then on: from the first trade that there could be."""

LATEST_US = 253_402_300_800_000_000  # the year 10000

DECIMALS = ("multiplier", "tick", "lot", "strike")
TIMES = ("expiry", "effective")

_VENUE, _SYMBOL, _CURRENCY = (re.compile(pattern).fullmatch for pattern in (VENUE, SYMBOL, CURRENCY))
_WHOLE_DIGITS = 10
_OF_OPTIONS = ("strike", "right", "underlying")


@dataclass(frozen=True, slots=True)
class Facts:
    """One row: what holds of (venue, symbol) from `effective` on, until a later row. Times in microseconds, UTC.

    `tick` and `lot` are the steps of price and quantity, None where nobody says them. `expiry` is of options and dated
    futures; `strike`, `right` and `underlying` are of options.

    Raises:
        FactsError: a value is missing, is none of its kind, or is none of this kind of instrument.
    """

    venue: str
    symbol: str
    kind: Kind
    base: str
    quote: str
    settlement: str
    multiplier: Decimal
    tick: Decimal | None = None
    lot: Decimal | None = None
    expiry: int | None = None
    strike: Decimal | None = None
    right: Right | None = None
    underlying: str | None = None
    effective: int = ALWAYS

    def __post_init__(self) -> None:
        _check_name("venue", self.venue, VENUE)
        _check_name("symbol", self.symbol, SYMBOL)
        check_kind(self.kind)
        for name in ("base", "quote", "settlement"):
            value = getattr(self, name)
            if type(value) is not str or not _CURRENCY(value):
                raise FactsError(f"bad-{name}", f"{name} is {value!r}, which is no currency.", f"It is {CURRENCY}.")
        for name in DECIMALS:
            if (name == "multiplier") or getattr(self, name) is not None:
                _check_decimal(name, getattr(self, name))
        for name in TIMES:
            _check_time(name, getattr(self, name))
        self._check_kind()

    def _check_kind(self) -> None:
        """What one kind has, and another has not."""
        given = [name for name in ("expiry", *_OF_OPTIONS) if getattr(self, name) is not None]
        if self.kind == "option":
            if missing := [name for name in ("expiry", *_OF_OPTIONS) if name not in given]:
                raise FactsError("missing-field", f"An option without {missing[0]}.")
            if self.right not in RIGHTS:
                raise FactsError("bad-right", f"right is {self.right!r}.", "It is call or put.")
            _check_name("underlying", self.underlying, SYMBOL)
        elif odd := [name for name in given if name in _OF_OPTIONS or self.kind == "spot"]:
            raise FactsError("not-of-kind", f"{odd[0]} of an instrument of the kind {self.kind}.", "Leave it out.")
        if self.kind == "spot" and self.multiplier != 1:
            raise FactsError("not-of-kind", f"A multiplier of {plain_text(self.multiplier)} of the kind spot.")
        expected = {"spot": self.quote, "inverse": self.base}.get(self.kind, self.settlement)
        if self.settlement != expected:
            fact = f"settlement is {self.settlement}, and the kind {self.kind} is settled in {expected}."
            raise FactsError("bad-settlement", fact)

    @property
    def name(self) -> tuple[str, str]:
        """Venue and symbol."""
        return self.venue, self.symbol

    @property
    def quantity_unit(self) -> Unit:
        """What a quantity of 1 is: one of the base currency, or a contract."""
        in_base = self.kind == "spot" or (self.kind == "linear" and self.multiplier == 1)
        return "base" if in_base else "contracts"

    def same_but_time(self, other: "Facts") -> bool:
        """Whether both say the same, from whatever time on."""
        return _values(self)[:-1] == _values(other)[:-1]  # `effective` is the last

    def given(self) -> dict[str, Any]:
        """As JSON has it, without what is not declared: decimals as canonical text."""
        return {
            name: plain_text(value) if isinstance(value, Decimal) else value
            for name, value in zip(FIELDS, _values(self), strict=True)
            if value is not None
        }


FIELDS = tuple(field.name for field in fields(Facts))
"""The names of all facts, in order."""

_values = attrgetter(*FIELDS)

REQUIRED = ("venue", "symbol", "kind", "base", "quote")
"""Those that every row says; `slackwater.instruments.given` has what the others are by default."""


def check_kind(value: object) -> None:
    """Raises FactsError: there is no such kind."""
    if value not in KINDS:
        raise FactsError("bad-kind", f"kind is {value!r}.", f"It is one of {', '.join(KINDS)}.")


def _check_name(name: str, value: object, pattern: str) -> None:
    matches = _VENUE if pattern is VENUE else _SYMBOL
    if type(value) is not str or not matches(value) or ".." in value or "//" in value:
        raise FactsError(f"bad-{name}", f"{name} is {value!r}.", f"It is {pattern}.")


def _check_decimal(name: str, value: object) -> None:
    if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
        shown = plain_text(value) if isinstance(value, Decimal) and value.is_finite() else value
        raise FactsError(f"bad-{name}", f"{name} is {shown}.", "It is a number above 0, or left out.")
    whole, _, fraction = plain_text(value).partition(".")
    if len(fraction) > PRICE_SCALE:
        fact = f"{name} is {plain_text(value)}: {len(fraction)} digits behind the point, and {PRICE_SCALE} are stored."
        too_small = name in {"tick", "lot"}
        hint = "Prices or quantities of this instrument would be refused." if too_small else ""
        raise FactsError(f"{name}-too-small" if too_small else f"bad-{name}", fact, hint)
    if len(whole) > _WHOLE_DIGITS:
        raise FactsError(f"bad-{name}", f"{name} is {plain_text(value)}, which is 10^10 or more.")


def _check_time(name: str, value: object) -> None:
    if value is None and name == "expiry":
        return
    is_time = type(value) is int and (EARLIEST_US <= value < LATEST_US or (name == "effective" and value == ALWAYS))
    if not is_time:
        hint = "It is microseconds since 1970, from 2009 on" + (", or 0 for always." if name == "effective" else ".")
        raise FactsError(f"bad-{name}", f"{name} is {value!r}.", hint)
