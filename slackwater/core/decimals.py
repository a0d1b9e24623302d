"""Exact decimals as text: integers of a unit in, text out, without a float and without a decimal context."""


def decimal_text(units: int, scale: int) -> str:
    """`units` of 10^-scale as text, without exponent and without trailing zeros."""
    whole, rest = divmod(abs(units), 10**scale)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{scale}d}".rstrip("0") if rest else f"{sign}{whole}"
