"""The SQL expressions of views, evaluated over whole numbers: a parser of the part of SQL that declarations use.

    price::DECIMAL(19,8) * quantity                 number of 16 fraction digits
    CASE WHEN side = 'buy' THEN quantity ELSE 0 END

A value is an integer of units of 10^-scale, a text, or true and false; scales are known before any event. There are
column names, numbers, texts, + - * // %, casts, comparisons, AND OR NOT, IN, BETWEEN, CASE, abs, greatest, least and
coalesce. Anything else is refused, never guessed: the view is then not proven.
"""

import re
from collections.abc import Callable, Mapping
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub
from typing import Any, NamedTuple, NoReturn

from verify.errors import NotProvenError

Event = Mapping[str, Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r'|"(?P<quoted>[^"]+)"|(?P<sign>::|//|<=|>=|<>|!=|[-+*%()<>=,]))'
)
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT"})
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": eq,
    "<>": ne,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


class Expression(NamedTuple):
    """What gives the value of an event. `scale` is its fraction digits; None: a text, -1: true or false."""

    value: Callable[[Event], Any]
    scale: int | None


TEXT, TRUTH = None, -1


def parse(text: str, columns: Mapping[str, int | None]) -> Expression:
    """The expression of an SQL text over `columns`, name -> scale.

    Raises:
        NotProvenError: it has something that is not known here.
    """
    parser = _Parser(text, columns)
    found = parser.either()
    if parser.word() or parser.at < len(parser.tokens):
        parser.refuse()
    return found


class _Parser:
    """Recursive descent, one method a level of precedence; each returns what it read."""

    def __init__(self, text: str, columns: Mapping[str, int | None]) -> None:
        self.text = text
        self.columns = columns
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise NotProvenError(f"The oracle cannot read {text!r} from {text[place:].strip()[:20]!r} on.")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()

    def refuse(self) -> NoReturn:
        rest = " ".join(token for _, token in self.tokens[self.at :])
        raise NotProvenError(f"The oracle does not know what {self.text!r} means from {rest[:40]!r} on.")

    def word(self) -> str:
        """The word that is next, in capitals; "" where there is none."""
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        return token.upper() if kind == "word" else ""

    def take(self, *wanted: str) -> str:
        """Step over one of these words or signs, if it is next."""
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        if kind in {"word", "sign"} and token.upper() in wanted:
            self.at += 1
            return token.upper()
        return ""

    def need(self, wanted: str) -> None:
        """Step over it; it must be next."""
        if not self.take(wanted):
            self.refuse()

    def either(self) -> Expression:
        """... OR ..."""
        found = self.both()
        while self.take("OR"):
            found = Expression(_of(or_, self.truth(found), self.truth(self.both())), TRUTH)
        return found

    def both(self) -> Expression:
        """... AND ..."""
        found = self.negation()
        while self.take("AND"):
            found = Expression(_of(and_, self.truth(found), self.truth(self.negation())), TRUTH)
        return found

    def negation(self) -> Expression:
        """NOT ..."""
        if self.take("NOT"):
            inner = self.truth(self.negation())
            return Expression(lambda e: not inner(e), TRUTH)
        return self.comparison()

    def comparison(self) -> Expression:
        """... = ..., ... IN (...), ... BETWEEN ... AND ..."""
        left = self.sum()
        if sign := self.take(*_COMPARE):
            return self.compared(sign, left, self.sum())
        negated = bool(self.take("NOT"))
        if self.take("IN"):
            self.need("(")
            each = [self.compared("=", left, option) for option in self.listed()]
            return Expression(lambda e: any(one.value(e) for one in each) is not negated, TRUTH)
        if self.take("BETWEEN"):
            low = self.compared(">=", left, self.sum())
            self.need("AND")
            high = self.compared("<=", left, self.sum())
            return Expression(lambda e: (low.value(e) and high.value(e)) is not negated, TRUTH)
        return self.refuse() if negated else left

    def sum(self) -> Expression:
        """... + ..., ... - ..."""
        found = self.product()
        while sign := self.take("+", "-"):
            (a, b), scale = self.numbers(found, self.product())
            found = Expression(_of(add if sign == "+" else sub, a, b), scale)
        return found

    def product(self) -> Expression:
        """... * ..., ... // ..., ... % ..."""
        found = self.signed()
        while sign := self.take("*", "//", "%"):
            right = self.signed()
            scale = (found.scale or 0) + (right.scale or 0)
            if not _is_number(found) or not _is_number(right) or (sign != "*" and scale):
                self.refuse()
            of = {"*": mul, "//": _quotient, "%": _remainder}[sign]
            found = Expression(_of(of, found.value, right.value), scale)
        return found

    def signed(self) -> Expression:
        """- ..."""
        if self.take("-"):
            inner = self.signed()
            if not _is_number(inner):
                self.refuse()
            return Expression(lambda e: -inner.value(e), inner.scale)
        return self.cast(self.primary())

    def cast(self, found: Expression) -> Expression:
        """...::TYPE"""
        while self.take("::"):
            found = self.as_type(found)
        return found

    def as_type(self, found: Expression) -> Expression:
        """The value in the type that is next, rounded half away from zero."""
        name, scale = self.take("DECIMAL", "VARCHAR", *_INTEGERS), 0
        if name == "DECIMAL":
            self.need("(")
            self.integer()
            self.need(",")
            scale = self.integer()
            self.need(")")
        elif name == "VARCHAR" and found.scale is TEXT:
            return found
        if not name or name == "VARCHAR" or not _is_number(found):
            self.refuse()
        return _scaled(found, scale)

    def primary(self) -> Expression:
        """A column, a number, a text, (...), CASE, CAST or a function."""
        if self.at == len(self.tokens):
            self.refuse()
        if self.take("("):
            found = self.either()
            self.need(")")
            return found
        if self.take("CASE"):
            return self.case()
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind in {"number", "text"}:
            return _constant(kind, token)
        if kind in {"word", "quoted"} and token in self.columns:
            return Expression(lambda e: e[token], self.columns[token])
        if kind == "word" and self.take("("):
            return self.function(token.upper())
        self.at -= 1
        return self.refuse()

    def function(self, name: str) -> Expression:
        """name(...), its parenthesis read."""
        if name == "CAST":
            inner = self.either()
            self.need("AS")
            found = self.as_type(inner)
            self.need(")")
            return found
        of: Mapping[str, Callable[..., Any]] = {
            "ABS": abs,
            "GREATEST": max,
            "LEAST": min,
            "COALESCE": lambda *values: next((value for value in values if value is not None), None),
        }
        given = self.listed()
        if name not in of or (name == "ABS") != (len(given) == 1):
            self.refuse()
        values, scale = self.alike(given)
        return Expression(lambda e: of[name](*(value(e) for value in values)), scale)

    def case(self) -> Expression:
        """CASE [...] WHEN ... THEN ... ELSE ... END, the first word read."""
        subject = None if self.word() == "WHEN" else self.either()
        tests, results = [], []
        while self.take("WHEN"):
            test = self.either()
            tests.append(self.truth(test) if subject is None else self.compared("=", subject, test).value)
            self.need("THEN")
            results.append(self.either())
        self.need("ELSE")
        results.append(self.either())
        self.need("END")
        (*values, otherwise), scale = self.alike(results)
        pairs = list(zip(tests, values, strict=True))

        def value(event: Event) -> Any:
            for test, result in pairs:
                if test(event):
                    return result(event)
            return otherwise(event)

        return Expression(value, scale)

    def listed(self) -> list[Expression]:
        """..., ...), the parenthesis before them read."""
        found = [self.either()]
        while self.take(","):
            found.append(self.either())
        self.need(")")
        return found

    def integer(self) -> int:
        """A number in digits."""
        kind, token = self.tokens[self.at] if self.at < len(self.tokens) else ("", "")
        if kind != "number" or not token.isdigit():
            self.refuse()
        self.at += 1
        return int(token)

    def truth(self, found: Expression) -> Callable[[Event], bool]:
        """The value of what is true or false."""
        return found.value if found.scale == TRUTH else self.refuse()

    def compared(self, sign: str, left: Expression, right: Expression) -> Expression:
        """Both in one scale, compared."""
        (a, b), _ = self.alike([left, right])
        return Expression(_of(_COMPARE[sign], a, b), TRUTH)

    def numbers(self, *found: Expression) -> tuple[list[Callable[[Event], Any]], int | None]:
        """Numbers in one scale."""
        return self.alike(list(found)) if all(map(_is_number, found)) else self.refuse()

    def alike(self, found: list[Expression]) -> tuple[list[Callable[[Event], Any]], int | None]:
        """Values of one kind, numbers in the largest scale among them."""
        if all(map(_is_number, found)):
            scale = max(each.scale for each in found)  # type: ignore[type-var]
            return [_scaled(each, scale).value for each in found], scale  # type: ignore[arg-type]
        if len({each.scale for each in found}) != 1:
            self.refuse()
        return [each.value for each in found], found[0].scale


