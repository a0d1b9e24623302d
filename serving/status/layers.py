"""The state of each layer in a word and a sentence, and since when, for people: log, speed, batch, serving.

    up         as it should be
    degraded   answers are right, something is missing or not known
    down       nothing new comes from this layer

The speed layer writes its open deltas again at least once a second, whether trades come or not; so silence tells that
it is gone. `Readiness` says whether the full promise is kept now.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from serving.store.hot import HotStore
from serving.watch.live import Lives
from serving.watch.log_probe import LogProbe
from serving.watch.proof_watch import ProofWatch
from serving.watch.versions_watch import VersionsWatch
from slackwater.core.clock import Clock
from slackwater.streams.schema import GRID
from slackwater.versions.idle import last_idle_us
from slackwater.versions.store import VersionStore

State = Literal["up", "degraded", "down"]
_STATES = "up", "degraded", "down"

SILENT_S = 5.0
"""A speed layer that was not heard for so long is gone. It speaks once a second; a start of its pipeline takes two."""

CHECK_EVERY_S = 0.5


@dataclass(frozen=True)
class Layer:
    """What is known of one layer. `since_us` is when this state began, wall clock, None while it is up."""

    state: State
    text: str
    since_us: int | None = None


class _Heard(NamedTuple):
    """How many deltas of a stream had come when the last one did, and when that was."""

    deltas: int
    at_s: float
    at_us: int


Reasons = Callable[[], Iterable[str]]


class Ready(NamedTuple):
    """Whether the full promise is kept now; each reason says what is missing."""

    ready: bool
    reasons: list[str]


class Readiness:
    """Asks the parts in turn; any thread may look."""

    def __init__(self, *parts: Reasons) -> None:
        self._parts = parts

    def check(self) -> Ready:
        """What they say now, each reason once."""
        reasons = list(dict.fromkeys(reason for part in self._parts for reason in part()))
        return Ready(not reasons, reasons)


class Layers:
    """Watches the layers. `step` belongs to one thread; `facts` may be asked by any."""

    def __init__(
        self,
        store: VersionStore,
        hot: HotStore,
        lives: Lives,
        watch: VersionsWatch,
        probes: Mapping[str, LogProbe],
        proofs: ProofWatch,
        readiness: Readiness,
        clock: Clock,
    ) -> None:
        self._store = store
        self._hot = hot
        self._lives = lives
        self._watch = watch
        self._probes = probes
        self._proofs = proofs
        self._readiness = readiness
        self._clock = clock
        self._known: dict[str, Layer] = {}
        self._next_s = float("-inf")
        self._heard = dict.fromkeys(lives, _Heard(-1, clock.elapsed_s(), clock.now_us()))

    def step(self) -> None:
        """Look, twice a second."""
        now = self._clock.elapsed_s()
        for name, live in self._lives.items():
            if self._heard[name].deltas != live.feed.deltas:
                self._heard[name] = _Heard(live.feed.deltas, now, self._clock.now_us())
        if now < self._next_s:
            return
        self._next_s = now + CHECK_EVERY_S
        checks: Mapping[str, Callable[[], Layer]] = {
            "log": lambda: self._worst(self._log),
            "speed": lambda: self._worst(self._speed),
            "batch": self._batch,
            "serving": self._serving,
        }
        self._known = {name: self._since(name, check()) for name, check in checks.items()}

    def facts(self) -> dict[str, dict[str, Any]]:
        """Layer -> state, text, since; the speed layer with its lag and how many records it applied in all."""
        found = {name: asdict(layer) for name, layer in self._known.items()}
        for facts in found.values():
            facts["since"] = facts.pop("since_us")
        if "speed" in found:
            applied = {name: self._hot.furthest(name) for name in self._lives}
            lag = sum(self._watch.lag(name, at) for name, at in applied.items())
            found["speed"] |= {"lag": lag, "applied": sum(sum(at.values()) for at in applied.values())}
        return found

    def _since(self, name: str, found: Layer) -> Layer:
        known = self._known.get(name)
        if found.state == "up" or found.since_us is not None:
            return found
        began = known.since_us if known is not None and known.state == found.state else None
        return Layer(found.state, found.text, began or self._clock.now_us())

    def _worst(self, check: Callable[[str], Layer]) -> Layer:
        """Of a layer of several streams the worst state, with what is said of each stream in that state."""
        found = {name: check(name) for name in self._lives}
        if len(found) == 1:
            return next(iter(found.values()))
        worst = max((layer.state for layer in found.values()), key=_STATES.index)
        those = {name: layer for name, layer in found.items() if layer.state == worst}
        since = [layer.since_us for layer in those.values() if layer.since_us is not None]
        text = " ".join(f"{name}: {layer.text}" for name, layer in those.items())
        return Layer(worst, text, min(since, default=None))

    def _log(self, stream: str) -> Layer:
        watch = self._lives[stream].log_watch
        if unseen := watch.unseen():
            return Layer("down", " ".join(filter(None, (unseen, watch.error))))
        facts = watch.facts
        if facts is None:
            return Layer("degraded", "The log was not read yet.")
        if reasons := self._probes[stream].reasons():
            return Layer("degraded", " ".join(reasons))
        records = sum(bounds.end - bounds.start for bounds in facts.bounds.values())
        return Layer("up", f"{records:,} records retained.")

    def _speed(self, stream: str) -> Layer:
        snapshot, feed, heard = self._watch.snapshot, self._lives[stream].feed, self._heard[stream]
        if snapshot is None:
            return Layer("degraded", "No version is loaded yet.")
        if not snapshot.streams[stream].chain:
            return Layer("down", "Its deltas are not used: the log does not fit the version.")
        if not feed.caught_up:
            return Layer("degraded", f"{feed.behind:,} deltas are still to be read.")
        applied = self._hot.furthest(stream)
        hidden = self._probes[stream].hidden_records()
        lag = max(0, self._watch.lag(stream, applied) - hidden)
        waits = lag == 0 and all(at % GRID == 0 for at in applied.values())  # no cell is open: nothing is to be said
        if self._clock.elapsed_s() - heard.at_s < SILENT_S or waits:
            return _applied(lag, hidden)
        if lag:
            return Layer("down", f"It is not heard; {lag:,} records of the log are not applied.", heard.at_us)
        return Layer("degraded", "It is not heard; nothing is missing yet.", heard.at_us)

    def _batch(self) -> Layer:
        snapshot = self._watch.snapshot
        if self._watch.error is not None:
            return Layer("down", self._watch.error)
        if snapshot is None or not snapshot.version:
            return Layer("degraded", "No version is published yet.")
        proof = self._proofs.proof(snapshot)
        if self._proofs.alarm or proof.outcome == "different":
            return Layer("down", self._proofs.alarm or f"Version {snapshot.version} is different, and forced.")
        if proof.outcome != "equal":
            return Layer("degraded", f"Version {snapshot.version} is {proof.outcome}. {proof.reason}".strip())
        idle_us, now_us = last_idle_us(self._store) or 0, self._clock.now_us()
        idle = f"; a run found nothing new {max(0, now_us - idle_us) // 1_000_000} s ago"
        return Layer(
            "up",
            f"Version {snapshot.version}, proven equal{idle if idle_us > snapshot.manifest.created_us else ''}.",
        )

    def _serving(self) -> Layer:
        found = self._readiness.check()
        return Layer("up", "Ready.") if found.ready else Layer("degraded", " ".join(found.reasons))


def _applied(lag: int, hidden: int) -> Layer:
    if not hidden:
        return Layer("up", f"{lag:,} to apply." if lag else "Everything is applied.")
    text = f"{lag:,} to apply." if lag else "Everything that can be read is applied."
    return Layer("degraded", f"{text} An open transaction hides {hidden:,} records.")
