"""The lesson: Slackwater's rule is never wrong, each other one is somewhere, and the judge sees what is off by one.

stream --> ingest --> log --> [ rule: batch below | speed behind ] --> answers --> judge <-- oracle <-- stream
"""

import dataclasses
import json
import re
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from batch_layer import prove
from batch_layer.archive import Archiver
from lesson.cases import CASES, Case
from lesson.cut import quiet
from lesson.picture import picture
from lesson.play import Play
from lesson.run import SLACKWATER, Lesson, Size, run_lesson, settings
from lesson.schedule import make_schedule
from lesson.score import Answer, Judge, Score
from lesson.stream import INSTRUMENTS, make_stream
from lesson.table import facts, markdown, show
from lesson.truth import Truth
from ops.cli import main
from tests.simulation.switches import Edit

DOCS = Path(__file__).parents[1] / "docs"
SMALL = Size(minutes=3, trades=600)
RIVALS = [setting for setting in settings() if setting.rule != SLACKWATER]

ARCHIVE_ONE_SHORT = Edit(
    Archiver,
    "_decoded",
    "start, spans.cut):",
    "start, {p: max(spans.start[p], at - 1) for p, at in spans.cut.items()}):",
)
PROVE_NOTHING = Edit(prove, "_verdict", "if failed:", "if False:")


def play(case: Case, seed: int, rule: str, size: Size = SMALL) -> list[Score]:
    """One case under every setting of a rule."""
    stream = make_stream(case, seed, size.minutes, size.trades)
    schedule, truth = make_schedule(stream, seed), Truth(stream)
    with quiet():
        return [
            Play(schedule, Judge(truth, Score(found.rule, found.setting, case)), found.make).run()
            for found in settings()
            if found.rule == rule
        ]


@pytest.fixture(scope="module")
def crashes() -> Lesson:
    """One case, whole."""
    return run_lesson(3, SMALL, ("crashes",))


def test_slackwater_is_never_wrong_while_everything_dies(crashes: Lesson) -> None:
    [score] = [score for score in crashes.scores if score.rule == SLACKWATER]
    assert score.answers > 1000
    assert (score.wrong, score.longest_s, score.lasting) == (0, 0.0, 0)
    assert score.notes["kills of the speed layer"] >= 2, "a third one may find it dead"
    assert score.notes["kills of a batch run"] == 1
    assert score.notes["versions"] >= 2, "the two layers were both asked"


@pytest.mark.crash
@pytest.mark.parametrize("seed", [2, 11, 4711])
@pytest.mark.parametrize("case", CASES)
def test_slackwater_is_never_wrong(case: Case, seed: int) -> None:
    [score] = play(case, seed, SLACKWATER, Size())
    assert score.answers > 1000
    assert score.wrong == 0, score.examples


@pytest.mark.crash
@pytest.mark.parametrize(
    ("rule", "cases"),
    [("wall clock", ("crashes", "quiet")), ("watermark", ("late", "empty")), ("log offset", ("crashes", "quiet"))],
)
def test_every_setting_of_every_other_rule_is_wrong_in_some_case(rule: str, cases: tuple[Case, ...]) -> None:
    wrong = {setting.setting: 0 for setting in RIVALS if setting.rule == rule}
    for case in cases:
        if not all(wrong.values()):
            for score in play(case, 1, rule, Size()):
                wrong[score.setting] += score.wrong
    assert all(wrong.values()), wrong


def test_the_other_rules_are_wrong_because_of_the_boundary_alone() -> None:
    """Before a first version there is none: all comes from the speed layer, and all of it is right."""
    stream = make_stream("late", 1, SMALL.minutes, SMALL.trades)
    schedule, truth = make_schedule(stream, 1), Truth(stream)
    alone = dataclasses.replace(schedule, events=[e for e in schedule.events if e.kind not in {"begin", "publish"}])
    for setting in RIVALS:
        score = Play(alone, Judge(truth, Score(*setting[:2], "late")), setting.make).run()
        assert score.answers > 1000
        assert score.wrong == 0, setting.setting


def test_a_late_trade_is_what_the_watermark_misses() -> None:
    late = next(score for score in play("late", 1, "watermark") if score.setting.startswith("10 s"))
    assert set(late.faults) == {"missing"}
    example = late.example
    assert example is not None
    assert example.true is not None
    assert int(str(example.true["trades"])) > int(str((example.answered or {"trades": 0})["trades"]))
    assert "it lies before that and came at" in example.story
    assert play("quiet", 1, "watermark")[0].wrong == 0, "nothing is late there"


