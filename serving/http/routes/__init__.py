"""The routes: one file each. `found` lists the files, so a new one is served without a line elsewhere."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from serving.http.route import Route, given_parts


def found(parts: Mapping[str, Any]) -> Iterator[Route]:
    """The routes of every file of this package, whose function `routes` is given the parts that it names.

    Raises:
        TypeError: one asks for a part that there is not.
        AttributeError: a file has no function `routes`.
    """
    for module in iter_modules(__path__):
        yield from given_parts(import_module(f"{__name__}.{module.name}").routes, parts)
