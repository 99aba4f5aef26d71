"""Versions on a worker's disk: whole at any moment, each blob once, no more than are to be kept."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import types
from pathlib import Path

import pytest
import torch
from debug_model import debug_model
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.errors import CheckpointError
from twinhead.model.version_parts import VersionParts
from twinhead.server import version_store
from twinhead.server.version_store import (
    Pointers,
    Staging,
    StoreError,
    VersionStore,
    free_bytes,
    is_full,
)

BASE = debug_model().checkpoint
CHANGED = sorted(name for name in BASE.network.state_dict() if name.startswith("heads.parity"))[0]


def parts_of(number: int) -> VersionParts:
    """A version that has one tensor of its own, and all others in common with the rest."""
    tensor = torch.full_like(BASE.network.state_dict()[CHANGED], number)
    network = BASE.network.with_tensors(BASE.config, {CHANGED: tensor})
    return VersionParts.of(Checkpoint.create(network, BASE.tokenizer, provenance={"step": number}))


PARTS = [parts_of(number) for number in range(5)]
IDS = [parts.files.version for parts in PARTS]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def open_store(folder):
    """Open stores on the folder that are closed with the test."""
    opened = []

    def open_one(keep: int = 4) -> VersionStore:
        store = VersionStore(folder, keep)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Each version comes a second after the one before it."""
    seconds = itertools.count(1000.0)
    monkeypatch.setattr(version_store, "time", types.SimpleNamespace(time=lambda: next(seconds)))


def own_blob(number: int) -> str:
    """The digest that no other version has."""
    others = {
        digest for n, parts in enumerate(PARTS) if n != number for digest in parts.files.blobs
    }
    (digest,) = set(PARTS[number].files.blobs) - others
    return digest


def blobs_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "blobs").iterdir()}


def assert_whole(store: VersionStore, number: int) -> None:
    """Each file and each blob is there and is what it was; digests are computed anew."""
    parts = store.parts(IDS[number])
    assert parts.files.files == PARTS[number].files.files
    for digest in parts.files.blobs:
        assert hashlib.sha256(parts.read(digest)).hexdigest() == digest


# --- adding and reading


def test_what_is_added_is_read_back(store):
    assert store.ids() == []
    store.add(PARTS[0])
    assert store.ids() == [IDS[0]]
    assert_whole(store, 0)
    stored = store.read(IDS[0])
    assert stored.files.provenance == {"step": 0}
    assert stored.received == 1000.0
    assert stored.bytes == sum(len(PARTS[0].read(digest)) for digest in PARTS[0].files.blobs)


def test_versions_are_listed_latest_first(store):
    for number in (2, 0, 1):
        store.add(PARTS[number])
    assert store.ids() == [IDS[1], IDS[0], IDS[2]]


def test_a_version_that_comes_again_is_as_old_as_it_was(store):
    store.add(PARTS[0])
    store.add(PARTS[1])
    store.add(PARTS[0])
    assert store.read(IDS[0]).received == 1000.0
    assert store.ids() == [IDS[1], IDS[0]]


def test_a_blob_is_kept_once_and_read_once(store, folder):
    store.add(PARTS[0])
    asked = []

    def read(digest):
        asked.append(digest)
        return PARTS[1].read(digest)

    store.add(VersionParts(PARTS[1].files, read))
    assert asked == [own_blob(1)]
    assert blobs_in(folder) == set(PARTS[0].files.blobs) | {own_blob(1)}
    assert len(PARTS[0].files.blobs) > 2  # several are in common
    assert_whole(store, 0)
    assert_whole(store, 1)


def test_staged_blobs_are_moved_into_the_store(store):
    staging = Staging(store.staging_folder / "push")
    staged = own_blob(0)
    staging.path(staged).write_bytes(PARTS[0].read(staged))

    def read(digest):
        assert digest != staged
        return PARTS[0].read(digest)

    store.add(VersionParts(PARTS[0].files, read), staging)
    assert not staging.path(staged).exists()
    assert_whole(store, 0)
    staging.discard()
    assert list(store.staging_folder.iterdir()) == []


def test_a_restart_finds_what_was_there(open_store):
    first = open_store()
    first.add(PARTS[0])
    first.point(Pointers(live=IDS[0], configured="starter"))
    first.close()
    again = open_store()
    assert again.pointers() == Pointers(live=IDS[0], previous="", configured="starter")
    assert_whole(again, 0)


def test_what_is_not_there(store):
    with pytest.raises(CheckpointError, match="No such file"):
        store.read("0" * 16)
    with pytest.raises(CheckpointError, match="No such file"):
        store.blob("0" * 64)
    assert not store.has("0" * 64)


