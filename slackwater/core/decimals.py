"""Exact decimals as text, without a float and without a decimal context."""

from decimal import Decimal


def plain_text(value: Decimal) -> str:
    """A decimal as text, without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal_text(units: int, scale: int) -> str:
    """`units` of 10^-scale as text, without exponent and without trailing zeros."""
    whole, rest = divmod(abs(units), 10**scale)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{scale}d}".rstrip("0") if rest else f"{sign}{whole}"
