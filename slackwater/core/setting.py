"""One row of the table of settings, and how it is a field of a frozen dataclass (`slackwater.core.settings`)."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from slackwater.core.errors import SettingError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Setting:
    """One setting: its environment variable, default (as text), unit and help; a secret one is no option.

    `read` makes the value of the text, or raises ValueError that says what to use.
    """

    name: str
    default: str
    unit: str
    help: str
    read: Callable[[str], Any]
    secret: bool = False

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + self.name.removeprefix("SLACKWATER_").removeprefix("KAFKA_").lower().replace("_", "-")

    def value(self, given: str) -> Any:
        """The value of a text.

        Raises:
            SettingError: it is none.
        """
        try:
            return self.read(given)
        except ValueError as error:
            shown = "a secret that cannot be used" if self.secret else repr(given)
            raise SettingError(f"{self.name} is {shown}.", str(error)) from error


def setting(default: str, unit: str, text: str, read: Callable[[str], _T], secret: bool = False, name: str = "") -> _T:
    """A field of a frozen dataclass which is a row of the table; `text` is its help.

    Its variable is `name`, or the field's own in capitals, behind SLACKWATER_ unless it begins with kafka_.
    """
    row = Setting(name, default, unit, text, read, secret)
    made: Any = field(default_factory=lambda: row.value(default), repr=not secret, metadata={"setting": row})
    return cast(_T, made)


def rows_of(settings: type[Any]) -> dict[str, Setting]:
    """Field -> its row of the table."""
    found = {}
    for each in fields(settings):
        row, own = each.metadata["setting"], "" if each.name.startswith("kafka_") else "SLACKWATER_"
        found[each.name] = replace(row, name=row.name or f"{own}{each.name.upper()}")
    return found
