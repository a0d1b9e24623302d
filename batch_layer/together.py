"""Small relations of states handled by one statement: to plan one costs more than to read a thousand bars.

Each keeps a number, in one more column of the view's key, so that no state of one is merged or compared with another's.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from slackwater.views.compare import states_sql
from slackwater.views.view import View

TOGETHER_ROWS = 200_000
"""Rows that one statement handles; a relation with more is handled alone, and so fits the memory."""

NUMBER = "_number"
"""The column that keeps relations apart; no view has one with such a name."""

_T = TypeVar("_T")


def numbered(view: View) -> View:
    """The view of such relations."""
    return view.apart(NUMBER)


def numbered_sql(view: View, number: int, relation: str) -> str:
    """One SELECT of a relation's states, with its number."""
    return states_sql(numbered(view), f"(SELECT *, {number}::BIGINT AS {NUMBER} FROM {relation})")


def together(of: Iterable[_T], rows: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Those that one statement handles, in their order."""
    some: list[_T] = []
    count = 0
    for each in of:
        if some and count + rows(each) > TOGETHER_ROWS:
            yield some
            some, count = [], 0
        some.append(each)
        count += rows(each)
    if some:
        yield some
