"""The ids of a version without those that a correction freed, as id files of its own.

    runs    7-12            free again: 9        7-8 10-12
    keys    k1 k2 k3        free again: k2       k1 k3             a file that holds none of them stays

Not here: which ids are free (`batch_layer.freed`): one that another event of the archive still has is not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slackwater.core.faults import reach
from slackwater.store.id_keys import KEY, SUFFIX, without_keys
from slackwater.store.id_runs import read_runs, write_runs
from slackwater.store.identities import group_ids
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import is_keys, key_file
from slackwater.versions.manifest import StoredFile
from slackwater.versions.store import VersionStore


def without_ids(
    stream: Stream, store: VersionStore, epoch: str, ids: Sequence[StoredFile], freed: Iterable[Any]
) -> tuple[StoredFile, ...]:
    """The id files without the ids in `freed`, tables of the entity and identity columns, each id once.

    Raises:
        DamagedFileError, OSError: an id file cannot be read.
    """
    runs_files = [file for file in ids if not is_keys(file)]
    runs = read_runs(stream, [file.checked(store.data.fetch) for file in runs_files])
    others, keys = Counter[Entity](), list[Any]()
    for table in freed:
        entities, groups = group_ids(stream, table)
        for entity, rows, those in groups:
            if entity is not None:
                runs.remove_ids(entity, those)
                continue
            keys.append(those)
            mine = set(rows.tolist())
            others.update({name: count for name, of in entities if (count := len(mine.intersection(of.tolist())))})
    runs.others.subtract(others)
    runs.others = +runs.others
    found = []
    if runs.entities:
        path = store.data.create(f"archive/{epoch}/{stream.name}-ids-freed.parquet")
        rows = write_runs(stream, runs, path)
        found.append(_stored(store, path, rows))
    gone = np.sort(np.concatenate(keys)) if keys else np.zeros(0, KEY)
    for number, file in enumerate(file for file in ids if is_keys(file)):
        if not len(gone):
            found.append(file)
            continue
        store.check([file])  # it is read without checksums
        path = store.data.create(f"archive/{epoch}/{stream.name}-keys-freed-{number}{SUFFIX}")
        rows = without_keys(key_file(store, file), gone, path)
        if rows is None:
            found.append(file)
        elif rows:
            found.append(_stored(store, path, rows))
    return tuple(found)


def _stored(store: VersionStore, path: Path, rows: int) -> StoredFile:
    reach("correct.ids")
    return store.stored(path, rows)
