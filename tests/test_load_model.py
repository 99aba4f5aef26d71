"""A checkpoint becomes a model that has run: the configured one, or the last that was live."""

import errno
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from debug_model import debug_model
from small_bert import small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.errors import CheckpointError
from twinhead.model.version_parts import VersionParts
from twinhead.server.engines.torch_engine import TorchEngine
from twinhead.server.load_model import checkpoint_folder, load_model, warm
from twinhead.server.settings import WorkerSettings
from twinhead.server.version_store import Pointers, StoreError, VersionStore


def test_the_starter_is_a_name_and_all_else_a_folder():
    assert (checkpoint_folder("starter") / "twinhead.json").is_file()
    assert checkpoint_folder("some/folder") == Path("some/folder")


def test_a_loaded_model_answers():
    model = load_model(WorkerSettings(device="cpu"))
    output = model.engine.encode([[101, 2204, 102]], ["topic", "sentiment"])
    assert output.embeddings.shape == (1, model.dimensions) == (1, 384)
    assert {name: logits.shape[1] for name, logits in output.logits.items()} == {
        "topic": 4,
        "sentiment": 3,
    }


def test_warming_is_a_real_pass_with_every_head():
    model = debug_model()
    warm(model)
    assert model.engine.passes == [1, 64]
    assert model.engine.tasks[0] == {"parity", "size"}


def test_a_checkpoint_that_is_not_there():
    with pytest.raises(CheckpointError, match=r"twinhead.json is missing"):
        load_model(WorkerSettings(model="no-such-folder"))


# --- with versions that were kept


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> list[Checkpoint]:
    """Three versions of one model, each in a folder of its own."""
    encoder = write_small_bert(tmp_path_factory.mktemp("encoder"))
    made = []
    for seed in range(3):
        checkpoint = small_checkpoint(encoder, seed=seed)
        folder = tmp_path_factory.mktemp("checkpoints") / str(seed)
        checkpoint.save(folder)
        made.append(Checkpoint.load(folder))
    return made


@pytest.fixture
def store(tmp_path):
    store = VersionStore(tmp_path / "state", 4)
    yield store
    store.close()


@pytest.fixture
def start(store, checkpoints):
    """Load as a worker does that is configured with one of the checkpoints."""

    def load(number: int):
        return load_model(
            WorkerSettings(model=str(checkpoints[number].source), device="cpu", threads=1), store
        )

    return load


@pytest.fixture
def ids(checkpoints):
    return [checkpoint.version for checkpoint in checkpoints]


@pytest.fixture
def pushed(store, checkpoints, ids):
    """Configured with 0; 1 was brought, then 2."""
    for checkpoint in checkpoints:
        store.add(VersionParts.of(checkpoint))
    store.point(Pointers(live=ids[2], previous=ids[1], configured=ids[0]))


def assert_is(model, checkpoint) -> None:
    """It answers as the checkpoint does, not only under its name."""
    assert model.version == checkpoint.version
    tasks = [task.name for task in checkpoint.config.tasks]
    wanted = TorchEngine(checkpoint.network, "cpu").encode([[2, 6, 7, 3]], tasks)
    found = model.engine.encode([[2, 6, 7, 3]], tasks)
    for task in tasks:
        np.testing.assert_allclose(found.logits[task], wanted.logits[task], rtol=1e-4, atol=1e-6)


def flip_a_bit(store, version):
    """Of a tensor that no other version has; its length stays."""
    others = set().union(*(store.read(v).files.blobs for v in store.ids() if v != version))
    own = min(set(store.read(version).files.blobs) - others)
    file = store.folder / "blobs" / own
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def lose_a_blob(store, version):
    others = set().union(*(store.read(v).files.blobs for v in store.ids() if v != version))
    (store.folder / "blobs" / min(set(store.read(version).files.blobs) - others)).unlink()


def spoil_the_manifest(store, version):
    (store.folder / "versions" / version / "manifest.json").write_bytes(b"{")


def lose_all_of_it(store, version):
    shutil.rmtree(store.folder / "versions" / version)


DAMAGES = [flip_a_bit, lose_a_blob, spoil_the_manifest, lose_all_of_it]


