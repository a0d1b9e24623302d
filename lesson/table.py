"""The lesson's scores as a table on the terminal, as Markdown, and as facts for a program; with what they teach."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from lesson.rival import clock_text
from lesson.run import SLACKWATER, Lesson
from lesson.score import FAULTS, Example, Score
from lesson.truth import Bar
from ops.output import console

WHY = {
    "wall clock": "Two processes read the log, each at its own pace. A trade that one of them had before the boundary "
    "and the other behind it is in both parts of the answer, or in neither.",
    "watermark": "The boundary is passed before the last trade below it has come. What comes later than allowed is in "
    "neither part until the next batch run has read the log again.",
    "log offset": "The batch run ends at an exact place in the log, but the speed layer has not cut there. The delta "
    "that lies on both sides counts whole, or not at all.",
    SLACKWATER: "The batch run writes its boundary into the log, as a mark, and the speed layer cuts its cells at "
    "marks. Both parts end at one offset, whoever is late, dead or slow.",
}
"""Rule -> why it goes wrong, or does not."""

_SHOWN = ("trades", "volume", "close")


def show(lesson: Lesson) -> None:
    """For a person."""
    table = Table(title="Wrong answers under four boundary rules", show_lines=True)
    header, *rows = _rows(lesson, "\n")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(_what(lesson), soft_wrap=True)
    for rule, why, example in _lessons(lesson):
        console.print(f"\n[bold]{rule}[/]  {why}", soft_wrap=True)
        if example:
            console.print(f"  For example: {example}", markup=False, soft_wrap=True)


def markdown(lesson: Lesson) -> str:
    """For a document."""
    header, *rows = _rows(lesson, "<br>")
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    text += ["", _what(lesson)]
    for rule, why, example in _lessons(lesson):
        text += ["", f"**{rule}.** {why}"]
        text += ["", f"> {example}"] if example else []
    return "\n".join(text)


def facts(lesson: Lesson) -> dict[str, Any]:
    """For a program."""
    return {
        "seed": lesson.seed,
        "minutes": lesson.size.minutes,
        "trades": lesson.size.trades,
        "scores": [
            {
                "rule": score.rule,
                "setting": score.setting,
                "case": score.case,
                "answers": score.answers,
                "wrong": score.wrong,
                **{fault.replace(" ", "_"): score.faults[fault] for fault in FAULTS},
                "moments_with_a_wrong_answer": wrong_moments(score),
                "longest_s": round(score.longest_s, 3),
                "wrong_at_the_end": score.lasting,
                "notes": dict(score.notes),
                "example": _told(score.example) if score.example else None,
            }
            for score in lesson.scores
        ],
    }


def wrong_moments(score: Score) -> float:
    """The share of samples at which at least one answer was wrong, 0 to 1."""
    return sum(bool(sample.faults) for sample in score.samples) / len(score.samples) if score.samples else 0.0


def _rows(lesson: Lesson, line: str) -> Iterator[list[str]]:
    yield ["boundary", *lesson.schedules, "all"]
    rules = dict.fromkeys((score.rule, score.setting) for score in lesson.scores)
    for rule, setting in rules:
        scores = [score for score in lesson.scores if score.rule == rule]
        answers, wrong = sum(score.answers for score in scores), sum(score.wrong for score in scores)
        yield [f"{rule}{line}{setting}", *(_cell(score, line) for score in scores), f"{_percent(wrong, answers)}"]


def _cell(score: Score, line: str) -> str:
    if not score.wrong:
        return f"0{line}of {score.answers:,}"
    kinds = [f"{score.faults[fault]} {fault}" for fault in FAULTS if score.faults[fault]]
    longest = f"{'over ' if score.lasting else ''}{score.longest_s:.0f} s"
    return line.join([_percent(score.wrong, score.answers), *kinds, f"up to {longest}"])


def _percent(wrong: int, answers: int) -> str:
    return f"{wrong / answers:.2%}" if wrong else "0"


def _what(lesson: Lesson) -> str:
    answers = sum(score.answers for score in lesson.scores if score.rule == SLACKWATER)
    cut = [score for score in lesson.scores if score.rule == SLACKWATER]
    proven = sum(score.notes["hand-offs proven equal"] for score in cut)
    return (
        f"Each rule answered {answers:,} times: for every bar so far, of every instrument, each 2 s. Of each other "
        f"rule the best of several settings is shown ({lesson.tried} were played). Seed {lesson.seed}. Slackwater "
        f"published {sum(score.notes['versions'] for score in cut)} versions; {proven} hand-offs were proven equal "
        "when they were published."
    )


def _lessons(lesson: Lesson) -> Iterator[tuple[str, str, str]]:
    """Rule, why, and the example of the case in which it was wrong most."""
    for rule in dict.fromkeys(score.rule for score in lesson.scores):
        scores = [score for score in lesson.scores if score.rule == rule]
        worst = max(scores, key=lambda score: score.share)
        yield rule, WHY[rule], f"({worst.case}) {_told(worst.example)}" if worst.example else ""


def _told(example: Example) -> str:
    venue, symbol = example.instrument
    start, at = clock_text(example.start)[:8], clock_text(example.at_us)[:8]
    return (
        f"{symbol} of {venue}, the 10 s from {start}, asked at {at}: answered {_bar(example.answered)}; "
        f"true is {_bar(example.true)}. {example.story}"
    )


def _bar(bar: Bar | None) -> str:
    return ", ".join(f"{name} {bar[name]}" for name in _SHOWN) if bar else "no bar at all"
