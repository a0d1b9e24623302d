"""Definitions side by side: several views of one name, each with a definition of its own.

A program is given a tuple of views. Of those of one name the first is the default; which of them is in force is said
by the definitions that a version holds. So a version goes on with its own definition until another version, with
another definition, takes its place.
"""

from collections.abc import Iterable, Mapping

from slackwater.streams.registry import STREAMS
from slackwater.streams.stream import Stream
from slackwater.streams.words import ROUTES
from slackwater.views.errors import DefinitionError, UnknownViewError
from slackwater.views.view import View


def check_definitions(views: tuple[View, ...], candidates: tuple[View, ...]) -> tuple[View, ...]:
    """The views, then the candidates: what a program of both is given.

    Raises:
        DefinitionError: a name is not unique, or that of a route or a stream, or a candidate is no other definition of
            a view of its key.
    """
    for group in (views, candidates):
        names = [view.name for view in group]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DefinitionError(f"Duplicate views {twice}.", "One view and one candidate of each name.")
    taken = {*ROUTES, *(stream.name for stream in (*STREAMS, *streams_of(views)))}
    if wrong := sorted({view.name for view in views} & taken):
        raise DefinitionError(f"Views cannot be named {wrong}.", "Those are names of streams and of other routes.")
    served = {view.name: view for view in views}
    for candidate in candidates:
        beside = served.get(candidate.name)
        if beside is None:
            hint = "A new view is registered as one; a candidate is another definition of a view that there is."
            raise DefinitionError(f"The candidate {candidate.name!r} has no view beside it.", hint)
        if beside == candidate:
            raise DefinitionError(f"The candidate {candidate.name!r} is the view itself: {candidate.definition}.")
        if (beside.stream, beside.key) != (candidate.stream, candidate.key):
            hint = "Then its rows are others: register it as a view of another name."
            raise DefinitionError(f"The candidate {candidate.name!r} has another stream or key.", hint)
    return (*views, *candidates)


def streams_of(views: Iterable[View]) -> tuple[Stream, ...]:
    """The streams of these views, each once, in order."""
    return tuple(dict.fromkeys(view.stream for view in views))


def defaults(views: tuple[View, ...]) -> tuple[View, ...]:
    """The first view of each name."""
    return tuple({view.name: view for view in reversed(views)}[name] for name in names_of(views))


def names_of(views: tuple[View, ...]) -> tuple[str, ...]:
    """The names, each once, in order."""
    return tuple(dict.fromkeys(view.name for view in views))


def in_force(views: tuple[View, ...], held: Mapping[str, str]) -> tuple[View, ...]:
    """A view of each name: the one whose definition is `held` (name -> hash), the default where none of them is."""
    return tuple(
        next((view for view in views if (view.name, view.definition) == (each.name, held.get(each.name))), each)
        for each in defaults(views)
    )


def held_views(views: tuple[View, ...], held: Mapping[str, str]) -> tuple[View, ...]:
    """The same of those names alone that are `held`: a view that came later is not the version's."""
    return tuple(view for view in in_force(views, held) if view.name in held)


def beside(views: tuple[View, ...], held: Mapping[str, str]) -> tuple[View, ...]:
    """A view of each name: where there are two, the one that is not in force.

    Raises:
        DefinitionError: of no name there are two.
    """
    current = in_force(views, held)
    others = {view.name: view for view in views if view not in current}
    if not others:
        raise DefinitionError(
            "There is no candidate: of each view this program has one definition only.",
            "Register the changed view in CANDIDATES of slackwater/views/registry.py, beside the one that is served.",
        )
    return tuple(others.get(view.name, view) for view in current)


def view_of(definition: str, views: tuple[View, ...]) -> View:
    """The view of that definition hash, which covers its name.

    Raises:
        UnknownViewError: there is none.
    """
    for view in views:
        if view.definition == definition:
            return view
    known = ", ".join(f"{view.name} {view.definition}" for view in views)
    raise UnknownViewError(f"No view has the definition {definition!r}.", f"There are {known}.")
