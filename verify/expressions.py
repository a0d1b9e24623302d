"""The SQL expressions of views, evaluated over whole numbers: a parser of the part of SQL that declarations use.

    price::DECIMAL(19,8) * quantity                 number of 16 fraction digits
    CASE WHEN side = 'buy' THEN quantity ELSE 0 END

A value is an integer of units of 10^-scale, a text, or true and false; scales are known before any event. There are
column names, numbers, texts, + - * // %, casts, comparisons, AND OR NOT, IN, BETWEEN, CASE, abs, greatest, least and
coalesce. Anything else is refused, never guessed: the view is then not proven.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub
from typing import Any, NoReturn

from verify.errors import NotProvenError
from verify.values import (
    TEXT,
    TRUTH,
    Event,
    Expression,
    Value,
    combined,
    constant,
    is_number,
    quotient,
    remainder,
    scaled,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r'|"(?P<quoted>[^"]+)"|(?P<sign>::|//|<=|>=|<>|!=|[-+*%()<>=,]))'
)
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT"})
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"=": eq, "<>": ne, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


_Join = Callable[[str, Expression, Expression], Expression]


def parse(text: str, columns: Mapping[str, int | None]) -> Expression:
    """The expression of an SQL text over `columns`, name -> scale.

    Raises:
        NotProvenError: it has something that is not known here.
    """
    parser = _Parser(text, columns)
    found = parser.either()
    if parser.at < len(parser.tokens):
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

    def next(self) -> tuple[str, str]:
        """Kind and text of the token that is next; both empty at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def take(self, *wanted: str) -> str:
        """Step over one of these words or signs, if it is next."""
        kind, token = self.next()
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
        return self.joined(("OR",), self.both, self.logic)

    def both(self) -> Expression:
        """... AND ..."""
        return self.joined(("AND",), self.negation, self.logic)

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
        return self.joined(("+", "-"), self.product, self.added)

    def product(self) -> Expression:
        """... * ..., ... // ..., ... % ..."""
        return self.joined(("*", "//", "%"), self.signed, self.multiplied)

    def joined(self, signs: Sequence[str], part: Callable[[], Expression], join: _Join) -> Expression:
        """Parts with these words or signs between them, joined from left to right."""
        found = part()
        while sign := self.take(*signs):
            found = join(sign, found, part())
        return found

    def logic(self, sign: str, a: Expression, b: Expression) -> Expression:
        return Expression(combined(or_ if sign == "OR" else and_, self.truth(a), self.truth(b)), TRUTH)

    def added(self, sign: str, a: Expression, b: Expression) -> Expression:
        if not is_number(a) or not is_number(b):
            self.refuse()
        (left, right), scale = self.alike([a, b])
        return Expression(combined(add if sign == "+" else sub, left, right), scale)

    def multiplied(self, sign: str, a: Expression, b: Expression) -> Expression:
        scale = (a.scale or 0) + (b.scale or 0)
        if not is_number(a) or not is_number(b) or (sign != "*" and scale):
            self.refuse()
        return Expression(combined({"*": mul, "//": quotient, "%": remainder}[sign], a.value, b.value), scale)

    def signed(self) -> Expression:
        """- ..."""
        if self.take("-"):
            inner = self.signed()
            if not is_number(inner):
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
        if not name or name == "VARCHAR" or not is_number(found):
            self.refuse()
        return scaled(found, scale)

    def primary(self) -> Expression:
        """A column, a number, a text, (...), CASE, CAST or a function."""
        if self.take("("):
            found = self.either()
            self.need(")")
            return found
        if self.take("CASE"):
            return self.case()
        kind, token = self.next()
        self.at += 1
        if kind in {"number", "text"}:
            return constant(kind, token)
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
        kind, token = self.next()
        subject = None if kind == "word" and token.upper() == "WHEN" else self.either()
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
        kind, token = self.next()
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
        return Expression(combined(_COMPARE[sign], a, b), TRUTH)

    def alike(self, found: list[Expression]) -> tuple[list[Value], int | None]:
        """Values of one kind, numbers in the largest scale among them."""
        if all(map(is_number, found)):
            scale = max(each.scale for each in found)  # type: ignore[type-var]
            return [scaled(each, scale).value for each in found], scale  # type: ignore[arg-type]
        if len({each.scale for each in found}) != 1:
            self.refuse()
        return [each.value for each in found], found[0].scale
