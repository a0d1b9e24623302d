"""A JSON file that carries its own SHA-256, in one line: {"record": {...}, "sha256": "of the record's bytes"}.

Manifests, the pointer, proofs, moves, retirements, leases and keys are such files. Any changed byte
shows.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slackwater.versions.errors import RecordError

_FILE = re.compile(rb'\{"record": (.*), "sha256": "([0-9a-f]{64})"\}\n', re.DOTALL)


def encode_record(body: Mapping[str, Any]) -> bytes:
    """The file of a record; keys are texts, values plain JSON."""
    text = json.dumps(body)  # without an indent, which Python's slow encoder would write
    return f'{{"record": {text}, "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


def decode_record(data: bytes, path: Path) -> dict[str, Any]:
    """The record of a file's bytes.

    Raises:
        RecordError: it is torn or changed.
    """
    found = _FILE.fullmatch(data)
    if found is None or hashlib.sha256(found[1]).hexdigest().encode() != found[2]:
        raise RecordError(path, "its SHA-256 is not its own")
    try:
        body = json.loads(found[1])
    except (ValueError, RecursionError) as error:
        raise RecordError(path, repr(error)) from error
    if not isinstance(body, dict):
        raise RecordError(path, "it holds no object")
    return body
