"""The lesson as a picture: for each case and rule one strip of time, a column for each time that bars were requested.

late        wall clock   __|__________|||||______     a column is as high as many answers were wrong, by kind;
            watermark    ______||||||||__________     full height is one in twenty or more
"""

from collections.abc import Iterator
from html import escape

from lesson.run import Lesson
from lesson.schedule import Schedule
from lesson.score import FAULTS, Fault, Sample, Score

LEFT, WIDTH, RIGHT = 190, 560, 170
STRIP, GAP, TITLE, TOP, BOTTOM = 15, 5, 26, 92, 16
FULL_SHARE = 0.05
LEAST = 3.0
COLOURS: dict[Fault, str] = {"missing": "#d1495b", "doubled": "#6a4c93", "wrong digits": "#e09f3e"}

_STYLE = (
    ".t{fill:#14212b;font-size:15px;font-weight:600}.c{fill:#14212b;font-size:13px;font-weight:600}"
    ".s{fill:#53646f;font-size:12px}.g{fill:#1f7a63;font-size:12px;font-weight:600}"
    ".track{fill:#ffffff;stroke:#d7e0e8;stroke-width:.8}.down{fill:#c9d4de}.run{stroke:#2f6f9f;stroke-width:1}"
    + "".join(f".{fault.split(maxsplit=1)[0]}{{fill:{colour}}}" for fault, colour in COLOURS.items())
)


def picture(lesson: Lesson) -> str:
    """The SVG."""
    rules = list(dict.fromkeys(score.rule for score in lesson.scores))
    block = TITLE + len(rules) * (STRIP + GAP)
    width, height = LEFT + WIDTH + RIGHT, TOP + len(lesson.schedules) * block + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        "font-family=\"ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif\">",
        "<title>Wrong answers over time under four boundary rules between batch and speed</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="14" fill="#f4f7fa"/>',
        '<text class="t" x="24" y="32">Wrong answers over time, one stream of trades, four boundaries</text>',
        *_legend(),
    ]
    for number, (case, schedule) in enumerate(lesson.schedules.items()):
        scores = [score for score in lesson.scores if score.case == case]
        lines += _block(schedule, scores, TOP + number * block)
    return "\n".join([*lines, "</svg>", ""])


def _legend() -> Iterator[str]:
    at = 24
    for fault in FAULTS:
        yield f'<rect class="{fault.split(maxsplit=1)[0]}" x="{at}" y="50" width="11" height="11" rx="2"/>'
        yield f'<text class="s" x="{at + 16}" y="60">{fault}</text>'
        at += 34 + 7 * len(fault)
    yield f'<path class="run" d="M{at} 48V64"/><text class="s" x="{at + 7}" y="60">a version is published</text>'
    at += 156
    yield f'<rect class="down" x="{at}" y="50" width="14" height="11"/>'
    yield f'<text class="s" x="{at + 20}" y="60">the speed layer is dead</text>'
    yield f'<text class="s" x="{at + 172}" y="60">full height: 1 in 20 answers</text>'


def _block(schedule: Schedule, scores: list[Score], top: int) -> Iterator[str]:
    yield f'<text class="c" x="24" y="{top + 14}">{escape(schedule.case)}</text>'
    scale = WIDTH / (schedule.end_us - schedule.start_us)
    for number, score in enumerate(scores):
        y = top + TITLE - 6 + number * (STRIP + GAP)
        yield f'<text class="s" x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(score.rule)}</text>'
        yield f'<rect class="track" x="{LEFT}" y="{y}" width="{WIDTH}" height="{STRIP}"/>'
        for begin, end in schedule.down:
            x = LEFT + (begin - schedule.start_us) * scale
            wide = (min(end, schedule.end_us) - begin) * scale
            yield f'<rect class="down" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{STRIP}"/>'
        yield from _columns(schedule, score, y, scale)
        for run in schedule.runs:
            if not run.dies and run.publishes_us < schedule.end_us:
                x = LEFT + (run.publishes_us - schedule.start_us) * scale
                yield f'<path class="run" d="M{x:.1f} {y}v{STRIP}"/>'
        text = f"{score.share:.2%}, up to {score.longest_s:.0f} s" if score.wrong else f"0 of {score.answers:,}"
        yield f'<text class="{"s" if score.wrong else "g"}" x="{LEFT + WIDTH + 12}" y="{y + 12}">{text}</text>'


def _columns(schedule: Schedule, score: Score, y: int, scale: float) -> Iterator[str]:
    samples = score.samples
    ends = [sample.at_us for sample in samples[1:]] + [schedule.end_us]
    for sample, end in zip(samples, ends, strict=True):
        if not sample.faults:
            continue
        x, wide = LEFT + (sample.at_us - schedule.start_us) * scale, (end - sample.at_us) * scale
        foot = float(y + STRIP)
        for fault, high in _heights(sample):
            foot -= high
            yield (
                f'<rect class="{fault.split(maxsplit=1)[0]}" x="{x:.1f}" y="{foot:.1f}" width="{wide:.1f}" '
                f'height="{high:.1f}"/>'
            )


def _heights(sample: Sample) -> Iterator[tuple[Fault, float]]:
    wrong = sum(sample.faults.values())
    high = min(float(STRIP), max(LEAST, STRIP * wrong / sample.answers / FULL_SHARE))
    for fault in FAULTS:
        if sample.faults.get(fault):
            yield fault, high * sample.faults[fault] / wrong
