"""docker-compose.yml: the Compose schema, its command lines, its health checks, and one system with `ops/`.

No container engine is needed, and none runs here. Each check is a function that names what is wrong; it is applied to
the file, where it finds nothing, and to a copy with a planted mistake, which it finds.
"""

import copy
import importlib.resources
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ops.broker_config import JAVA_OPTIONS, properties
from ops.health import CHECKS
from ops.services import services
from slackwater.core.settings import SETTINGS, from_environ

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
SETTINGS_TABLE = "\n\n".join(part for part in PAGE.split("\n\n") if part.startswith("| variable "))
PROGRAM = Path(sys.executable).with_name("slackwater")
DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
VARIABLES = VARIABLE.findall(TEXT)

Compose = dict[str, Any]

# Settings whose value in a container is not the default, and why.
OTHERWISE = {
    "SLACKWATER_HOME": ("/var/lib/slackwater", "the volume that the services share"),
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka:9092", "the broker is a service of the file; nothing starts one"),
    "PYTHONPATH": ("/run/kafka", "no setting: the module of KAFKA_SASL_TOKEN_PROVIDER is a file of deploy/kafka"),
    "SLACKWATER_HOST": ("0.0.0.0", "a container's loopback reaches nobody; `ports` publishes on the host's"),
    "SLACKWATER_ALLOWED_HOSTS": ("serving,intake", "the names by which the other containers know the services"),
    "SLACKWATER_INGEST_URL": ("http://intake:8001", "the service of another container"),
    "SLACKWATER_SPEED_METRICS_PORT": ("9101", "Prometheus is another container, and the port is not published"),
    "SLACKWATER_INGEST_METRICS_PORT": ("9102", "Prometheus is another container, and the port is not published"),
    "SLACKWATER_LOG_FORMAT": ("json", "a container's log is read by programs"),
    "SLACKWATER_PUBLISHED_HOST": (
        "127.0.0.1",
        "it is `ports` that says who reaches the service, and so who needs a key",
    ),
}

# Settings that a container is not given, and why. All others are: what stands in `.env` is never left out in silence.
NOT_GIVEN = {
    "KAFKA_SSL_KEY_PASSWORD": "`docker inspect` would show it; its file is given",
    "KAFKA_SASL_PASSWORD": "`docker inspect` would show it; its file is given",
    "SLACKWATER_BROKER_PORT": "no container starts a broker of its own",
    "SLACKWATER_DRAIN_SECONDS": "it asks for a longer `stop_grace_period`, which the same override sets",
    "SLACKWATER_TLS_CERT": "its file needs a volume, which the same override names",
    "SLACKWATER_TLS_KEY": "its file needs a volume, which the same override names",
    "SLACKWATER_CAPTURE_METRICS_PORT": "no service of the file captures; who adds one gives it",
    "SLACKWATER_FEED_URLS": "as above",
    "SLACKWATER_FEED_KEY_FILES": "as above; its files need a volume, too",
    "SLACKWATER_KEY_FILE": "commands show it to a service; no service reads it",
}

# Services that look on: images of others, in a profile of their own. tests/test_monitoring.py is about their files.
MONITORING = {"prometheus", "grafana"}

# Properties of the broker that cannot be the same in a container, and their value there.
BROKER_OTHERWISE = {
    "controller.quorum.voters": "1@localhost:9093",
    "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
    "advertised.listeners": "PLAINTEXT://kafka:9092",
    "log.dirs": "/var/lib/kafka/data",
}

# Variables of the image that are no properties: the options of its Java.
JAVA_VARIABLES = {"KAFKA_HEAP_OPTS", "KAFKA_OPTS"}


