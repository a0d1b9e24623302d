"""The kinds of measure and of answer: those known here, and those whose own class has an `oracle`.

    class Flag(Measure):             Part("Flag", args, oracle)          the oracle, in plain Python
        part      the product  ....                             ---->    args, columns -> values
        oracle    the proof    ----

What a class says for the proof must not be what it says for the product. So an oracle is looked at before it is used:
it may use what it is given, builtins and the standard library, and nothing else of its file.
"""

import builtins
import dis
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from verify.definition import Part
from verify.errors import NotProvenError


def maker(what: str, name: str, part: Part, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """What makes the oracle of a declaration: the function of its own class, or the one that is known here.

    Raises:
        NotProvenError: there is none, or it shares something with what it proves.
    """
    if part.oracle is None:
        if part.kind not in known:
            raise NotProvenError(
                f"The oracle knows no {what} {part.kind!r} ({name}).",
                "Its class can have an `oracle`: CONTRIBUTING.md.",
            )
        return known[part.kind]
    if shared := shared_names(part.oracle):
        raise NotProvenError(
            f"The oracle of the {what} {part.kind!r} ({name}) shares {', '.join(shared)} with what it proves.",
            "It may use its arguments, builtins and the standard library.",
        )
    return part.oracle


def shared_names(oracle: Callable[..., Any]) -> list[str]:
    """What a function uses beside its arguments, builtins and the standard library."""
    if not isinstance(oracle, FunctionType):
        return [repr(oracle)]
    given = oracle.__globals__
    used = {name for name in _names(oracle.__code__) if not _is_standard(name, given)}
    return sorted(used | set(oracle.__code__.co_freevars))


def _names(code: CodeType) -> Iterator[str]:
    """Globals and imports of a function and of those inside it."""
    for step in dis.get_instructions(code):
        if step.opname in {"LOAD_GLOBAL", "IMPORT_NAME"}:
            yield str(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _is_standard(name: str, given: Mapping[str, Any]) -> bool:
    if name not in given:
        return hasattr(builtins, name) or name.partition(".")[0] in sys.stdlib_module_names
    found = given[name]
    home = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", None)
    return str(home).partition(".")[0] in sys.stdlib_module_names
