"""The registered streams. Adding one is one declaration in a file of its own and one line here."""

from slackwater.streams.errors import UnknownStreamError
from slackwater.streams.stream import Stream
from slackwater.streams.trades import TRADES

STREAMS: tuple[Stream, ...] = (TRADES,)


def stream_named(name: str, streams: tuple[Stream, ...] = STREAMS) -> Stream:
    """The stream of that name.

    Raises:
        UnknownStreamError: there is none.
    """
    for stream in streams:
        if stream.name == name:
            return stream
    raise UnknownStreamError(name, [stream.name for stream in streams])
