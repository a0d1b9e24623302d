"""Lists of manifests in files: shared by versions, read when they are asked for, refused when they are others."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.store.lists import INLINE, Listed, ListFile, listed
from slackwater.versions.errors import ManifestError
from slackwater.versions.manifest import Manifest, Part, StoredFile
from slackwater.versions.store import VersionStore
from slackwater.views.interval import DAY_US
from tests.beam_world import World, memory_world
from tests.test_versions import MANIFEST


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which three entries are many."""
    for name in ("slackwater.store.lists", "slackwater.versions.store"):
        monkeypatch.setattr(f"{name}.INLINE", 3)
    return memory_world(tmp_path / "home")


class Shelf:
    """Files of entries in memory, and which were read."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[int, ...]] = {}
        self.read: list[str] = []

    def load(self, file: ListFile) -> tuple[int, ...]:
        self.read.append(file.path)
        return self.files[file.path]

    def put(self, entries: tuple[int, ...]) -> ListFile:
        path = str(len(self.files))
        self.files[path] = entries
        return ListFile(path, 0, path, len(entries))


@given(st.lists(st.integers(1, 3 * INLINE), max_size=40))
def test_a_list_that_grows_has_few_files_and_all_entries_in_order(grows: list[int]) -> None:
    shelf, known, count = Shelf(), Listed[int](), 0
    written = 0
    for more in grows:
        known = known.plus(range(count, count + more))
        count += more
        files, new = known.split()
        if new:
            known = Listed((*files, shelf.put(new)), (), shelf.load)
            written += len(new)
        assert len(known.own) <= INLINE
        sizes = [file.entries for file in known.files]
        assert all(a >= 2 * b for a, b in pairwise(sizes))
    assert (len(known), tuple(known)) == (count, tuple(range(count)))
    assert list(known.backwards()) == list(range(count))[::-1]
    assert written <= count * (1 + count.bit_length())


def test_who_needs_the_newest_reads_no_older_file() -> None:
    shelf = Shelf()
    known = Listed((shelf.put((1, 2)), shelf.put((3,))), (4,), shelf.load)
    newest = known.backwards()
    assert (next(newest), shelf.read) == (4, [])
    assert (next(newest), shelf.read) == (3, ["1"])
    assert known == (1, 2, 3, 4) and known != (1, 2, 3) and known[1:3] == (2, 3) and (*known, 5) == (1, 2, 3, 4, 5)
    assert listed((1, 2)) == (1, 2)
    with pytest.raises(TypeError, match="Nobody reads 2 here"):
        tuple(Listed((shelf.put((1,)),), ()))


def test_versions_share_the_files_of_their_lists(world: World) -> None:
    made: list[Manifest] = []
    for _ in range(5):
        world.produce(20)
        made.append(world.batch())
        world.check(made[-1])
    stored = [world.store.manifest(each.version) for each in made]
    assert [each.archive for each in stored] == [each.archive for each in made]
    assert [sorted(p.file.path for p in each.parts) for each in stored] == [
        sorted(p.file.path for p in each.parts) for each in made
    ]
    files = [listed(each.archive).files for each in stored]
    assert any(set(a) & set(b) for a, b in pairwise(files)), "no file is shared"
    assert all(world.store.manifest_path(n).stat().st_size < 9_000 for n in range(1, 6))
    assert stored[-1].lists != [] and all((world.home / file.path).exists() for file in stored[-1].lists)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data.replace(b"trades", b"tradez"), None])
def test_a_list_that_is_another_or_gone_is_refused_when_it_is_read(world: World, change: object) -> None:
    for _ in range(3):
        world.produce(20)
        world.batch()
    (file, *_) = listed(world.store.manifest(3).archive).files
    path = world.home / file.path
    if callable(change):
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    fresh = VersionStore(world.home)
    found = fresh.manifest(3)
    with pytest.raises(ManifestError, match=r"is not the one that was published|cannot be read"):
        tuple(found.archive)


def test_slices_of_a_month_share_a_file_that_later_versions_take_over(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)

    def part(day: int, path: str, rows: int = 60_000) -> Part:
        file = StoredFile(path, 1, "ab" * 32, rows, "16.AAAAAA")
        low = day * DAY_US
        return Part(file, "bars", "1s", 0, low, low + DAY_US - 1, (1, 1), 1)

    old = tuple(part(day, f"states/a/{day}.parquet") for day in range(90))
    one = replace(MANIFEST, version=store.reserve(), parent=0, run_id="a", parts=(*old, part(0, "states/a/w", 5)))
    store.publish(one)
    two = replace(one, version=store.reserve(), parent=1, run_id="b", parts=(*old, part(0, "states/b/w", 6)))
    store.publish(two)
    first, second = (listed(store.manifest(n).parts).files for n in (1, 2))
    assert len(first) == len(second) == 4, "January, February, March, and the wide ones"
    assert len(set(first) & set(second)) == 3
    assert sorted(p.file.path for p in store.manifest(2).parts) == sorted(p.file.path for p in two.parts)