def errors_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_first_start_notes_the_configured_model(start, store, checkpoints, ids):
    assert_is(start(0), checkpoints[0])
    assert store.pointers() == Pointers(live=ids[0], previous="", configured=ids[0])


def test_without_a_push_a_restart_is_like_the_first_start(start, store, checkpoints, ids, caplog):
    # The configured model is read from its own folder: that it is in the store is not needed.
    start(0)
    assert_is(start(0), checkpoints[0])
    assert store.pointers() == Pointers(live=ids[0], previous="", configured=ids[0])
    assert errors_in(caplog) == []


def test_a_restart_comes_up_with_the_last_live_version(
    start, store, checkpoints, ids, pushed, caplog
):
    before = store.pointers()
    assert_is(start(0), checkpoints[2])
    assert store.pointers() == before
    assert list(store.staging_folder.iterdir()) == []
    assert errors_in(caplog) == []


def test_a_restart_after_going_back_to_the_configured_model(start, store, checkpoints, ids, pushed):
    known = Pointers(live=ids[0], previous=ids[2], configured=ids[0])
    store.point(known)
    assert_is(start(0), checkpoints[0])
    assert store.pointers() == known


def test_another_configured_model_wins(start, store, checkpoints, ids, pushed, caplog):
    caplog.set_level(logging.INFO)
    assert_is(start(1), checkpoints[1])
    # One can go back to what was live.
    assert store.pointers() == Pointers(live=ids[1], previous=ids[2], configured=ids[1])
    assert f"--model is another than before: serving it, and not {ids[2]}" in caplog.text
    assert_is(start(1), checkpoints[1])
    assert store.pointers() == Pointers(live=ids[1], previous=ids[2], configured=ids[1])


def test_to_configure_what_is_live_already_forgets_nothing(start, store, checkpoints, ids, pushed):
    assert_is(start(2), checkpoints[2])
    # Not itself: one could not go back then.
    assert store.pointers() == Pointers(live=ids[2], previous=ids[1], configured=ids[2])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_version_gives_way_to_the_one_before_it(
    start, store, checkpoints, ids, pushed, caplog, damage
):
    damage(store, ids[2])
    assert_is(start(0), checkpoints[1])
    assert store.pointers() == Pointers(live=ids[1], previous="", configured=ids[0])
    (error,) = errors_in(caplog)
    assert f"version {ids[2]} was live, but cannot be loaded: " in error
    assert list(store.staging_folder.iterdir()) == []


def test_where_both_are_damaged_the_configured_model_is_served(
    start, store, checkpoints, ids, pushed, caplog
):
    flip_a_bit(store, ids[2])
    lose_a_blob(store, ids[1])
    assert_is(start(0), checkpoints[0])
    assert store.pointers() == Pointers(live=ids[0], previous="", configured=ids[0])
    assert [ids[2] in errors_in(caplog)[0], ids[1] in errors_in(caplog)[1]] == [True, True]


@pytest.mark.parametrize("previous", [0, None])
def test_where_no_other_was_pushed_the_configured_model_is_served(
    start, store, checkpoints, ids, pushed, caplog, previous
):
    before = "" if previous is None else ids[previous]
    store.point(Pointers(live=ids[2], previous=before, configured=ids[0]))
    lose_all_of_it(store, ids[2])
    lose_all_of_it(store, ids[0])  # it is read from its own folder
    assert_is(start(0), checkpoints[0])
    assert store.pointers() == Pointers(live=ids[0], previous="", configured=ids[0])
    assert len(errors_in(caplog)) == 1


def test_damaged_pointers_stop_the_start(start, store, pushed):
    # Which version is right cannot be known, and an old one in its place would not be noticed.
    (store.folder / "live.json").write_bytes(b'{"live": ')
    with pytest.raises(StoreError, match="remove it to start with the configured model"):
        start(0)
    assert (store.folder / "live.json").read_bytes() == b'{"live": '


def test_a_full_disk_stops_the_start(start, store, monkeypatch):
    def point(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "point", point)
    with pytest.raises(StoreError, match="cannot be written: No space left on device"):
        start(0)


def test_a_configured_model_that_is_not_there_is_told(start, store, pushed, tmp_path):
    before = store.pointers()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        load_model(WorkerSettings(model=str(tmp_path / "none"), device="cpu"), store)
    assert store.pointers() == before
