"""What a quantity at a price is worth, by what the instrument is; exact, as fractions, until somebody rounds.

    kind       in quote                             in settlement
    spot       quantity x price                     the same
    linear     quantity x multiplier x price        the same, where it is settled in the quote
    inverse    quantity x multiplier                quantity x multiplier / price
    option     quantity x multiplier x price        the same, where it is settled in the quote

Of an option it is the premium, not the value of the underlying. Not here: `notional` of the views, which is the sum of
price x quantity whatever the instrument is.
"""

from decimal import Decimal
from fractions import Fraction

from slackwater.core.decimals import decimal_text
from slackwater.instruments.errors import NoValueError
from slackwater.instruments.facts import Facts

DIGITS = 16
"""Behind the point, of a value that is rounded."""


def in_quote(facts: Facts, price: Decimal, quantity: Decimal) -> Fraction:
    """The value in `facts.quote`."""
    of_one = Fraction(facts.multiplier) * (1 if facts.kind == "inverse" else Fraction(price))
    return Fraction(quantity) * of_one


def in_settlement(facts: Facts, price: Decimal, quantity: Decimal) -> Fraction:
    """The value in `facts.settlement`.

    Raises:
        NoValueError: that takes a rate which is no fact of the instrument, or the price is 0.
    """
    value = in_quote(facts, price, quantity)
    if facts.kind == "inverse":
        if not price:
            raise NoValueError(f"{facts.venue}:{facts.symbol} at the price 0 has no value in {facts.settlement}.")
        return value / Fraction(price)
    if facts.settlement != facts.quote:
        raise NoValueError(
            f"{facts.venue}:{facts.symbol} is priced in {facts.quote} and settled in {facts.settlement}.",
            "The rate between them is no fact of the instrument.",
        )
    return value


def rounded_text(value: Fraction, digits: int = DIGITS) -> str:
    """A value with so many digits behind the point, rounded half-even by integers, without trailing zeros."""
    return decimal_text(round(value * 10**digits), digits)
