"""The documentation site: its quick start runs, no page is lost, links lead somewhere, and the reference is whole.

`make docs` builds it strictly; that needs an environment of its own and is not done here.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs import build, http_reference
from serving.http.openapi import HEADERS, responses
from tests.live_service import LiveService
from tests.serving_world import World

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gathered pages."""
    found = tmp_path_factory.mktemp("site") / "docs"
    build.gather(found)
    (found / "http.md").write_text(http_reference.page(build.openapi()), encoding="utf-8")
    return found


@pytest.fixture
def market(tmp_path: Path) -> Iterator[LiveService]:
    """A service with an hour of trades of what the quick start asks for."""
    world = World(tmp_path)
    for i in range(120):
        world.trade("BTCUSDT", 30 * i, f"{61_000 + i}.5", venue="binance_spot", side="buy" if i % 3 else "sell")
    cut = world.mark("run-1")
    world.trade("BTCUSDT", 3_610, "61111", venue="binance_spot")
    world.emit()
    world.publish(cut, "run-1")
    world.step()
    with LiveService(world) as service:
        yield service
    world.close()


def test_the_quick_start_runs(market: LiveService, tmp_path: Path) -> None:
    """As a notebook would: the blocks in their order, in one namespace, in a process of its own."""
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    program = tmp_path / "quickstart.py"
    program.write_text("\n".join(blocks).replace("http://127.0.0.1:8000", market.url), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for shown in ("binance_spot BTCUSDT base", "61111", "unknown-instrument", "{'interval': ", "equal"):
        assert shown in done.stdout, done.stdout


def test_every_page_stands_in_the_navigation_once(pages: Path) -> None:
    listed = [name for group in build.navigation(pages) for names in group.values() for name in names]
    assert sorted(listed) == sorted(path.name for path in pages.glob("*.md"))
    assert {"http.md", "quickstart.md", "architecture.md", "operations.md"} <= set(listed)


def test_every_link_between_pages_leads_somewhere(pages: Path) -> None:
    followed = 0
    for path in pages.glob("*.md"):
        for to in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert (pages / to).is_file(), (path.name, to)
            followed += 1
    assert followed > 30


def test_the_http_reference_names_every_route_parameter_header_and_problem() -> None:
    document = build.openapi()
    page = http_reference.page(document)
    for path, methods in document["paths"].items():
        for method, facts in methods.items():
            assert f"### {method.upper()} {path} " in page
            section = page.partition(f"### {method.upper()} {path} ")[2].partition("\n### ")[0]
            for parameter in facts.get("parameters", ()):
                assert f"`{parameter['name']}`" in section, (path, parameter["name"])
    for response in responses().values():
        for content in response["content"].values():
            for kind in content["examples"]:
                assert f"`{kind}`" in page
    for name in HEADERS:
        assert f"| `{name}` |" in page


def test_the_site_asks_no_other_host() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"#.*", "", text)
    assert yaml.safe_load(text)["theme"]["font"] is False
    assert not re.search(r"https?:|--index|file:", (ROOT / "docs" / "requirements.lock").read_text(encoding="utf-8"))
