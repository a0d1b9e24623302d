"""The views of a program: those of the package, and those that live outside of it, by a setting or an entry point."""

from pathlib import Path

import pytest

from slackwater.core.errors import SettingError
from slackwater.core.settings import from_environ
from slackwater.views.bars import BARS
from slackwater.views.errors import DefinitionError, UnknownViewError
from slackwater.views.registry import GROUP, VIEWS, registered, views_of

MODULE = """
from slackwater.streams.trades import TRADES
from slackwater.views.answers import Column
from slackwater.views.measures import Count
from slackwater.views.view import View

{name} = View(name="{name}", measures={{"n": Count()}}, answers={{"n": Column("n")}}, stream=TRADES)
SEVERAL = ({name},)
NOTHING = 3
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks into, with a module of a view."""
    (tmp_path / "desk_views.py").write_text(MODULE.format(name="desk"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_program_without_settings_runs_the_views_of_the_package() -> None:
    assert registered() == VIEWS
    assert [view.name for view in VIEWS] == ["bars", "flow", "sizes"]


@pytest.mark.parametrize("name", ["desk", "SEVERAL"])
def test_a_view_outside_the_package_is_named_by_a_setting(outside: Path, name: str) -> None:
    settings = from_environ({"SLACKWATER_VIEWS": f"desk_views:{name}"})
    views = registered(settings.views)
    assert [view.name for view in views] == [*(view.name for view in VIEWS), "desk"]
    assert views[-1].stream == BARS.stream


def test_a_view_of_another_distribution_is_found_by_its_entry_point(outside: Path) -> None:
    folder = outside / "desk-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: desk\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\ndesk = desk_views:SEVERAL\n")
    assert [view.name for view in registered()] == [*(view.name for view in VIEWS), "desk"]


def test_a_program_can_run_some_of_its_views_only(outside: Path) -> None:
    settings = from_environ({"SLACKWATER_VIEWS": "desk_views:desk", "SLACKWATER_ONLY_VIEWS": "desk, bars"})
    assert [view.name for view in views_of(settings)] == ["bars", "desk"]
    with pytest.raises(UnknownViewError, match="No view 'bar'"):
        registered(only=["bar"])
    with pytest.raises(SettingError, match="with commas between"):
        from_environ({"SLACKWATER_ONLY_VIEWS": "bars;flow"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("desk_views:MISSING", "There are no views 'desk_views:MISSING'"),
        ("no_such_module:VIEWS", "There are no views 'no_such_module:VIEWS'"),
        ("desk_views:NOTHING", "holds int, no views"),
    ],
)
def test_what_is_no_view_is_refused(outside: Path, text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        registered([text])


def test_two_views_of_one_name_are_refused(outside: Path) -> None:
    with pytest.raises(DefinitionError, match="Duplicate views"):
        registered(["desk_views:desk", "desk_views:SEVERAL"])
    (outside / "more_views.py").write_text(MODULE.format(name="bars"))
    with pytest.raises(DefinitionError, match="Duplicate views"):
        registered(["more_views:bars"])


def test_a_setting_that_names_no_object_is_refused() -> None:
    for text in ("desk_views", "desk_views:", ":x", "a b:c"):
        with pytest.raises(SettingError):
            from_environ({"SLACKWATER_VIEWS": text})
