"""The registered views. Adding a view is one declaration in a file of its own and one line here."""

from views.bars import BARS
from views.errors import UnknownViewError
from views.view import View

VIEWS: tuple[View, ...] = (BARS,)


def view_named(name: str, views: tuple[View, ...] = VIEWS) -> View:
    """The view of that name.

    Raises:
        UnknownViewError: there is none.
    """
    for view in views:
        if view.name == name:
            return view
    raise UnknownViewError(f"No view {name!r}.", f"There are {', '.join(view.name for view in views)}.")
