"""A publisher in a process of its own: `python -m tests.publisher <home>` publishes once for each two lines it is told.

ready    read the pointer, reserve a number          -> {"parent": 3}
publish  publish a version of that parent            -> {"won": true, "version": 4}
                                                      | {"won": false, "error": "...", "exit_code": 75}
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from slackwater.core.errors import SlackwaterError
from slackwater.versions.manifest import empty_manifest, first_cut
from slackwater.versions.store import VersionStore


def main(home: Path) -> None:
    """Serve lines until the input ends."""
    store = VersionStore(home)
    manifest = empty_manifest({"trades": first_cut("id", "", {0: 0})})
    for line in sys.stdin:
        if line == "ready\n":
            manifest = replace(manifest, parent=store.pointer().version, version=store.reserve())
            found: dict[str, object] = {"parent": manifest.parent}
        else:
            try:
                store.publish(manifest)
                found = {"won": True, "version": manifest.version}
            except SlackwaterError as error:
                found = {"won": False, "error": str(error), "exit_code": error.exit_code}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
