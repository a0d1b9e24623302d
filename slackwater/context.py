"""What every program works on, as one value: the log, its topics, the versions, the definitions and the clock.

Whoever is handed a context is a program of its own (a batch run, a worker, a service). What needs one or two of these
is handed those.
"""

from dataclasses import dataclass
from functools import cached_property

from slackwater.core.clock import Clock
from slackwater.log.log import Log
from slackwater.log.names import TopicNames
from slackwater.streams.stream import Stream
from slackwater.versions.store import VersionStore
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.view import View


@dataclass(frozen=True)
class Context:
    """`views` are all definitions of a program, several of one name among them; `registered` its streams, with views
    or without. `limits` are those of a batch run.
    """

    log: Log
    names: TopicNames
    store: VersionStore
    views: tuple[View, ...]
    clock: Clock
    registered: tuple[Stream, ...] = ()
    limits: Limits = UNLIMITED

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of its views, then the other registered ones."""
        return tuple(dict.fromkeys([*(view.stream for view in self.views), *self.registered]))