def damage_file(folder):
    (folder / "versions" / IDS[0] / "twinhead.json").write_bytes(b"{")


def lose_file(folder):
    (folder / "versions" / IDS[0] / "manifest.json").unlink()


def lose_blob(folder):
    (folder / "blobs" / own_blob(0)).unlink()


def become_another(folder):
    version = folder / "versions" / IDS[0]
    shutil.rmtree(version)
    shutil.copytree(folder / "versions" / IDS[1], version)


@pytest.mark.parametrize("damage", [damage_file, lose_file, lose_blob, become_another])
def test_a_damaged_version_is_not_read_and_whole_when_it_comes_again(store, folder, damage):
    store.add(PARTS[1])
    store.add(PARTS[0])
    damage(folder)
    with pytest.raises(CheckpointError):
        store.read(IDS[0])
    store.add(PARTS[0])
    assert_whole(store, 0)
    assert_whole(store, 1)


# --- pointers


def test_pointers_are_replaced_whole(store, folder):
    assert store.pointers() is None
    store.point(Pointers(live=IDS[0]))
    store.point(Pointers(live=IDS[1], previous=IDS[0], configured=IDS[0]))
    assert store.pointers() == Pointers(live=IDS[1], previous=IDS[0], configured=IDS[0])
    # For people and other programs, too.
    assert json.loads((folder / "live.json").read_bytes())["live"] == IDS[1]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"live": 1}', b'{"live": "a", "unknown": "b"}'],
)
def test_damaged_pointers_are_told(store, folder, content):
    (folder / "live.json").write_bytes(content)
    with pytest.raises(StoreError, match="remove it to start with the configured model"):
        store.pointers()


def test_pointers_that_cannot_be_read(store, folder):
    (folder / "live.json").mkdir()
    with pytest.raises(StoreError, match=r"live\.json is damaged"):
        store.pointers()


# --- pruning


def test_the_oldest_go_when_there_are_too_many(open_store, folder):
    store = open_store(keep=3)
    for parts in PARTS:
        store.add(parts)
    store.prune({IDS[4], IDS[3]})
    assert store.ids() == [IDS[4], IDS[3], IDS[2]]
    assert blobs_in(folder) == {digest for parts in PARTS[2:] for digest in parts.files.blobs}
    for number in (2, 3, 4):
        assert_whole(store, number)


def test_live_and_previous_stay_however_old(open_store):
    store = open_store(keep=2)
    for parts in PARTS:
        store.add(parts)
    store.prune({IDS[0], IDS[1], ""})  # empty: nothing was live before
    assert store.ids() == [IDS[1], IDS[0]]


def test_the_latest_others_stay_beside_an_old_live_one(open_store):
    store = open_store(keep=3)
    for parts in PARTS:
        store.add(parts)
    store.prune({IDS[0]})
    assert store.ids() == [IDS[4], IDS[3], IDS[0]]


def test_nothing_goes_while_there_is_room(store, folder):
    for parts in PARTS[:4]:
        store.add(parts)
    before = blobs_in(folder)
    store.prune({IDS[0]})
    assert len(store.ids()) == 4
    assert blobs_in(folder) == before


def test_blobs_that_no_version_has_go(store, folder):
    store.add(PARTS[0])
    (folder / "blobs" / ("f" * 64)).write_bytes(b"of a version that was never whole")
    store.prune({IDS[0]})
    assert blobs_in(folder) == set(PARTS[0].files.blobs)


def test_a_damaged_version_that_nobody_needs_goes(store, folder):
    store.add(PARTS[0])
    store.add(PARTS[1])
    (folder / "versions" / IDS[1] / "manifest.json").write_bytes(b"{")
    store.prune({IDS[0]})
    assert store.ids() == [IDS[0]]
    assert blobs_in(folder) == set(PARTS[0].files.blobs)


def test_while_a_needed_version_is_damaged_no_blob_goes(store, folder):
    store.add(PARTS[0])
    store.add(PARTS[1])
    (folder / "versions" / IDS[0] / "manifest.json").write_bytes(b"{")
    before = blobs_in(folder)
    store.prune({IDS[0]})
    assert IDS[0] in store.ids()
    assert blobs_in(folder) == before  # its own may be mended by hand


# --- taking the folder into use


def test_a_second_worker_is_turned_away(open_store, folder):
    first = open_store()
    staging = Staging(first.staging_folder / "push")
    with pytest.raises(StoreError, match="another worker uses the state folder"):
        VersionStore(folder, 4)
    assert staging.folder.is_dir()  # it has wiped nothing of the first one's
    first.close()
    open_store()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be used: Not a directory"):
        VersionStore(tmp_path / "file" / "state", 4)


