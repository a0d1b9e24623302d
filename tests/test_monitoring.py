"""Dashboard, alerts and what provisions them: every figure that they name exists, every alert has its runbook.

No Prometheus and no Grafana is needed, and none runs here; `promtool` checks and tests the rules where it is there.
Each check is a function that names what is wrong; it finds nothing in the files, and what is planted in a copy.
"""

import copy
import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_compose import MONITORING, load
from tests.test_metrics import ROW

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
ALERTS_TEST = yaml.safe_load((DEPLOY / "prometheus" / "alerts_test.yml").read_text(encoding="utf-8"))
SCRAPES = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
BOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "slackwater.json").read_text(encoding="utf-8"))
PROVISIONING = DEPLOY / "grafana" / "provisioning"
DATASOURCE = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
PROVIDER = yaml.safe_load((PROVISIONING / "dashboards" / "slackwater.yml").read_text(encoding="utf-8"))
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

METRICS = {
    name: (kind, frozenset(re.findall("`([a-z_]+)`", labels)))
    for name, kind, labels in ROW.findall((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
}
"""What the processes expose; tests/test_metrics.py holds the page to that."""

PROMETHEUS = {
    "up": ("gauge", frozenset[str]()),
    "ALERTS": ("gauge", frozenset({"alertname", "alertstate"})),
}
SCRAPED = frozenset({"instance", "job"})
UNITS = {"bool_yes_no", "none", "short", "s", "cps", "reqps", "percentunit", "bytes"}
DURATION = re.compile(r"[1-9][0-9]*[smhd]")

_SELECTOR = re.compile(r"\b((?:slackwater|process|python)_[a-z_]+|up|ALERTS)\b(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def expression_problems(text: str) -> list[str]:
    """Metrics and labels in a PromQL expression that nothing exposes, and what a counter or a gauge is not for."""
    problems, known = [], set(SCRAPED)
    bare = re.sub(r'"[^"]*"', '""', text)
    for name, given in _SELECTOR.findall(_GROUPED.sub("", bare)):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kind, labels = PROMETHEUS.get(name) or METRICS.get(name) or METRICS.get(base) or ("", frozenset())
        if not kind or (base != name and name not in METRICS and kind != "histogram"):
            problems.append(f"{name} is not exposed")
            continue
        if kind == "histogram" and base == name:
            problems.append(f"{name} is a histogram: name its _bucket, _sum or _count")
        if kind == "counter" and not re.search(rf"(rate|increase)\({name}\b", text):
            problems.append(f"{name} is a counter without rate or increase")
        if kind == "gauge" and re.search(rf"\b(rate|increase)\({name}\b", text) and not name.endswith("_offset"):
            problems.append(f"{name} is a gauge with a rate")
        known |= labels | ({"le"} if kind == "histogram" else set())
        used = re.findall(r"([a-zA-Z_]+)\s*(?:=~|!~|!=|=)", given)
        problems += [f"{name} has no label {label}" for label in used if label not in labels | SCRAPED]
    for names in _GROUPED.findall(text):
        problems += [f"by {name.strip()}" for name in names.split(",") if name.strip() not in known]
    return problems if text.count("(") == text.count(")") else [*problems, "parentheses"]


def alert_problems(alerts: Any) -> list[str]:
    """What is wrong with the rules."""
    problems, seen = [], set()
    if set(alerts) != {"groups"}:
        problems.append("more than groups")
    for group in alerts["groups"]:
        if set(group) - {"interval"} != {"name", "rules"}:
            problems.append(f"group {group.get('name')}")
        for rule in group["rules"]:
            name = rule.get("alert", "")
            problems += [f"{name}: {problem}" for problem in expression_problems(rule["expr"])]
            if set(rule) - {"for"} != {"alert", "expr", "labels", "annotations"}:
                problems.append(f"{name}: keys {sorted(rule)}")
            if not DURATION.fullmatch(rule.get("for", "1m")):
                problems.append(f"{name}: for")
            if name in seen or not re.fullmatch("Slackwater[A-Z][A-Za-z]+", name):
                problems.append(f"{name}: its name")
            seen.add(name)
            if rule["labels"].get("severity") not in {"critical", "warning"}:
                problems.append(f"{name}: severity")
            if set(rule["annotations"]) != {"summary", "description", "runbook"}:
                problems.append(f"{name}: annotations")
            if rule["annotations"].get("runbook") != f"docs/operations.md#{name.lower()}":
                problems.append(f"{name}: its runbook is elsewhere")
            if f"\n### {name}\n" not in RUNBOOK:
                problems.append(f"{name}: no entry in the runbook")
            tested = [case for test in ALERTS_TEST["tests"] for case in test["alert_rule_test"]]
            fired = [alert for case in tested if case["alertname"] == name for alert in case["exp_alerts"]]
            if not fired:
                problems.append(f"{name}: no test sees it fire")
            for key, text in rule["annotations"].items():
                pattern = ".*".join(map(re.escape, re.split(r"\{\{.*?\}\}", text)))
                if not all(re.fullmatch(pattern, alert["exp_annotations"][key]) for alert in fired):
                    problems.append(f"{name}: its test expects another {key}")
    headings = re.findall(r"^### (Slackwater\w+)$", RUNBOOK, re.MULTILINE)
    return problems + [f"{name}: in the runbook alone" for name in headings if name not in seen]


def board_problems(board: Any) -> list[str]:
    """What is wrong with the dashboard."""
    uid = DATASOURCE["datasources"][0]["uid"]
    problems: list[str] = []
    for one in board["annotations"]["list"]:
        problems += [f"annotation {one['name']}: {problem}" for problem in expression_problems(one["expr"])]
    ids: set[int] = set()
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        title, at = panel["title"], panel["gridPos"]
        if panel["id"] in ids:
            problems.append(f"{title}: id {panel['id']} twice")
        ids.add(panel["id"])
        cells = [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        under = {taken.setdefault(cell, title) if cell[0] < 24 else "the edge" for cell in cells} - {title}
        problems += [f"{title}: lies on {other}" for other in under]
        if panel["type"] == "row":
            continue
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            problems.append(f"{title}: unit {panel['fieldConfig']['defaults'].get('unit')}")
        if not panel.get("description") or not panel["targets"]:
            problems.append(f"{title}: no description, or no target")
        if len({target["refId"] for target in panel["targets"]}) != len(panel["targets"]):
            problems.append(f"{title}: refId")
        found = [each["datasource"] for each in (panel, *panel["targets"])]
        problems += [f"{title}: datasource {it}" for it in found if it != {"type": "prometheus", "uid": uid}]
        for target in panel["targets"]:
            variables = {name for name in re.findall(r"\$(\w+)", target["expr"]) if name not in _variables(board)}
            problems += [f"{title}: ${name}" for name in variables]
            problems += [f"{title}: {problem}" for problem in expression_problems(target["expr"])]
    return list(dict.fromkeys(problems))


def _variables(board: Any) -> set[str]:
    return {variable["name"] for variable in board["templating"]["list"]}


def files_problems(compose: Any) -> list[str]:
    """Where the files that are provisioned, and the services that read them, do not meet."""
    problems = []
    services = compose["services"]
    for name in MONITORING:
        if services[name].get("profiles") != ["monitoring"]:
            problems.append(f"{name}: profiles")
        if not re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", services[name]["image"]):
            problems.append(f"{name}: {services[name]['image']} is no exact version")
        for volume in services[name]["volumes"]:
            source, _, *mode = volume.split(":")
            if source.startswith(".") and (mode != ["ro"] or not (ROOT / source).is_dir()):
                problems.append(f"{name}: {volume}")
    targets = {t for scrape in SCRAPES["scrape_configs"] for one in scrape["static_configs"] for t in one["targets"]}
    environment = services["speed"]["environment"]
    ports = {
        "serving": environment["SLACKWATER_PORT"],
        "speed": environment["SLACKWATER_SPEED_METRICS_PORT"],
        "intake": environment["SLACKWATER_INGEST_PORT"],
    }
    if targets != {f"{name}:{port}" for name, port in ports.items()}:
        problems.append(f"scraped are {sorted(targets)}")
    jobs = {scrape["job_name"] for scrape in SCRAPES["scrape_configs"]}
    named = set(re.findall(r"slackwater-[a-z]+", " ".join(r["expr"] for g in ALERTS["groups"] for r in g["rules"])))
    problems += [f"no job {job}" for job in named - jobs]
    folder = PROVIDER["providers"][0]["options"]["path"]
    if f"./deploy/grafana/dashboards:{folder}:ro" not in services["grafana"]["volumes"]:
        problems.append(f"no dashboards at {folder}")
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    if not (DEPLOY / "grafana" / "dashboards" / Path(home).name).is_file() or str(Path(home).parent) != folder:
        problems.append(f"no home at {home}")
    if DATASOURCE["datasources"][0]["url"] != "http://prometheus:9090":
        problems.append("the datasource is elsewhere")
    return problems


def test_the_rules_the_dashboard_and_the_files_pass_every_check() -> None:
    assert alert_problems(ALERTS) == []
    assert board_problems(BOARD) == []
    assert files_problems(load({})) == []


def _rule(alerts: Any) -> Any:
    return alerts["groups"][0]["rules"][0]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda a: _rule(a).update(expr="slackwater_handof == 1"), "slackwater_handof is not exposed"),
        (lambda a: _rule(a).update(expr='slackwater_ready{route="/"} == 1'), "slackwater_ready has no label route"),
        (lambda a: _rule(a).update(expr="slackwater_deltas_total > 1"), "counter without rate"),
        (lambda a: _rule(a).update(expr="rate(slackwater_version[1m]) > 1"), "gauge with a rate"),
        (lambda a: _rule(a).update(expr="slackwater_request_seconds > 1"), "is a histogram"),
        (lambda a: _rule(a).update(expr="slackwater_version_bucket > 1"), "slackwater_version_bucket is not exposed"),
        (lambda a: _rule(a).update(expr="sum by (symbol) (slackwater_ready) < 1"), "by symbol"),
        (lambda a: _rule(a).update(expr="(slackwater_ready == 0"), "parentheses"),
        (lambda a: _rule(a).update(alert="SlackwaterNew"), "SlackwaterNew: no entry in the runbook"),
        (lambda a: _rule(a).update({"for": "soon"}), ": for"),
        (lambda a: _rule(a).update(unless="x"), ": keys"),
        (lambda a: _rule(a)["labels"].update(severity="page"), ": severity"),
        (lambda a: _rule(a)["annotations"].update(description="Other."), "expects another description"),
        (lambda a: a["groups"][0]["rules"].pop(0), "in the runbook alone"),
    ],
)
def test_a_mistake_in_the_rules_is_found(plant: Callable[[Any], object], said: str) -> None:
    alerts = copy.deepcopy(ALERTS)
    plant(alerts)
    assert [problem for problem in alert_problems(alerts) if said in problem], alert_problems(alerts)


def _panel(board: Any) -> Any:
    return next(panel for panel in board["panels"] if panel["type"] != "row")


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda b: _panel(b)["fieldConfig"]["defaults"].pop("unit"), "unit None"),
        (lambda b: _panel(b)["targets"][0].update(expr="slackwater_redy"), "slackwater_redy is not exposed"),
        (lambda b: _panel(b)["targets"][0].update(expr='slackwater_ready{instance="$host"}'), "$host"),
        (lambda b: _panel(b)["datasource"].update(uid="other"), "datasource"),
        (lambda b: _panel(b)["gridPos"].update(x=23), "lies on"),
        (lambda b: _panel(b).update(id=1), "id 1 twice"),
    ],
)
def test_a_mistake_in_the_dashboard_is_found(plant: Callable[[Any], object], said: str) -> None:
    board = copy.deepcopy(BOARD)
    plant(board)
    assert [problem for problem in board_problems(board) if said in problem], board_problems(board)


@pytest.fixture(scope="module")
def promtool() -> Iterator[str]:
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not here (Debian: apt-get install prometheus): the alert rules were not run"
        warnings.warn(pytest.PytestWarning(reason), stacklevel=1)
        pytest.skip(reason)
    yield found


@pytest.mark.filterwarnings("default:promtool is not here")
@pytest.mark.parametrize("words", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool_finds_no_mistake_and_every_alert_fires_when_it_should(promtool: str, words: tuple[str, ...]) -> None:
    run = subprocess.run([promtool, *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "SUCCESS" in run.stdout + run.stderr, run.stdout + run.stderr
