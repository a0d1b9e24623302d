"""How long capture waits for what, in seconds: one place, so that tests can turn all of it faster."""

from typing import NamedTuple


class Timing(NamedTuple):
    """See each.

    Attributes:
        open_s: for a socket to open, and for a REST answer.
        ping_s, pong_s: a ping goes out so often, and its answer is waited for so long: a connection that is dead
            without a word is noticed within both together.
        subscribe_s: for the venue to take a subscription or send a first trade.
        silent_s: factor on a feed's own `silent_s`.
        first_s, most_s: the first wait before another try, and the longest.
        calm_s: a connection that lived so long begins again with the first wait.
        grace_s: an id may come so much later than its neighbours before it is asked for.
        overlap_s: so long before a venue ends a connection the next one begins.
        look_s: how often holes are looked at.
        busy_s: after a venue's refusal for load that names no time.
        again_s: before a venue is asked once more for ids that it did not show; four times as long each time.
        pace: what venues allow, as a multiple of what they say: for tests alone.
    """

    open_s: float = 10.0
    ping_s: float = 4.0
    pong_s: float = 5.0
    subscribe_s: float = 15.0
    silent_s: float = 1.0
    first_s: float = 0.5
    most_s: float = 30.0
    calm_s: float = 60.0
    grace_s: float = 1.0
    overlap_s: float = 60.0
    look_s: float = 0.5
    busy_s: float = 10.0
    again_s: float = 2.0
    pace: float = 1.0

    def faster(self, factor: float) -> "Timing":
        """All of it divided."""
        return Timing(*(value / factor for value in self))._replace(pace=factor)


TIMING = Timing()
"""Half-open connections are noticed within 9 s; silence that was acknowledged is looked into after 30 s."""