def test_what_a_killed_worker_left_is_wiped(open_store, folder):
    killed = open_store()
    killed.add(PARTS[0])
    killed.point(Pointers(live=IDS[0]))
    killed.close()
    Staging(folder / "staging" / "push").path("a" * 64).write_bytes(b"half a blo")
    (folder / "staging" / ("b" * 64)).write_bytes(b"")
    (folder / "versions" / ".partial").mkdir()
    (folder / "versions" / ".partial" / "twinhead.json").write_bytes(b"{")
    (folder / "live.partial").write_bytes(b"{")
    store = open_store()
    assert list((folder / "staging").iterdir()) == []
    assert [path.name for path in (folder / "versions").iterdir()] == [IDS[0]]
    assert store.pointers() == Pointers(live=IDS[0])
    assert_whole(store, 0)


# --- dying and failing at any moment


class Killed(BaseException):
    """The process ends here; nothing in it can catch that."""


class Countdown:
    """Ends the `number`-th operation on the disk, before it is done."""

    def __init__(self, monkeypatch, number: int, error: BaseException, names: tuple[str, ...]):
        self.left = number
        self.over = False
        for name in names:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name), error))

    def _counted(self, operation, error):
        def run(*arguments, **options):
            self.left -= 1
            if self.left < 0 and not self.over:
                self.over = True
                raise error
            return operation(*arguments, **options)

        return run


@pytest.fixture
def filled(open_store, folder):
    """Version 1 is live and 0 was before; one more is over the bound of two."""
    store = open_store(keep=2)
    for parts in PARTS[:2]:
        store.add(parts)
    store.point(Pointers(live=IDS[1], previous=IDS[0]))
    store.close()
    return folder


def take_in(store: VersionStore) -> None:
    """What a worker does with version 2."""
    staging = Staging(store.staging_folder / "push")
    staging.path(own_blob(2)).write_bytes(PARTS[2].read(own_blob(2)))
    store.add(PARTS[2], staging)
    store.point(Pointers(live=IDS[2], previous=IDS[1]))
    staging.discard()
    store.prune({IDS[2], IDS[1]})


def test_whenever_a_worker_is_killed_a_whole_version_is_live(filled, tmp_path):
    live = []
    for number in itertools.count():
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(filled, folder)
        store = VersionStore(folder, 2)
        with pytest.MonkeyPatch.context() as patch:
            countdown = Countdown(
                patch, number, Killed(), ("fsync", "replace", "unlink", "mkdir", "rmdir")
            )
            with contextlib.suppress(Killed):
                take_in(store)
        store.close()  # as the system does, of a process that is no more
        store = VersionStore(folder, 2)
        pointers = store.pointers()
        live.append(IDS.index(pointers.live))
        assert_whole(store, live[-1])
        assert_whole(store, IDS.index(pointers.previous))
        for version in store.ids():  # nor is any other half there
            assert_whole(store, IDS.index(version))
        take_in(store)
        assert store.ids() == [IDS[2], IDS[1]]
        assert blobs_in(folder) == set(PARTS[1].files.blobs) | set(PARTS[2].files.blobs)
        store.close()
        if not countdown.over:
            break
    # The old one up to some moment, and the new one from it on.
    assert live == sorted(live)
    assert set(live) == {1, 2}
    assert len(live) > 20


def test_whenever_the_disk_is_full_the_live_version_stays_and_a_retry_is_whole(filled, tmp_path):
    for number in itertools.count():
        folder = tmp_path / f"full-{number}"
        shutil.copytree(filled, folder)
        store = VersionStore(folder, 2)
        with pytest.MonkeyPatch.context() as patch:
            full = OSError(errno.ENOSPC, "No space left on device")
            countdown = Countdown(patch, number, full, ("fsync", "replace"))
            with contextlib.suppress(OSError):
                store.add(PARTS[2])
                store.point(Pointers(live=IDS[2], previous=IDS[1]))
        pointers = store.pointers()
        assert_whole(store, IDS.index(pointers.live))
        # The same worker goes on, once there is room.
        store.add(PARTS[2])
        store.point(Pointers(live=IDS[2], previous=IDS[1]))
        assert_whole(store, 2)
        store.close()
        if not countdown.over:
            break
    assert number > 5


# --- the disk


def test_a_margin_stays_free(monkeypatch, tmp_path):
    def usage(free):
        return lambda folder: types.SimpleNamespace(free=free)

    monkeypatch.setattr(version_store.shutil, "disk_usage", usage(10 << 30))
    assert 9 << 30 < free_bytes(tmp_path) < 10 << 30
    monkeypatch.setattr(version_store.shutil, "disk_usage", usage(1000))
    assert free_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    ("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)]
)
def test_what_counts_as_full(number, full):
    assert is_full(OSError(number, "")) is full
