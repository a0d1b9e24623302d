"""Gathers the pages of the documentation site, and builds it strictly into build/site. `make docs` runs it.

    docs/*.md, ARCHITECTURE.md, ...  ->  build/docs/         links between them rewritten, links out of them as text
    the service's OpenAPI document   ->  build/docs/http.md
    mkdocs.yml and NAV               ->  build/mkdocs.yml    ->  mkdocs build --strict  ->  build/site

A page that NAV does not name stands under Operations, so that none is lost. Run it with the Python of .venv; mkdocs has
an environment of its own, whose command is the only argument.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from docs.http_reference import page

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
LATER = "Operations"

TOP = {
    "README.md": "overview.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages at the top of the repository, and their names in the site."""

NAV: dict[str, list[str]] = {
    "Start": ["index.md", "quickstart.md", "overview.md"],
    "Concepts": ["concepts.md", "architecture.md"],
    "How-to guides": ["guides.md", "capture.md", "page.md", "serving.md", "streaming.md", "compose.md", "kafka.md"],
    "Reference": ["http.md", "client.md"],
    LATER: ["operations.md", "batch.md", "time.md", "corrections.md", "security.md", "metrics.md"],
    "Evidence": ["reliability.md", "lesson.md", "benchmarks.md"],
    "Project": ["contributing.md", "changelog.md"],
}

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def main() -> int:
    """Gather and build; the exit code of mkdocs."""
    mkdocs = Path(sys.argv[1]).absolute()
    pages = BUILD / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    gather(pages)
    (pages / "http.md").write_text(page(openapi()), encoding="utf-8")
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8") + yaml.safe_dump({"nav": navigation(pages)})
    (BUILD / "mkdocs.yml").write_text(config, encoding="utf-8")
    return subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--config-file", BUILD / "mkdocs.yml"],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    ).returncode


def gather(pages: Path) -> None:
    """Copy every page and picture."""
    pages.mkdir(parents=True)
    names = {ROOT / name: new for name, new in TOP.items()}
    names |= {path: path.name for path in (ROOT / "docs").iterdir() if path.suffix in {".md", ".svg", ".png"}}
    for path, name in names.items():
        if path.suffix == ".md":
            (pages / name).write_text(relinked(path, names), encoding="utf-8")
        else:
            shutil.copy(path, pages / name)


def relinked(path: Path, names: dict[Path, str]) -> str:
    """The text of a page whose links lead to pages of the site; those that lead elsewhere become text."""

    def link(match: re.Match[str]) -> str:
        picture, text, to, anchor = match.groups()
        name = names.get((path.parent / to).resolve())
        if name is None and to == "http.md":  # generated
            name = to
        return f"{picture}[{text}]({name}{anchor or ''})" if name else text

    return _LINK.sub(link, path.read_text(encoding="utf-8"))


def navigation(pages: Path) -> list[dict[str, list[str]]]:
    """NAV with what is there, and the pages that it does not name."""
    there = {path.name for path in pages.glob("*.md")}
    named = {name for group in NAV.values() for name in group}
    found = {title: [name for name in group if name in there] for title, group in NAV.items()}
    found[LATER] += sorted(there - named)
    return [{title: group} for title, group in found.items()]


def openapi() -> dict[str, Any]:
    """The document of the service, which needs no log for it."""
    from serving.http.app import create_app
    from slackwater.log.kafka_log import KafkaLog
    from slackwater.log.names import TopicNames
    from slackwater.versions.store import VersionStore

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(KafkaLog("127.0.0.1:1"), TopicNames("slackwater"), VersionStore(Path(folder)))
        try:
            return dict(app.openapi())
        finally:
            app.state.service.stop()


if __name__ == "__main__":
    sys.exit(main())