def test_a_delta_on_both_sides_is_doubled_if_it_is_kept_and_missing_if_it_is_not() -> None:
    kept, left_out = play("crashes", 1, "log offset", Size())
    assert kept.faults.most_common(1)[0][0] == "doubled"
    assert "missing" not in kept.faults
    assert left_out.faults.most_common(1)[0][0] == "missing"
    assert "doubled" not in left_out.faults
    assert kept.example is not None
    assert "lies on both sides and is kept whole" in kept.example.story


@pytest.mark.crash
def test_a_seed_gives_the_same_scores_and_another_seed_others(crashes: Lesson) -> None:
    [shown] = [score for score in crashes.scores if score.rule == "log offset"]
    again = play("crashes", 3, "log offset")
    assert shown in again
    assert play("crashes", 4, "log offset") != again


@pytest.mark.crash
def test_a_seed_gives_the_same_table_and_picture(crashes: Lesson) -> None:
    again = run_lesson(3, SMALL, ("crashes",), jobs=2)
    assert facts(again) == facts(crashes)
    assert (markdown(again), picture(again)) == (markdown(crashes), picture(crashes))


def test_an_archive_that_ends_one_record_short_of_the_cut_is_stopped_by_the_proof() -> None:
    with ARCHIVE_ONE_SHORT.made():
        [score] = play("quiet", 1, SLACKWATER, Size(2, 300))
    assert score.notes["hand-offs refuted"] == 2
    assert score.notes["versions"] == 0
    assert score.wrong == 0, "what is not published is not served"


def test_without_the_proof_it_is_served_and_the_judge_sees_it() -> None:
    with ExitStack() as switches:
        switches.enter_context(ARCHIVE_ONE_SHORT.made())
        switches.enter_context(PROVE_NOTHING.made())
        [score] = play("quiet", 1, SLACKWATER, Size(2, 300))
    assert score.notes["versions"] == 2
    assert score.faults["missing"]
    assert score.longest_s > 30


def test_the_judge_takes_nothing_that_was_never_true() -> None:
    stream = make_stream("quiet", 1, 2, 600)
    truth, instrument = Truth(stream), INSTRUMENTS[0]
    last = max(a.place for a in stream.arrivals if a.trade.instrument == instrument) + 1
    start = min(truth.starts(instrument, last))
    whole = truth.bar(instrument, start, last)
    assert whole is not None
    first = truth.bar(instrument, start, 1)

    def fault(bar: dict[str, object] | None, low: int) -> dict[str, int]:
        judge = Judge(truth, Score("", "", "quiet"))
        others = {at: truth.bar(instrument, at, last) for at in truth.starts(instrument, last)}
        bars = {at: found for at, found in {**others, start: bar}.items() if found is not None}
        judge.question(0, [(instrument, Answer(bars, low, last))])
        return dict(judge.score.faults)

    assert fault(whole, last) == {}
    assert fault(whole | {"close": "1"}, last) == {"wrong digits": 1}
    assert fault(whole | {"trades": int(str(whole["trades"])) + 1}, last) == {"doubled": 1}
    assert fault(first, last) == {"missing": 1}, "what was true once, behind what was read since"
    assert fault(None, last) == {"missing": 1}


def test_the_picture_is_well_formed_and_shows_every_strip(crashes: Lesson) -> None:
    tree = ElementTree.fromstring(picture(crashes))
    strips = [e for e in tree.iter() if e.get("class") == "track"]
    assert len(strips) == 4
    assert any(e.get("class") in {"missing", "doubled", "wrong"} for e in tree.iter())


@pytest.mark.crash
def test_the_table_has_a_reason_and_an_example_for_each_rule(
    crashes: Lesson, capsys: pytest.CaptureFixture[str]
) -> None:
    text = markdown(crashes)
    for score in crashes.scores:
        assert f"**{score.rule}.**" in text
        assert not score.wrong or (score.example is not None and score.example.story in text)
    show(crashes)
    assert "Wrong answers under four boundary rules" in capsys.readouterr().out


@pytest.mark.crash
def test_the_document_shows_what_the_command_finds() -> None:
    found = run_lesson(1, Size(), jobs=2)
    assert (DOCS / "lesson.svg").read_text(encoding="utf-8") == picture(found)
    shown = " ".join(re.sub(r"\n> ", "\n", (DOCS / "lesson.md").read_text(encoding="utf-8")).split())
    for line in markdown(found).splitlines():
        assert " ".join(line.removeprefix("> ").split()) in shown


@pytest.mark.crash
def test_the_command_gives_facts_and_writes_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "lesson.svg"
    arguments = ["lesson", "--minutes", "2", "--trades", "300", "--case", "empty", "--json", "--svg", str(path)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output.splitlines()[-1])
    assert [score["case"] for score in found["scores"]] == ["empty"] * 4
    assert path.read_text(encoding="utf-8").startswith("<svg")
