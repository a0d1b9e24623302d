"""What was found of one rule in one case: how many answers were wrong, in which way, when and for how long.

An answer is one bar of one instrument at one time. It is right if it is what the oracle says at *some* position from
the one that the speed layer has read to (later, if the rule itself names a later one) up to the log's end. So to be
behind is never wrong, nor to be ahead; only what was never true is, and what goes back behind the speed layer's own
reading.

    missing        fewer trades than at the position that was read
    doubled        more than the log's end has
    wrong digits   neither, and equal to no position
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from lesson.stream import SECOND_US, Instrument
from lesson.truth import Bar, Truth

Fault = Literal["missing", "doubled", "wrong digits"]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class Answer(NamedTuple):
    """What a rule answers for one instrument: start -> bar; right from position `low` to `high`."""

    bars: Mapping[int, Bar]
    low: int
    high: int


class Example(NamedTuple):
    """One wrong bar. `story` says which trade went wrong, and how."""

    instrument: Instrument
    start: int
    at_us: int
    fault: Fault
    answered: Bar | None
    true: Bar | None
    story: str


class Sample(NamedTuple):
    """The answers of one time."""

    at_us: int
    answers: int
    faults: Mapping[Fault, int]


@dataclass
class Score:
    """Counts of answers; `longest_s` is in seconds of the stream. `lasting` bars were still wrong when it ended."""

    rule: str
    setting: str
    case: str
    answers: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    longest_s: float = 0.0
    lasting: int = 0
    samples: list[Sample] = field(default_factory=list)
    examples: dict[Fault, Example] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> int:
        """Wrong answers of every kind."""
        return sum(self.faults.values())

    @property
    def share(self) -> float:
        """Wrong answers among all, 0 to 1."""
        return self.wrong / self.answers if self.answers else 0.0

    @property
    def example(self) -> Example | None:
        """The first one of the most frequent kind."""
        return self.examples.get(self.faults.most_common(1)[0][0]) if self.faults else None


class Judge:
    """Compares one rule's answers with the truth and keeps the score."""

    def __init__(self, truth: Truth, score: Score) -> None:
        self.score = score
        self._truth = truth
        self._since: dict[tuple[Instrument, int], int] = {}

    def question(self, at_us: int, answers: Iterable[tuple[Instrument, Answer]]) -> list[Example]:
        """Judge the answers of one time; gives the first of each kind, without its story."""
        judged, faults = 0, Counter[Fault]()
        new: list[Example] = []
        for instrument, answer in answers:
            for start in {*answer.bars, *self._truth.starts(instrument, answer.low)}:
                judged += 1
                fault = self._fault(instrument, start, answer)
                self._mark(instrument, start, at_us, fault)
                if fault is None:
                    continue
                faults[fault] += 1
                if fault not in self.score.examples and fault not in {example.fault for example in new}:
                    true = self._truth.bar(instrument, start, answer.low)
                    new.append(Example(instrument, start, at_us, fault, answer.bars.get(start), true, ""))
        self.score.answers += judged
        self.score.faults += faults
        self.score.samples.append(Sample(at_us, judged, dict(faults)))
        return new

    def end(self, at_us: int) -> Score:
        """The stream is over."""
        self.score.lasting = len(self._since)
        for since in self._since.values():
            self._last(at_us - since)
        return self.score

    def _fault(self, instrument: Instrument, start: int, answer: Answer) -> Fault | None:
        found = answer.bars.get(start)
        true = self._truth.within(instrument, start, answer.low, answer.high)
        if found in true:
            return None
        trades, least, most = (0 if bar is None else int(str(bar["trades"])) for bar in (found, true[0], true[-1]))
        return "missing" if trades < least else "doubled" if trades > most else "wrong digits"

    def _mark(self, instrument: Instrument, start: int, at_us: int, fault: Fault | None) -> None:
        if fault is not None:
            self._since.setdefault((instrument, start), at_us)
        elif (instrument, start) in self._since:
            self._last(at_us - self._since.pop((instrument, start)))

    def _last(self, us: int) -> None:
        self.score.longest_s = max(self.score.longest_s, us / SECOND_US)
