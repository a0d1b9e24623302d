"""Why a partition of the log makes no progress here: it cannot be read on, or a transaction hides the rest.

    applied 7 7 7 7 of 9    for STANDS_S   -> read it from 7 on: a batch that cannot be read is found by its reader
    stable offset 9 of 12   for STANDS_S   -> an open transaction hides 3 records; the same of the delta topic

The speed layer meets such a batch first, in a process of its own that may run elsewhere; so the service checks for
itself, and only where nothing moves.
"""

from collections.abc import Iterable, Mapping

from serving.store.hot import HotStore
from serving.watch.live import Completeness, Live
from slackwater.core.clock import Clock
from slackwater.log.errors import HiddenRecordsError, LogError, UnreadableError
from slackwater.log.log import Log, Unread

STANDS_S = 5.0
"""How long nothing may move in a partition with records to apply, and how long records may be hidden, unchecked."""

AGAIN_S = 10.0
"""Seconds between two checks of a partition without progress."""

POLLS = 4
POLL_S = 0.5


class LogProbe:
    """Checks the partitions of one stream without progress. `step` belongs to one thread; any may call the rest."""

    def __init__(self, log: Log, live: Live, hot: HotStore, clock: Clock, completeness: Completeness) -> None:
        self.unread: Mapping[int, Unread] = {}
        self._hidden_deltas: Mapping[int, HiddenRecordsError] = {}
        self._completeness = completeness
        self._log = log
        self._stream = live.stream.name
        self._log_watch = live.log_watch
        self._hot = hot
        self._feed = live.feed
        self._clock = clock
        self._stands: dict[int, tuple[int, float]] = {}
        self._next_s = float("-inf")

    def step(self) -> None:
        """Check the partitions with readable records of which none was applied for a while."""
        now = self._clock.elapsed_s()
        facts = self._log_watch.facts
        if facts is None:
            return
        if not self._feed.caught_up:  # it may be what a transaction hides that it waits for
            if now >= self._next_s:
                self._next_s = now + AGAIN_S
                self._set_hidden(self._hidden(facts.bounds))
            return
        bounds, furthest = facts.bounds, self._hot.furthest(self._stream)
        applied = {p: at for p, at in furthest.items() if p in bounds and at < bounds[p].end}
        known = self._stands
        self._stands = {p: known[p] if p in known and known[p][0] == at else (at, now) for p, at in applied.items()}
        stuck = {p: at for p, (at, since_s) in self._stands.items() if now - since_s >= STANDS_S}
        if self.unread.keys() - stuck.keys():
            self.unread = {p: found for p, found in self.unread.items() if p in stuck}
        if not stuck:
            self._set_hidden({})
        if stuck and now >= self._next_s:
            self._next_s = now + AGAIN_S
            self.unread = self._read(stuck)
            self._set_hidden(self._hidden(stuck))

    def reasons(self) -> list[str]:
        """What cannot be read and what is hidden, each in a sentence."""
        topic, now = self._log_watch.topic, self._clock.elapsed_s()
        found = [UnreadableError(topic, *stuck).fact for stuck in self.unread.values()]
        found += [UnreadableError(self._feed.topic, *stuck).fact for stuck in self._feed.unreadable.values()]
        facts = self._log_watch.facts
        for p, hidden in (facts.hidden if facts else {}).items():
            if now - hidden.since_s >= STANDS_S:
                fact = HiddenRecordsError(topic, p, hidden.offset, hidden.records).fact
                found.append(f"{fact[:-1]}, for {now - hidden.since_s:.0f} s.")
        return found + [error.fact for error in self._hidden_deltas.values()]

    def hidden_records(self) -> int:
        """Records that open transactions hide, as of the last check of the log."""
        facts = self._log_watch.facts
        return sum(hidden.records for hidden in facts.hidden.values()) if facts else 0

    def _read(self, starts: Mapping[int, int]) -> Mapping[int, Unread]:
        try:
            reader = self._log.reader(self._log_watch.topic, starts)
            try:
                for _ in range(POLLS):
                    reader.poll(POLL_S)
                    if reader.unread.keys() >= starts.keys():
                        break
                return dict(reader.unread)
            finally:
                reader.close()
        except LogError:
            return self.unread  # the watch of the log says so

    def _set_hidden(self, hidden: Mapping[int, HiddenRecordsError]) -> None:
        self._hidden_deltas = hidden
        self._completeness.hidden[self._stream] = frozenset(hidden)

    def _hidden(self, stuck: Iterable[int]) -> Mapping[int, HiddenRecordsError]:
        try:
            bounds = self._log.bounds(self._feed.topic)
        except LogError:
            return {}
        hidden = {p: bounds[p] for p in stuck if p in bounds and bounds[p].hidden}
        return {p: HiddenRecordsError(self._feed.topic, p, at.end, at.hidden) for p, at in hidden.items()}
