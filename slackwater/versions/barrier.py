"""What the pointer cannot go back across: a correction or an import, which changed whose identities are known.

    8 --- 9 imports a file --- 10        back to 8: an event of the file that came again since, and was called a
                                         duplicate of it, would be nowhere
    8 --- 9 takes a tick out --- 10      back to 8: the wrong event would stand beside the right one

`slackwater batch rollback V --make --reason TEXT` makes a version of the older one with both applied again
(`batch_layer.remake`).
"""

from slackwater.versions.manifest import ArchiveFile, Manifest


def imported_epochs(manifest: Manifest) -> dict[str, list[ArchiveFile]]:
    """Epoch -> the files of imported history."""
    found: dict[str, list[ArchiveFile]] = {}
    for entry in manifest.archive:
        if entry.start is None:
            found.setdefault(entry.epoch, []).append(entry)
    return found


def barrier(at: Manifest, target: Manifest) -> str:
    """Why the pointer cannot go from one version to another; empty if it can."""
    facts = []
    if at.corrected != target.corrected:
        low, high = sorted((at.corrected, target.corrected))
        numbers = ", ".join(map(str, range(low + 1, high + 1)))
        facts.append(f"one of them is without what the corrections {numbers} took out, the other is not")
    differ = sorted(imported_epochs(at).keys() ^ imported_epochs(target).keys())
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        facts.append(f"one of them alone holds the imports {', '.join(differ[:3])}{more}")
    return "; ".join(facts)