def fill(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with `${NAME:-default}` replaced in every text, after YAML is read, as Compose does."""
    if isinstance(value, dict):
        return {key: fill(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, environ) for item in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: environ.get(found[1]) or found[2], value)
    return value


def load(environ: Mapping[str, str]) -> Compose:
    """The file as Compose reads it under `environ`. Nothing in it is shared by way of YAML's anchors."""
    return fill(yaml.safe_load(TEXT), environ)


def own(compose: Compose) -> dict[str, Any]:
    """The services that are processes of this project: all but the broker and what looks on."""
    return {name: service for name, service in compose["services"].items() if name not in {"kafka", *MONITORING}}


def schema_problems(compose: Compose) -> list[str]:
    """What the schema of the Compose specification refuses."""
    schema = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)]


def reference_problems(compose: Compose) -> list[str]:
    """Volumes and services that are named and not there, or there and not named."""
    problems = []
    mounted = set()
    for name, service in compose["services"].items():
        mounted |= {volume.partition(":")[0] for volume in service.get("volumes", []) if volume[0] != "."}
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "topics" else "service_healthy"
            if other not in compose["services"] or how != {"condition": wanted}:
                problems.append(f"{name} depends on {other}: {how}")
    if mounted != set(compose["volumes"]):
        problems.append(f"volumes {sorted(mounted ^ set(compose['volumes']))}")
    return problems


def service_problems(compose: Compose, environ: Mapping[str, str]) -> list[str]:
    """Where the services differ from those that `ops/` starts under the same settings."""
    expected = {service.name: service for service in services(from_environ({**environ}))}
    found = own(compose)
    problems = [f"services {sorted(set(found) ^ {*expected, 'topics'})}"] if set(found) != {*expected, "topics"} else []
    if found["topics"]["command"] != ["topics", "create"]:
        problems.append("topics")
    for name in set(expected) & set(found):
        if found[name]["command"] != list(expected[name].arguments):
            problems.append(f"{name}: {found[name]['command']}, not {expected[name].arguments}")
        if found[name].get("profiles", []) != (["demo"] if expected[name].demo else []):
            problems.append(f"{name}: profiles {found[name].get('profiles')}")
    return problems


def setting_problems(compose: Compose) -> list[str]:
    """Variables that are no setting, and values that are neither the default nor listed with their reason."""
    problems = [f"${{{name}}} is no setting" for name, _ in VARIABLES if name not in DEFAULTS]
    right = {name: {default, OTHERWISE.get(name, (default,))[0]} for name, default in DEFAULTS.items()}
    problems += [f"${{{name}:-{given}}}" for name, given in VARIABLES if given not in right.get(name, {given})]
    environments = [service["environment"] for service in own(compose).values()]
    if any(environment != environments[0] for environment in environments):
        problems.append("the services have different settings")
    for name, value in environments[0].items():
        wanted = OTHERWISE.get(name, (DEFAULTS.get(name),))[0]
        if value != wanted:
            problems.append(f"{name} is {value!r}, not {wanted!r}")
    given = environments[0].keys()
    problems += [f"{name} is given and left out" for name in given & NOT_GIVEN.keys()]
    return problems + [f"{name} is not set" for name in {*DEFAULTS, *OTHERWISE} - given - NOT_GIVEN.keys()]


def broker_problems(compose: Compose) -> list[str]:
    """Where the broker's properties differ from those of `ops.broker_config`. Names as the image reads them."""
    environment = compose["services"]["kafka"]["environment"]
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name not in JAVA_VARIABLES
    }
    expected = {**properties(9092, 9093), **BROKER_OTHERWISE}
    names = sorted(set(found) | set(expected))
    problems = [f"{n}: {found.get(n)!r}, not {expected.get(n)!r}" for n in names if found.get(n) != expected.get(n)]
    options = {option for name in JAVA_VARIABLES for option in environment[name].split()}
    return problems + [f"Java's {option}" for option in options - set(JAVA_OPTIONS)]


