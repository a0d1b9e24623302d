"""The public package: the version, the settings, the root of the errors, and the client. It imports no room."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slackwater.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> Any:
    """The clients are imported when they are asked for: the rooms need this package, and no HTTP client."""
    if name not in {"AsyncClient", "Client"}:
        raise AttributeError(f"module 'slackwater' has no attribute {name!r}")
    try:
        from slackwater import client
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise ModuleNotFoundError("The client needs httpx: pip install 'slackwater[client]'", name="httpx") from error
    return getattr(client, name)
