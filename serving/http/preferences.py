"""What a client prefers: the lists with weights of `Accept` and `Accept-Encoding` (RFC 9110, section 12.4.2).

An element that is not written as the RFC says is passed over: a client that cannot say what it wants gets the default.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ELEMENT = re.compile(
    rf"(?P<name>{_NAME}(?:/{_NAME})?)"
    rf"(?P<parameters>(?:\s*;\s*(?![qQ]\s*=){_NAME}=(?:{_NAME}|\"[^\"]*\"))*)"
    r"(?:\s*;\s*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?\s*"
)
_PARAMETER = re.compile(rf"({_NAME})=(?:({_NAME})|\"([^\"]*)\")")
LONGEST = 2000
"""Characters of a header that are read."""


class Preference(NamedTuple):
    """One element: a lower-case name, its parameters, its weight from 0 (not acceptable) to 1."""

    name: str
    parameters: frozenset[tuple[str, str]]
    weight: float


def preferences(header: str) -> list[Preference]:
    """The elements of a header, in its order."""
    return list(_elements(header[:LONGEST].split(",")))


def _elements(parts: Iterable[str]) -> Iterable[Preference]:
    for part in parts:
        found = _ELEMENT.fullmatch(part.strip())
        if found is not None:
            parameters = ((n.lower(), (a or b).lower()) for n, a, b in _PARAMETER.findall(found["parameters"]))
            weight = 1.0 if found["weight"] is None else float(found["weight"])
            yield Preference(found["name"].lower(), frozenset(parameters), weight)