def hardening_problems(compose: Compose) -> list[str]:
    """Services without a health check, a limit, or what keeps a process small; ports beyond loopback."""
    problems = []
    for name, service in compose["services"].items():
        if name != "topics" and not service.get("healthcheck", {}).get("test"):
            problems.append(f"{name} has no health check")
        wanted = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "init": True}
        if name != "kafka":
            wanted["read_only"] = True
        problems += [f"{name}: {key}" for key, value in wanted.items() if service.get(key) != value]
        problems += [f"{name}: {key}" for key in ("mem_limit", "pids_limit", "stop_grace_period") if key not in service]
        restart = "no" if name == "topics" else "unless-stopped"
        if service.get("restart") != restart:
            problems.append(f"{name}: restart")
        problems += [f"{name}: {port}" for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    for name in CHECKS:
        if compose["services"][name]["healthcheck"]["test"] != ["CMD", "python", "-m", "ops.health", name]:
            problems.append(f"{name}: another health check")
    return problems


def all_problems(compose: Compose) -> list[str]:
    """What every check finds."""
    return [
        *schema_problems(compose),
        *reference_problems(compose),
        *service_problems(compose, {}),
        *setting_problems(compose),
        *broker_problems(compose),
        *hardening_problems(compose),
    ]


def test_the_file_passes_every_check() -> None:
    assert all_problems(load({})) == []


def test_the_services_follow_the_settings() -> None:
    environ = {"SLACKWATER_BATCH_SECONDS": "77", "SLACKWATER_PREFIX": "other", "SLACKWATER_PARTITIONS": "16"}
    compose = load(environ)
    assert service_problems(compose, environ) == []
    assert "77" in compose["services"]["batch"]["command"]
    for service in own(compose).values():
        assert environ.items() <= service["environment"].items()


def test_every_service_has_what_the_environment_says_of_a_setting() -> None:
    own_tests = {
        "SLACKWATER_PORT",
        "SLACKWATER_INGEST_PORT",
        "KAFKA_BOOTSTRAP_SERVERS",
    }  # below: those are published, the other has a default
    for setting in SETTINGS:
        if setting.name not in {*NOT_GIVEN, *OTHERWISE, *own_tests}:
            for service in own(load({setting.name: "as .env says"})).values():
                assert service["environment"][setting.name] == "as .env says", setting.name


def test_the_documentation_names_every_setting_that_a_container_is_given_and_those_that_it_is_not() -> None:
    for name in DEFAULTS.keys() - {*OTHERWISE, *NOT_GIVEN}:
        assert f"`{name}`" in SETTINGS_TABLE or name.startswith("KAFKA_"), name
    for name in NOT_GIVEN:
        assert f"`{name}`" in PAGE.replace(SETTINGS_TABLE, ""), name


def test_the_service_is_published_where_the_settings_say() -> None:
    ports = load({"SLACKWATER_HOST": "192.0.2.1", "SLACKWATER_PORT": "9000"})["services"]["serving"]["ports"]
    assert ports == ["192.0.2.1:9000:8000"]


def test_every_service_is_told_of_another_cluster_and_no_secret_stands_in_its_environment() -> None:
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:9096",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": "desk",
        "KAFKA_SASL_PASSWORD": "shown by docker inspect",
        "KAFKA_SASL_PASSWORD_FILE": __file__,
    }
    wanted = {setting.name for setting in SETTINGS if setting.name.startswith("KAFKA_") and not setting.secret}
    for service in own(load(environ)).values():
        found = {name: value for name, value in service["environment"].items() if name.startswith("KAFKA_")}
        assert found.keys() == wanted
        assert "shown by docker inspect" not in found.values()
        assert from_environ(found).kafka.named == "SASL_SSL, SCRAM-SHA-512, user 'desk'"
        assert "./deploy/kafka:/run/kafka:ro" in service["volumes"]


@pytest.mark.parametrize(
    ("host", "required"), [("", False), ("127.0.0.1", False), ("192.0.2.1", True), ("0.0.0.0", True)]
)
def test_a_service_that_is_published_beyond_loopback_asks_for_a_key(host: str, required: bool) -> None:
    found = from_environ(load({"SLACKWATER_HOST": host})["services"]["serving"]["environment"])
    assert found.keys_required is required


