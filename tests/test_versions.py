"""The store of versions: the manifest's bytes, the pointer, numbers, damage, and the race of two publishers."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from slackwater.core.faults import VARIABLE, arm
from slackwater.store.instruments import Instrument, Instruments
from slackwater.store.local_files import LocalFiles
from slackwater.versions.errors import (
    DamagedFileError,
    FormatError,
    LostRaceError,
    ManifestError,
    NoSuchVersionError,
    PointerError,
    RecordError,
)
from slackwater.versions.handoff import handoff_path, latest_proof, read_handoff, write_handoff
from slackwater.versions.manifest import (
    FORMAT,
    ArchiveFile,
    Duplicates,
    Held,
    IdFile,
    Manifest,
    Mark,
    Part,
    StoredFile,
    StreamCut,
    decode_manifest,
    empty_manifest,
    encode_manifest,
    first_cut,
)
from slackwater.versions.pointer import NOTHING, Pointer, encode_pointer
from slackwater.versions.proof import Difference, Forced, Proof, Span
from slackwater.versions.record import encode_record
from slackwater.versions.store import VersionStore

FILE = StoredFile("archive/é/p0-0.parquet", 12, "ab" * 32, 3, "16.AAAAAA")
MANIFEST = Manifest(
    version=7,
    parent=5,
    run_id="20240809T000000-abcdef01",
    created_us=1_723_161_240_000_000,
    streams={
        "trades": StreamCut(
            "id-1", "id-2", (Mark(0, 10, "run"), Mark(1, 2**62, None)), {0: 4, 1: 0}, (Held(1, "It is dead."),)
        ),
        "fills": StreamCut("id-3", "id-4"),
    },
    definitions={"bars": "0123456789abcdef"},
    sources={"bars": "trades"},
    counts={"trades": {"events": 3, "refused": 1, "new_events": 3}},
    archive=(
        ArchiveFile(FILE, "trades", "run", 0, 2, 10, 5, 9),
        ArchiveFile(FILE, "trades", "history", 1, None, None, 0, 3),
        ArchiveFile(FILE, "fills", "run", 0, 2, 10, 5, 9),
    ),
    ids=(IdFile(FILE, "trades"),),
    parts=(Part(FILE, "bars", "1s", 0, 0, 9, (1, 2), 1), Part(FILE, "bars", "1m", 0, 0, 0, (1, 4), 1)),
    instruments={"trades": Instruments([Instrument("v", "S", 0, 5, 6)])},
    proofs={"trades": Proof("unproven", "speed \u201cbehind\u201d"), "fills": Proof("equal", "")},
    timings_ms={"mark": 1},
    duplicates=(Duplicates("trades", ("v", "S"), 2),),
)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path)


def publish(store: VersionStore, parent: int, outcome: str = "unproven") -> Manifest:
    proof = Proof(outcome, "")  # type: ignore[arg-type]
    manifest = replace(MANIFEST, version=store.reserve(), parent=parent, proofs={"trades": proof})
    return store.publish(manifest)


# The manifest


def test_a_manifest_comes_back_as_it_was_and_says_its_cut_and_files() -> None:
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST
    assert MANIFEST.cut("trades") == {0: 10, 1: 2**62}
    assert MANIFEST.parts_of("bars", "1m") == (MANIFEST.parts[1],)
    assert MANIFEST.parts_of("bars", "1h") == ()


def test_a_manifest_says_what_it_holds_of_each_stream() -> None:
    assert [entry.partition for entry in MANIFEST.archive_of("trades")] == [0, 1]
    assert (MANIFEST.ids_of("trades"), MANIFEST.ids_of("fills")) == ((FILE,), ())
    assert (MANIFEST.cuts, MANIFEST.cut("orders")) == ({"trades": {0: 10, 1: 2**62}, "fills": {}}, {})
    assert MANIFEST.proof.outcome == "unproven" and MANIFEST.proof.reason == "speed \u201cbehind\u201d"


def test_a_manifest_of_an_older_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(FormatError, match=r"format 3; this program needs format 6.*SLACKWATER_HOME.*archive import"):
        decode_manifest(b'{"manifest": {"format": 3, "version": 7}, "sha256": ""}')


def test_the_pointer_of_an_older_home_is_refused_with_what_to_do(store: VersionStore) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / "current").write_bytes(b'{"version": 2, "sha256": "ab", "move": 0, "check": "cd"}\n')
    with pytest.raises(FormatError, match="format 3; this program needs format 6"):
        store.current()


def test_a_manifest_with_any_byte_flipped_is_refused() -> None:
    data = encode_manifest(MANIFEST)
    for at in range(len(data)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            with pytest.raises(ManifestError):
                decode_manifest(bytes(changed))


def test_a_published_manifest_with_a_byte_flipped_is_not_served(store: VersionStore) -> None:
    manifest = publish(store, 0)
    path = store.manifest_path(manifest.version)
    data = path.read_bytes()
    for at in range(0, len(data), 13):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ManifestError):
            store.current()
    path.write_bytes(data)
    assert store.current() == manifest


@pytest.mark.parametrize("cut", [0, 1, 100, -3])
def test_a_torn_manifest_is_refused(cut: int) -> None:
    with pytest.raises(ManifestError):
        decode_manifest(encode_manifest(MANIFEST)[:cut])


@pytest.mark.parametrize(
    "data", [b"[]", b"7", b"{}", encode_record({}), b'{"record": {}, "sha256": ""}\n', b"\xff", b"[" * 200_000]
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest(data)


def test_a_manifest_of_another_format_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slackwater.versions.manifest.FORMAT", FORMAT + 1)
    data = encode_manifest(MANIFEST)
    monkeypatch.undo()
    with pytest.raises(ManifestError, match=f"this program needs format {FORMAT}"):
        decode_manifest(data)


# The pointer


def test_nothing_published_is_version_0(store: VersionStore) -> None:
    assert store.pointer() == NOTHING
    assert store.current() is None
    assert store.numbers() == [] and store.whole() == []
    assert empty_manifest({"t": first_cut("id", "", {1: 5, 0: 3})}).cut("t") == {0: 3, 1: 5}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"7",
        b"[]",
        b"\xff",
        b"null",
        b'{"version":1}',
        b'{"version":0,"sha256":""}',
        b'{"version":-1,"sha256":""}',
        b'{"version":true,"sha256":""}',
        b'{"version":1.0,"sha256":""}',
        b'{"version":"../1","sha256":""}',
        b'{"version":1,"sha256":null}',
        encode_pointer(Pointer(0, "00")),
        encode_pointer(Pointer(-1, "00")),
        b"[" * 200_000,
    ],
)
def test_a_pointer_that_is_empty_torn_or_points_outside_is_refused(store: VersionStore, data: bytes) -> None:
    publish(store, 0)
    (store.folder / "current").write_bytes(data)
    with pytest.raises(PointerError):
        store.pointer()
    with pytest.raises(PointerError):
        store.current()
    with pytest.raises(PointerError):
        publish(store, 1)


def test_a_pointer_to_a_version_that_does_not_exist_or_is_another_is_refused(store: VersionStore) -> None:
    first = publish(store, 0)
    (store.folder / "current").write_bytes(encode_pointer(Pointer(9, "00")))
    with pytest.raises(PointerError, match="version 9, which does not exist"):
        store.current()
    (store.folder / "current").write_bytes(encode_pointer(Pointer(first.version, "00" * 32)))
    with pytest.raises(ManifestError, match="not the one that was published"):
        store.current()


def test_a_pointer_with_any_bit_flipped_or_cut_anywhere_is_refused(store: VersionStore) -> None:
    """Without its own check a flipped digit would name another version, and blame that one's manifest."""
    for parent in range(7):
        publish(store, parent)
    path = store.folder / "current"
    data = path.read_bytes()
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(PointerError):
            store.pointer()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(PointerError):
            store.pointer()
    path.write_bytes(data)
    assert store.pointer().version == 7


