"""Frames and lines with mistakes in them are events, duplicates, or dead letters with a reason: never nothing."""

from pathlib import Path

from tests.feeds.mutated import play


def test_whatever_is_broken_is_in_the_dead_letters_once(tmp_path: Path) -> None:
    played = play(4_000, 16, tmp_path)
    assert played.frames == 2_000
    assert played.accepted > 100 and played.refused > 1_000
    assert {"not-json", "missing-field"} < {*played.reasons}
