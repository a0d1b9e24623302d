"""A secret by where it stands: it shows itself in no text, and no pickle holds it.

    KAFKA_SASL_PASSWORD_FILE=/run/secrets/kafka    the file, read whenever the secret is used, so that it may change
    KAFKA_SASL_PASSWORD=...                        the environment of the process that uses it

A pickle (Beam makes them) holds the name and no value: where it is opened, that process' own environment is asked.
Not here: API keys of the REST service, of which only a hash is kept (`slackwater.keys.keys`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slackwater.core.errors import SettingError


@dataclass(frozen=True)
class Secret:
    """The secret of the setting `name`; from `file` where that is not empty."""

    name: str
    file: str = ""
    _held: str = field(default="", repr=False)

    def text(self) -> str:
        """The secret.

        Raises:
            SettingError: the file cannot be read or is empty, or this process' environment does not hold it.
        """
        if not self.file:
            if not self._held:
                raise SettingError(f"{self.name} is not set in this process' environment.", "Set it, or its file.")
            return self._held
        where = f"{self.name}_FILE is {self.file!r}"
        try:
            found = Path(self.file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise SettingError(f"{where} and cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError:
            raise SettingError(f"{where} and is not UTF-8.") from None  # the cause would show its bytes
        if not found:
            raise SettingError(f"{where} and is empty.")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _where_it_is_opened, (self.name, self.file)


def secret_of(values: Mapping[str, str], name: str) -> Secret | None:
    """The secret that the settings `name` or `name`_FILE give; None where neither is set.

    Raises:
        SettingError: both are set, or the file gives none.
    """
    value, file = values[name], values[f"{name}_FILE"]
    if value and file:
        raise SettingError(f"{name} and {name}_FILE are both set.", "Keep one.")
    if not value and not file:
        return None
    found = Secret(name, file and str(Path(file).expanduser().absolute()), value)
    found.text()
    return found


def _where_it_is_opened(name: str, file: str) -> Secret:
    return Secret(name, file, "" if file else os.environ.get(name, ""))
