"""The registered streams. Adding one is one declaration in a file of its own and one line here.

Streams may also live outside the package: `SLACKWATER_STREAMS=module:NAME[,...]` names them or tuples of them, and so
does a distribution by the entry point group `slackwater.streams`. `registered` takes them all; whoever starts a program
asks it once, and hands the streams on.
"""

from collections.abc import Iterable

from slackwater.core.outside import found_outside
from slackwater.streams.errors import StreamError, UnknownStreamError
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES
from slackwater.streams.words import ROUTES

STREAMS: tuple[Stream, ...] = (TRADES,)

GROUP = "slackwater.streams"
"""The entry point group. An entry point's object is a stream or a tuple of streams."""


def registered(named: Iterable[str] = ()) -> tuple[Stream, ...]:
    """What a program takes in, archives and serves.

    Args:
        named: `module:NAME`, each a stream or a tuple of streams outside the package (the setting SLACKWATER_STREAMS).

    Raises:
        StreamError: one cannot be found, is no stream, or has the name of another or of a route.
    """
    streams = tuple(dict.fromkeys((*STREAMS, *found_outside(Stream, named, GROUP, StreamError))))
    names = [stream.name for stream in streams]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StreamError(f"Duplicate streams {twice}, with two declarations.", "Each name has one of them.")
    if wrong := sorted(ROUTES.intersection(names)):
        raise StreamError(f"Streams cannot be named {wrong}.", "Those are names of other routes.")
    return streams


def stream_named(name: str, streams: tuple[Stream, ...] = STREAMS) -> Stream:
    """The stream of that name.

    Raises:
        UnknownStreamError: there is none.
    """
    for stream in streams:
        if stream.name == name:
            return stream
    raise UnknownStreamError(name, [stream.name for stream in streams])
