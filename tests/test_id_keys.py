"""Files of keys against a plain dictionary: the same answers through writing, merging and every size; 2 bytes an id.

keys    a  b  c  d  e  ...      in files, merged by size, looked up through a filter that may only err one way
"""

import random
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.store import id_keys
from slackwater.store.bloom import Bloom, bloom_bytes
from slackwater.store.id_keys import KEY, KeyFile, KeyIndex, keys_of, merge_keys, mergeable, write_keys
from slackwater.streams.content import CONTENT
from tests.profiles import examples

ENTITY = ("v", "A")
TEXTS = st.text("01AZaz_.:-", min_size=1, max_size=8)


def contents(numbers: list[int]) -> np.ndarray:
    found = np.zeros(len(numbers), CONTENT)
    found["digest"], found["timestamp"] = numbers, [number * 4 for number in numbers]
    return found


def written(path: Path, held: dict[str, int]) -> KeyFile:
    return KeyFile(path, write_keys(path, keys_of(ENTITY, held), contents(list(held.values()))))


@examples(60)
@given(st.lists(st.dictionaries(TEXTS, st.integers(0, 2**60), min_size=1, max_size=30), max_size=6), st.data())
def test_the_index_says_what_a_dictionary_says(
    tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, int]], data: st.DataObject
) -> None:
    folder, plain, files = tmp_path_factory.mktemp("keys"), {}, []
    for number, part in enumerate(parts):
        new = {one: value for one, value in part.items() if one not in plain}
        plain |= new
        if new:
            files.append(written(folder / f"{number}.ids", new))
        while count := mergeable([file.rows for file in files]):
            path = folder / f"merged-{number}-{len(files)}.ids"
            files[-count:] = [KeyFile(path, merge_keys(files[-count:], path))]
    sizes = [file.rows for file in files]
    assert all(size >= 2 * following for size, following in pairwise(sizes))
    asked = [*plain, *data.draw(st.lists(TEXTS, max_size=20))]
    found, values = KeyIndex(files).find(keys_of(ENTITY, asked))
    assert found.tolist() == [one in plain for one in asked]
    assert values["digest"].tolist() == [plain.get(one, 0) for one in asked]
    assert values["timestamp"].tolist() == [4 * plain.get(one, 0) for one in asked]
    assert not KeyIndex(files).find(keys_of(("v", "B"), plain))[0].any()


def test_a_merge_in_slices_keeps_every_key_once_and_the_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_keys, "SLICE_ROWS", 100)
    first = {f"id-{i}": i for i in range(0, 2000)}
    second = {f"id-{i}": i + 10**6 for i in range(1500, 2500)}
    files = [written(tmp_path / "1.ids", first), written(tmp_path / "2.ids", second)]
    rows = merge_keys(files, tmp_path / "3.ids")
    plain = {**second, **first}
    assert rows == len(plain) == 2500
    merged = KeyFile(tmp_path / "3.ids", rows)
    assert (np.sort(merged.records["key"]) == merged.records["key"]).all()
    found, values = merged.find(keys_of(ENTITY, plain))
    assert found.all() and values["digest"].tolist() == list(plain.values())


def test_an_index_takes_at_most_two_bytes_of_memory_an_id(tmp_path: Path) -> None:
    rng = random.Random(5)
    keys = np.frombuffer(rng.randbytes(16 * 40_000), KEY)
    files, at = [], 0
    for number, size in enumerate((25_000, 10_000, 4_000, 1_000)):
        part = keys[at : at + size]
        at += size
        path = tmp_path / f"{number}.ids"
        files.append(KeyFile(path, write_keys(path, part, np.zeros(size, CONTENT))))
    index = KeyIndex(files)
    held = [file.memory_bytes for file in files]
    assert index.memory_bytes == sum(held) <= 2 * len(index) == 80_000
    # What a file holds in memory is its filter: its records are pages of the file, nobody's own.
    assert all(file.records.base is not None and not file.records.flags.owndata for file in files)
    strange = np.frombuffer(rng.randbytes(16 * 40_000), KEY)
    assert index.find(keys)[0].all() and not index.find(strange)[0].any()


def test_the_filter_never_denies_what_is_there_and_seldom_takes_a_stranger() -> None:
    rng = random.Random(7)
    keys = np.frombuffer(rng.randbytes(16 * 10_000), KEY)
    bloom = Bloom(np.zeros(bloom_bytes(len(keys)), np.uint8))
    bloom.add(keys)
    assert bloom.maybe(keys).all()
    strangers = np.frombuffer(rng.randbytes(16 * 10_000), KEY)
    assert bloom.maybe(strangers).sum() < 100


def test_a_filter_that_says_yes_to_everything_changes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "1.ids", {"a": 1, "b": 2})
    monkeypatch.setattr(Bloom, "maybe", lambda self, keys: np.ones(len(keys), bool))
    found, values = file.find(keys_of(ENTITY, ["0", "a", "aa", "b", "c"]))
    assert found.tolist() == [False, True, False, True, False]
    assert values["digest"].tolist() == [0, 1, 0, 2, 0]


def test_keys_of_two_entities_differ_and_a_key_may_end_in_zeros() -> None:
    assert keys_of(("a", "b:c"), ["1"])[0] != keys_of(("a:b", "c"), ["1"])[0]
    keys = np.array([b"\1" + bytes(15), b"\1" + bytes(14) + b"\2"], KEY)
    assert np.searchsorted(np.sort(keys), keys).tolist() == [0, 1]
    digest = blake2b(repr(ENTITY).encode(), digest_size=16).digest()
    assert keys_of(ENTITY, ["x"]).tobytes() == blake2b(b"x", digest_size=16, key=digest).digest()