def test_a_pointer_that_is_gone_is_told_from_one_that_never_was(store: VersionStore) -> None:
    store.reserve()
    assert store.pointer() == NOTHING
    publish(store, 0)
    (store.folder / "current").unlink()
    with pytest.raises(PointerError, match="gone"):
        store.pointer()
    with pytest.raises(PointerError, match="gone"):
        publish(store, 0)


def test_a_first_publication_that_died_before_its_pointer_moved_never_was(tmp_path: Path) -> None:
    class Dying(LocalFiles):
        def replace(self, path: Path, data: bytes) -> None:
            if data != encode_pointer(NOTHING):
                raise OSError("no space left on device")
            super().replace(path, data)

    with pytest.raises(OSError, match="no space"):
        publish(VersionStore(tmp_path, Dying()), 0)
    store = VersionStore(tmp_path)
    assert store.manifest_path(1).exists()
    assert store.pointer() == NOTHING
    assert publish(store, 0).version == 2


def test_publishing_moves_the_pointer_to_the_manifests_bytes(store: VersionStore) -> None:
    first = publish(store, 0)
    assert store.current() == store.manifest(first.version) == first
    second = publish(store, first.version)
    assert store.pointer() == Pointer(2, store.files.fingerprint(store.manifest_path(2))[1])
    assert store.current() == second
    assert sorted(store.files.names(store.folder)) == ["1", "2", "current", "lock"]


