"""How commands reach the REST service of their settings: its address, its certificate, a key.

Not here: the client for everyone (`slackwater`), health checks of containers (`ops.health`).
"""

import ssl
from pathlib import Path

import httpx

from ops.context import Context
from slackwater.core.errors import SettingError
from slackwater.core.settings import Settings


def session(context: Context, url: str | None = None, timeout_s: float = 2.0) -> httpx.Client:
    """A client of the service, or of the one at `url`. Close it.

    Raises:
        SettingError: the service of these settings asks for a key and there is none, or its file cannot be read.
    """
    settings = context.settings
    if url is None and settings.keys_required and not settings.key_file:
        raise SettingError(
            "The service asks for a key.",
            "Write one of `slackwater key create --scope read --name NAME` into a file; SLACKWATER_KEY_FILE names it.",
        )
    verify = (trusted(settings) if url is None else None) or True
    return httpx.Client(base_url=url or context.url, timeout=timeout_s, headers=key_headers(settings), verify=verify)


def trusted(settings: Settings) -> ssl.SSLContext | None:
    """What the service of these settings must show: its own certificate, on whatever name it is asked by."""
    if not settings.tls_cert:
        return None
    found = ssl.create_default_context(cafile=settings.tls_cert)
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself, whoever signed it
    found.check_hostname = False
    return found


def key_headers(settings: Settings) -> dict[str, str]:
    """The key that SLACKWATER_KEY_FILE holds, as a header. Raises SettingError: it cannot be read."""
    if not settings.key_file:
        return {}
    try:
        return {"Authorization": f"Bearer {Path(settings.key_file).read_text(encoding='ascii').strip()}"}
    except (OSError, ValueError) as error:
        raise SettingError(f"SLACKWATER_KEY_FILE cannot be read: {type(error).__name__}.") from error
