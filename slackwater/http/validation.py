"""What is wrong with parameters and members, as problems: those that are given twice, and what pydantic finds.

Not here: the fields of a query (`serving.query.fields`), the bodies of POST (`slackwater.http.body`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from slackwater.http.problems import ProblemError, refusal


def refuse_repeated(items: Iterable[tuple[str, str]]) -> None:
    """Raises ProblemError, 422, if a parameter is given more than once, even with one value."""
    seen: set[str] = set()
    twice = {name[:80] for name, _ in items if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    if twice:
        raise refusal(dict.fromkeys(sorted(twice), "is given more than once"))


def refused(errors: Sequence[Any], model: type[BaseModel]) -> ProblemError:
    """The problem that pydantic's errors are."""
    known = ", ".join(field.alias or name for name, field in model.model_fields.items()) or "none"
    return refusal({str(error["loc"][-1])[:80]: _detail(error, known) for error in errors})


def _detail(error: Mapping[str, Any], known: str) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        return f"unknown; there are {known}"
    why = str(error.get("ctx", {}).get("error") or _EXPECTED.sub("give ", error["msg"]))
    return f"{str(error['input'])[:80]!r} cannot be used: {why}"


_EXPECTED = re.compile("^Input should be ")