def test_a_version_that_is_removed_between_the_looks_at_the_pointer_and_at_it_is_no_damage(tmp_path: Path) -> None:
    class Late(LocalFiles):
        def read(self, path: Path) -> bytes:
            if path == others.manifest_path(1) and path.exists():
                publish(others, 1)
                path.unlink()
            return super().read(path)

    others = VersionStore(tmp_path)
    publish(others, 0)
    pointer, manifest = VersionStore(tmp_path, Late()).pointer_and_manifest()
    assert (pointer.version, manifest) == (2, others.manifest(2))
    others.manifest_path(2).unlink()
    with pytest.raises(PointerError, match="does not exist"):
        others.pointer_and_manifest()


def test_a_pointer_that_moved_back_between_the_looks_is_looked_at_again(tmp_path: Path) -> None:
    class Late(LocalFiles):
        def read(self, path: Path) -> bytes:
            if path == others.manifest_path(2) and path.exists():
                others.files.replace(others.folder / "current", first)
                path.unlink()
            return super().read(path)

    others = VersionStore(tmp_path)
    publish(others, 0)
    first = others.files.read(others.folder / "current")
    publish(others, 1)
    pointer, manifest = VersionStore(tmp_path, Late()).pointer_and_manifest()
    assert (pointer.version, manifest) == (1, others.manifest(1))


def test_what_the_pointer_and_a_retirement_stand_on_is_durable_whoever_was_killed_before_its_sync(
    tmp_path: Path,
) -> None:
    """A killed writer leaves files that are there and may be gone after a power cut (seed 3336 of the soak)."""
    calls: list[tuple[str, str]] = []

    class Recorded(LocalFiles):
        def sync(self, path: Path) -> None:
            calls.append(("sync", path.relative_to(store.folder).as_posix()))
            super().sync(path)

        def replace(self, path: Path, data: bytes, private: bool = False) -> None:
            calls.append(("replace", path.relative_to(store.folder).as_posix()))
            super().replace(path, data, private)

    store = VersionStore(tmp_path, Recorded())
    publish(store, 0)
    publish(store, 1)
    calls.clear()
    store.move(1, lambda: 0, "test", "back")
    assert calls[0] == ("sync", "1/manifest.json") and calls[-1] == ("replace", "current")
    calls.clear()
    with store.locked():
        store.retire(2, 0)
    assert calls == [("sync", "current"), ("replace", "2/retired.json")]


# Numbers


def test_a_number_is_never_used_again_whatever_became_of_its_run(store: VersionStore) -> None:
    assert [store.reserve(), store.reserve()] == [1, 2]  # the first died
    publish(store, 0)
    assert store.reserve() == 4
    assert VersionStore(store.home).reserve() == 5
    assert store.numbers() == [1, 2, 3, 4, 5]


def test_two_that_reserve_at_once_get_two_numbers(tmp_path: Path) -> None:
    class Slow(LocalFiles):
        """The other takes the number between the look and the mkdir."""

        def make_folder(self, path: Path) -> None:
            if path.name == "1":
                LocalFiles().make_folder(path)
            super().make_folder(path)

    assert VersionStore(tmp_path, Slow()).reserve() == 2


