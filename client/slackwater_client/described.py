"""One description of each call for both clients: its name, parameters and text."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

M = TypeVar("M", bound=Callable[..., Any])


def described(method: M, call: Callable[..., Any], bound: bool) -> M:
    """`method` with the name, the parameters and the text of `call`, which it carries out; `bound`: without `self`."""
    signature = inspect.signature(call)
    if bound:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    method.__name__ = method.__qualname__ = call.__name__
    method.__doc__ = inspect.getdoc(call)
    vars(method)["__signature__"] = signature
    return method