def test_the_service_listens_on_its_port_whatever_is_published() -> None:
    assert load({})["services"]["serving"]["environment"]["SLACKWATER_PORT"] == "8000"


def test_the_images_are_named_by_a_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    kafka = re.search(r":kafka-server:(\S+) ", (ROOT / "ops" / "kafka.lock").read_text(encoding="utf-8"))
    compose = load({})
    assert {service["image"] for service in own(compose).values()} == {f"slackwater:{version[1]}"}
    assert kafka is not None
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{kafka[1]}"


def _services(compose: Compose) -> Any:
    return compose["services"]


PLANTED: dict[str, tuple[Callable[[Compose], object], str]] = {
    "an unknown key": (lambda c: _services(c)["speed"].update(restarts="always"), "'restarts' was unexpected"),
    "a wrong type": (lambda c: _services(c)["speed"].update(mem_limit=[]), "is not of type"),
    "no such volume": (lambda c: c["volumes"].pop("home"), "volumes ['home']"),
    "no such service": (lambda c: _services(c)["speed"]["depends_on"].update(topic={}), "speed depends on topic"),
    "a service more": (lambda c: _services(c).update(more=copy.deepcopy(_services(c)["speed"])), "services ['more']"),
    "another argument": (lambda c: _services(c)["batch"]["command"].append("--json"), "batch: ["),
    "another profile": (lambda c: _services(c)["ingest"].pop("profiles"), "ingest: profiles None"),
    "an unknown setting": (lambda c: _services(c)["topics"]["environment"].update(SLACKWATER_HOUSE="/"), "HOUSE is"),
    "another default": (lambda c: _services(c)["topics"]["environment"].update(SLACKWATER_PORT="80"), "PORT is '80'"),
    "a setting less": (
        lambda c: [s["environment"].pop("SLACKWATER_REPLICATION") for s in own(c).values()],
        "is not set",
    ),
    "a secret in sight": (
        lambda c: [s["environment"].update(KAFKA_SASL_PASSWORD="") for s in own(c).values()],
        "KAFKA_SASL_PASSWORD is given and left out",
    ),
    "its own settings": (
        lambda c: _services(c)["speed"].update(environment={}),
        "the services have different settings",
    ),
    "a broker that forgets": (
        lambda c: _services(c)["kafka"]["environment"].update(KAFKA_LOG_RETENTION_MS="604800000"),
        "log.retention.ms: '604800000', not '-1'",
    ),
    "a property less": (
        lambda c: _services(c)["kafka"]["environment"].pop("KAFKA_AUTO_CREATE_TOPICS_ENABLE"),
        "auto.create.topics.enable: None, not 'false'",
    ),
    "another heap": (
        lambda c: _services(c)["kafka"]["environment"].update(KAFKA_HEAP_OPTS="-Xmx4g"),
        "Java's -Xmx4g",
    ),
    "no health check": (lambda c: _services(c)["kafka"].pop("healthcheck"), "kafka has no health check"),
    "an open port": (lambda c: _services(c)["serving"].update(ports=["8000:8000"]), "serving: 8000:8000"),
    "a writable root": (lambda c: _services(c)["serving"].update(read_only=False), "serving: read_only"),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_found(mistake: str) -> None:
    plant, expected = PLANTED[mistake]
    compose = load({})
    plant(compose)
    assert [problem for problem in all_problems(compose) if expected in problem], all_problems(compose)


@pytest.mark.parametrize("name", sorted(own(load({}))))
def test_every_command_line_is_one_of_the_program(name: str) -> None:
    command = [str(PROGRAM), *own(load({}))[name]["command"], "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"Usage: slackwater {own(load({}))[name]['command'][0]}")


def test_a_command_line_that_the_program_refuses_is_found() -> None:
    command = [str(PROGRAM), "batch", "runs", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode != 0
