"""What a quantity counts, per venue. Data, not code: another venue of contracts is one more line."""

CONTRACT_VENUES = frozenset({"binance_coinm"})
"""Venues whose quantities are contracts; everywhere else they are units of the base currency."""


def quantity_unit(venue: str) -> str:
    """`contracts` or `base`."""
    return "contracts" if venue in CONTRACT_VENUES else "base"