def test_a_version_that_does_not_exist_or_calls_itself_another_is_refused(store: VersionStore) -> None:
    publish(store, 0)
    with pytest.raises(NoSuchVersionError, match="no version 8"):
        store.manifest(8)
    (store.folder / "3").mkdir()
    (store.folder / "3" / "manifest.json").write_bytes(store.manifest_path(1).read_bytes())
    with pytest.raises(ManifestError, match="version 3 says that it is version 1"):
        store.manifest(3)


# The race


def test_a_publisher_that_lost_the_race_leaves_nothing(store: VersionStore) -> None:
    publish(store, 0)
    late = replace(MANIFEST, version=store.reserve(), parent=0)
    before = store.pointer()
    with pytest.raises(LostRaceError, match="from version 0 to 1") as caught:
        store.publish(late)
    assert caught.value.retriable
    assert store.pointer() == before
    assert not store.manifest_path(late.version).exists()
    assert [m.version for m in store.whole()] == [1]
    assert publish(store, 1).version == 3


@pytest.mark.parametrize("write", ["publish", "add_candidate"])
def test_a_publisher_notices_that_the_pointer_was_moved_and_is_back(store: VersionStore, write: str) -> None:
    publish(store, 0)
    began, late = store.pointer(), replace(MANIFEST, version=store.reserve(), parent=1)
    publish(store, 1)
    store.move(1, lambda: 0, "someone", "it is wrong")  # its number may be one that was removed meanwhile
    with pytest.raises(LostRaceError, match="from version 1 to another and back"):
        getattr(store, write)(late, began)
    assert not store.manifest_path(late.version).exists()
    again = replace(MANIFEST, version=store.reserve(), parent=1)
    getattr(store, write)(again, store.pointer())


def crash(name: str) -> type[LocalFiles]:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    return type("Crashing", (LocalFiles,), {name: fail})


@pytest.mark.parametrize("name", ["create", "replace"])
def test_a_publisher_that_dies_before_the_pointer_moved_leaves_the_old_version_served(
    tmp_path: Path, name: str
) -> None:
    first = publish(VersionStore(tmp_path), 0)
    with pytest.raises(OSError, match="no space"):
        publish(VersionStore(tmp_path, crash(name)()), 1)
    store = VersionStore(tmp_path)
    assert store.current() == first
    assert publish(store, 1).version == 3


# Files and order


def test_whole_lists_readable_manifests_newest_first_without_those_that_failed_their_proof(store: VersionStore) -> None:
    for parent, outcome in enumerate(["equal", "unproven", "different", "equal"]):
        publish(store, parent, outcome)
    store.reserve()
    (store.folder / "9").mkdir()
    (store.folder / "9" / "manifest.json").write_bytes(b"{")
    assert [m.version for m in store.whole()] == [4, 2, 1]
    assert store.numbers() == [1, 2, 3, 4, 5, 9]


def test_numbers_come_in_order_of_number_not_of_text(store: VersionStore) -> None:
    for _ in range(11):
        store.reserve()
    assert store.numbers() == list(range(1, 12))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "fact"),
    [
        (flipped, "100 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "99 bytes"),
        (Path.unlink, "No such file"),
    ],
    ids=["flipped bit", "cut short", "gone"],
)
def test_a_damaged_file_is_found_by_name(store: VersionStore, damage: Callable[[Path], object], fact: str) -> None:
    paths = [store.home / "a.parquet", store.home / "b.parquet"]
    for path in paths:
        path.write_bytes(bytes(range(100)))
    files = [store.stored(path, rows=1) for path in paths]
    assert files[1].path == "b.parquet" and files[1].size == 100
    store.check(files)
    damage(paths[1])
    with pytest.raises(DamagedFileError, match=fact) as caught:
        store.check(files)
    assert caught.value.path == paths[1]


# A proof that comes later


PROOF = Proof(
    "different",
    "1 of 9 states differ.",
    spans=(Span("trades", 0, 3, 9, 5, 1, 2, 0, 0),),
    imported=4,
    compared=9,
    differ=1,
    first=(Difference("bars", "1s", 0, ("v", "S"), 7, "close", "1", "2"),),
    proven_us=8,
    took_ms=3,
    forced=Forced("somebody", "because"),
)