def _of(of: Callable[[Any, Any], Any], a: Callable[[Event], Any], b: Callable[[Event], Any]) -> Callable[[Event], Any]:
    return lambda event: of(a(event), b(event))


def _constant(kind: str, token: str) -> Expression:
    if kind == "text":
        text = token[1:-1].replace("''", "'")
        return Expression(lambda _: text, TEXT)
    whole, _, fraction = token.partition(".")
    units = int(whole + fraction)
    return Expression(lambda _: units, len(fraction))


def _is_number(found: Expression) -> bool:
    return found.scale is not None and found.scale >= 0


def _scaled(found: Expression, scale: int) -> Expression:
    """A number in another scale, rounded half away from zero."""
    inner, more = found.value, scale - (found.scale or 0)
    if more == 0:
        return found
    if more > 0:
        factor = 10**more
        return Expression(lambda e: _times(inner(e), factor), scale)
    divisor = 10**-more

    def rounded(event: Event) -> Any:
        units = inner(event)
        if units is None:
            return None
        size = (2 * abs(units) + divisor) // (2 * divisor)
        return size if units >= 0 else -size

    return Expression(rounded, scale)


def _times(units: int | None, factor: int) -> int | None:
    return None if units is None else units * factor


def _quotient(a: int, b: int) -> int:
    """As SQL has it: towards zero."""
    size = abs(a) // abs(b)
    return size if (a < 0) == (b < 0) else -size


def _remainder(a: int, b: int) -> int:
    return a - b * _quotient(a, b)
