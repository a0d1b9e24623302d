"""TLS and SASL settings: contradictions are refused at the start, secrets show themselves nowhere.

Not here: a broker that asks for them (`test_secure_broker.py`).
"""

import logging
import os
import pickle
import subprocess
import sys
from contextlib import closing
from os import EX_TEMPFAIL
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka.net.sasl.oauth import AbstractTokenProvider

from ops.cli import main
from ops.services import to_environ
from slackwater.core.errors import SettingError
from slackwater.core.kafka_security import PLAIN_TEXT
from slackwater.core.secret import Secret
from slackwater.core.settings import SETTINGS, from_environ
from slackwater.log.errors import LogError
from slackwater.log.kafka_client import client_arguments
from slackwater.log.kafka_log import KafkaLog
from tests.serving_world import World, cut_in_a_minute

HIDDEN = "do-not-show-me"
SERVERS = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:9096"}
SASL = {
    **SERVERS,
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "desk",
    "KAFKA_SASL_PASSWORD": HIDDEN,
}
TOKENS = {**SERVERS, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}


def without(environ: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(SettingError) as caught:
        from_environ(environ)
    assert HIDDEN not in str(caught.value)
    return str(caught.value)


def test_without_settings_nothing_is_asked_for() -> None:
    assert from_environ({}).kafka == PLAIN_TEXT
    assert client_arguments(PLAIN_TEXT) == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({**SERVERS, "KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL is 'TLS'"),
        ({**SERVERS, "KAFKA_SSL_CAFILE": __file__}, "KAFKA_SSL_CAFILE is set and KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({**SERVERS, "KAFKA_SSL_CHECK_HOSTNAME": "0"}, "KAFKA_SSL_CHECK_HOSTNAME is set"),
        ({**SERVERS, "KAFKA_SSL_CHECK_HOSTNAME": "no"}, "KAFKA_SSL_CHECK_HOSTNAME is 'no'"),
        ({**SASL, "KAFKA_SSL_CAFILE": "/no/such.pem"}, "There is no such file"),
        ({**SASL, "KAFKA_SSL_KEYFILE": __file__}, "KAFKA_SSL_CERTFILE is not"),
        ({**SASL, "KAFKA_SSL_KEY_PASSWORD": HIDDEN}, "KAFKA_SSL_CERTFILE is not"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SASL_MECHANISM is set and KAFKA_SECURITY_PROTOCOL is SSL"),
        ({**SERVERS, "KAFKA_SASL_PASSWORD": HIDDEN}, "KAFKA_SASL_PASSWORD is set"),
        ({**SASL, "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM is 'GSSAPI'"),
        (without(SASL, "KAFKA_SASL_MECHANISM"), "KAFKA_SASL_MECHANISM is ''"),
        (without(SASL, "KAFKA_SASL_USERNAME"), "KAFKA_SASL_USERNAME is not set"),
        (without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD is not set"),
        ({**SASL, "KAFKA_SASL_PASSWORD_FILE": __file__}, "are both set"),
        ({**SASL, "KAFKA_SASL_TOKEN_PROVIDER": "a:b"}, "KAFKA_SASL_TOKEN_PROVIDER is set"),
        (TOKENS, "KAFKA_SASL_TOKEN_PROVIDER is not set"),
        ({**TOKENS, "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "AWS_MSK_IAM"),
        ({**TOKENS, "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_SASL_USERNAME": "u"}, "KAFKA_SASL_USERNAME is set"),
        (without(SASL, "KAFKA_BOOTSTRAP_SERVERS"), "KAFKA_BOOTSTRAP_SERVERS is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_name(environ: dict[str, str], named: str) -> None:
    assert named in refused(environ)


@pytest.mark.parametrize(("held", "why"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8")])
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, held: bytes, why: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(held)
    assert why in refused({**without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD_FILE": str(file)})


def test_a_secret_is_in_no_text_and_in_no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_environ(SASL)
    log = KafkaLog(settings.servers, settings.kafka)
    for text in (repr(settings), str(settings.kafka), settings.kafka.named, f"{settings.kafka.password}", repr(log)):
        assert HIDDEN not in text
    kept = pickle.dumps(log)
    assert HIDDEN.encode() not in kept
    monkeypatch.delenv("KAFKA_SASL_PASSWORD", raising=False)
    opened = pickle.loads(kept)
    with pytest.raises(SettingError, match="KAFKA_SASL_PASSWORD is not set in this process' environment"):
        opened.bounds("t")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "of-the-worker")
    assert pickle.loads(kept).security.password.text() == "of-the-worker"


def test_a_secret_of_a_file_may_change_while_a_process_runs(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{HIDDEN}\n", encoding="utf-8")
    settings = from_environ({**without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD_FILE": str(file)})
    assert client_arguments(settings.kafka)["sasl_plain_password"] == HIDDEN
    file.write_text("another", encoding="utf-8")
    assert client_arguments(settings.kafka)["sasl_plain_password"] == "another"
    assert "another" not in str(to_environ(settings))


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(HIDDEN, encoding="utf-8")
    by_file = {**without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD_FILE": str(file)}
    more = {"KAFKA_SSL_CAFILE": __file__, "KAFKA_SSL_CHECK_HOSTNAME": "0"}
    for environ in (SASL, by_file, {**SASL, **more}, {**TOKENS, "KAFKA_SASL_TOKEN_PROVIDER": "a.b:c"}):
        settings = from_environ(environ)
        assert from_environ(to_environ(settings)) == settings


def test_a_secret_is_no_option_and_no_value_of_the_help() -> None:
    shown = CliRunner().invoke(main, ["--help"], env=SASL).output
    assert HIDDEN not in shown
    for setting in SETTINGS:
        if setting.secret:
            flag = "--" + setting.name.removeprefix("KAFKA_").lower().replace("_", "-")
            assert CliRunner().invoke(main, [flag, "x", "topics", "list"]).exit_code == 2, flag


def test_no_error_and_no_log_of_a_failing_start_holds_the_secret() -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SLACKWATER_"))} | SASL
    environ["KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    for words in (["topics", "list"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "ops", *words],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode
        assert HIDDEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("os:no_such_name", "no_such_name"),
        ("os:sep", "cannot be called"),
        ("os", "module:callable"),
    ],
)
def test_a_provider_of_tokens_that_is_not_there_is_refused(provider: str, why: str) -> None:
    settings = from_environ({**TOKENS, "KAFKA_SASL_TOKEN_PROVIDER": provider})
    with pytest.raises(SettingError, match="KAFKA_SASL_TOKEN_PROVIDER") as caught:
        client_arguments(settings.kafka)
    assert why in str(caught.value)


def broken_provider() -> str:
    raise RuntimeError(f"the secret {HIDDEN} is wrong")


def no_text() -> bytes:
    return b"bytes"


@pytest.mark.parametrize(("name", "why"), [("broken_provider", "RuntimeError"), ("no_text", "gave bytes")])
def test_a_provider_that_gives_no_token_is_named_and_its_words_are_not_repeated(name: str, why: str) -> None:
    settings = from_environ({**TOKENS, "KAFKA_SASL_TOKEN_PROVIDER": f"{__name__}:{name}"})
    with pytest.raises(SettingError, match=why) as caught:
        client_arguments(settings.kafka)["sasl_oauth_token_provider"].token()
    assert HIDDEN not in str(caught.value)


class BrokenProvider(AbstractTokenProvider):
    def __init__(self) -> None:
        raise OSError(f"the secret {HIDDEN} is not there yet")

    def token(self) -> str:
        return ""


def test_what_fails_for_a_moment_is_an_error_of_the_log_and_another_try_may_do(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(HIDDEN, encoding="utf-8")
    by_file = from_environ({**without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD_FILE": str(file)})
    file.write_text("", encoding="utf-8")
    by_class = from_environ({**TOKENS, "KAFKA_SASL_TOKEN_PROVIDER": f"{__name__}:BrokenProvider"})
    for settings, why in ((by_file, "is empty"), (by_class, "gave no token: it raised OSError")):
        with pytest.raises(LogError, match=why) as caught:
            KafkaLog(settings.servers, settings.kafka).bounds("any")
        assert caught.value.retriable
        assert caught.value.exit_code == EX_TEMPFAIL
        assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize("lacks", ["its secret", "its provider"])
def test_a_service_whose_credentials_cannot_be_had_answers_from_the_batch_view(tmp_path: Path, lacks: str) -> None:
    file = tmp_path / "password"
    file.write_text(HIDDEN, encoding="utf-8")
    settings = from_environ(
        {**without(SASL, "KAFKA_SASL_PASSWORD"), "KAFKA_SASL_PASSWORD_FILE": str(file)}
        if lacks == "its secret"
        else {**TOKENS, "KAFKA_SASL_TOKEN_PROVIDER": "no_such_module:token"}
    )
    file.unlink()
    with closing(World(tmp_path / "home")) as world:
        cut_in_a_minute(world)
        world.log = KafkaLog(settings.servers, settings.kafka)  # type: ignore[assignment]
        world.serve()
        world.service.watch.step()
        assert world.bars("symbol=BTC")["bars"]
        assert "KAFKA_SASL_" in world.get("/health/ready").text


def test_the_speed_layer_ends_where_its_provider_of_tokens_is_not_there(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SLACKWATER_"))} | TOKENS
    environ |= {"KAFKA_SASL_TOKEN_PROVIDER": "no_such_module:token", "SLACKWATER_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "speed_layer"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 1
    assert "No module named 'no_such_module'" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_are_no_certificates_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "no.pem"
    file.write_text("no certificate", encoding="utf-8")
    for name in ("KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE"):
        settings = from_environ({**SERVERS, "KAFKA_SECURITY_PROTOCOL": "SSL", name: str(file)})
        with pytest.raises(SettingError, match=name):
            client_arguments(settings.kafka)


def test_the_client_is_heard_from_errors_on_so_that_no_request_is_ever_logged() -> None:
    assert Secret("KAFKA_SASL_PASSWORD", "", HIDDEN) != Secret("KAFKA_SASL_PASSWORD", "", "other")
    code = "from slackwater.core.logs import set_up_logging; import logging; set_up_logging('text', logging.DEBUG); "
    code += "print(logging.getLogger('kafka.net.connection').getEffectiveLevel())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) >= logging.WARNING
