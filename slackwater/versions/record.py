"""A small JSON file that carries its own SHA-256: {"record": {...}, "sha256": "of its canonical text"}.

Moves of the pointer, retirements and leases are such records. Not here: the manifest, which has a form of its own.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slackwater.versions.errors import RecordError


def encode_record(body: Mapping[str, Any]) -> bytes:
    """The file of a record; keys are texts, values plain JSON."""
    return json.dumps({"record": body, "sha256": _digest(body)}).encode() + b"\n"


def decode_record(data: bytes, path: Path) -> dict[str, Any]:
    """The record of a file's bytes.

    Raises:
        RecordError: it is torn or changed.
    """
    try:
        document = json.loads(data)
        body, sha256 = document["record"], document["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(path, repr(error)) from error
    if not isinstance(body, dict) or sha256 != _digest(body):
        raise RecordError(path, "its SHA-256 is not its own")
    return body


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