def test_a_whole_proof_comes_back_from_a_manifest_and_from_its_own_file(store: VersionStore) -> None:
    assert decode_manifest(encode_manifest(replace(MANIFEST, proofs={"trades": PROOF}))).proof == PROOF
    manifest = publish(store, 0)
    assert read_handoff(store, 1) is None and latest_proof(store, manifest) == manifest.proof
    write_handoff(store, 1, manifest.run_id, {"trades": PROOF})
    assert read_handoff(store, 1) == {"trades": PROOF} and latest_proof(store, manifest) == PROOF
    equal = replace(PROOF, outcome="equal", first=())
    write_handoff(store, 1, manifest.run_id, {"trades": equal})
    assert latest_proof(store, manifest) == equal
    final = replace(manifest, proofs={"trades": PROOF})
    assert latest_proof(store, final) == PROOF, "a manifest that knows is not overruled"


def test_a_later_proof_that_is_torn_changed_or_anothers_is_never_trusted(store: VersionStore) -> None:
    manifest = publish(store, 0)
    write_handoff(store, 1, manifest.run_id, {"trades": replace(PROOF, outcome="equal")})
    path = handoff_path(store, 1)
    data = path.read_bytes()
    write_handoff(store, 1, "another run", {"trades": replace(PROOF, outcome="equal")})
    others = path.read_bytes()
    write_handoff(store, 2 - 1, manifest.run_id, {"trades": PROOF})
    for wrong in (b"", b"{", b"[" * 200_000, data[:-30], data.replace(b'"differ": 1', b'"differ": 0'), others):
        path.write_bytes(wrong)
        with pytest.raises(RecordError):
            read_handoff(store, 1, manifest.run_id)
        found = latest_proof(store, manifest)
        assert (found.outcome, "not trusted" in found.reason) == ("unproven", True)


def test_a_forced_version_can_be_read_and_is_not_among_the_whole(store: VersionStore) -> None:
    for parent, outcome in enumerate(["equal", "different"]):
        publish(store, parent, outcome)
    assert store.current() == store.manifest(2)
    assert [m.version for m in store.readable()] == [2, 1]
    assert [m.version for m in store.whole()] == [1]


@contextmanager
def no_room() -> Iterator[None]:
    """The disk takes four more bytes of each file: a real limit of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_did_not_take_does_not_stay(store: VersionStore) -> None:
    one = replace(MANIFEST, version=store.reserve(), parent=0)
    store.publish(one)
    two = replace(one, version=store.reserve(), parent=1)
    there = sorted(store.home.rglob("*"))
    writes: list[Callable[[], object]] = [
        lambda: store.files.create(store.folder / "1" / "new.json", b"twelve bytes"),
        lambda: store.files.replace(store.folder / "1" / "other.json", b"twelve bytes"),
        lambda: store.retire(1, 5),
        lambda: store.lease("mine", [1]),
        lambda: store.publish(two),
    ]
    for write in writes:
        with no_room(), pytest.raises(OSError, match="File too large"):
            write()
        assert [path for path in sorted(store.home.rglob("*")) if path not in there and path.name != "leases"] == []
    store.publish(two)
    assert store.pointer().version == 2


@pytest.mark.parametrize("kind", ["enospc", "eio"])
@pytest.mark.parametrize("point", ["publish.write", "publish.rename"])
def test_a_publication_that_fails_at_a_step_leaves_no_file_beside(store: VersionStore, point: str, kind: str) -> None:
    one = replace(MANIFEST, version=store.reserve(), parent=0)
    store.publish(one)
    two = replace(one, version=store.reserve(), parent=1)
    arm({VARIABLE: f"{point}:{kind}"})
    try:
        with pytest.raises(OSError, match=f"fault point {point}"):
            store.publish(two)
    finally:
        arm({})
    assert [path.name for path in store.home.rglob("*.tmp")] == []
    assert store.pointer().version == 1
    store.publish(replace(two, version=store.reserve()))
    assert store.pointer().version == 3
