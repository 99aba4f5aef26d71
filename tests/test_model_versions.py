"""Versions come and go while a worker answers: real ports, a real engine, a small BERT."""

import errno
import gc
import os
import random
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
import swapped
from conftest import wait_until
from corrupted_offers import FAULTS, corrupted
from small_encoders import write_encoder
from twinhead.client import (
    AdminClient,
    Client,
    InferOptions,
    PushRefusedError,
    TwinheadError,
    UnknownVersionError,
    VersionNotLiveError,
    VersionOffer,
)
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig
from twinhead.model.encoder import Encoder
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer
from twinhead.model.version_parts import VersionParts
from twinhead.server import model_versions


@pytest.fixture
def base(tmp_path):
    return swapped.write_model(tmp_path / "model")


@pytest.fixture
def worker(base, tmp_path, start_debug_worker):
    return swapped.start_small(start_debug_worker, tmp_path, state=str(tmp_path / "state"))


@pytest.fixture
def admin(worker):
    with AdminClient(worker.admin_target) as admin:
        yield admin


@pytest.fixture
def client(worker):
    with Client(worker.target) as client:
        yield client


def push(admin: AdminClient, checkpoint: Checkpoint, **conditions) -> None:
    push_offer(admin, swapped.offer_of(checkpoint, **conditions))


def push_offer(admin: AdminClient, offer: VersionOffer) -> None:
    with admin.push(offer) as pushing:
        pushing.stage()
        pushing.go_live()


def with_tasks(base: Checkpoint, *tasks: TaskConfig) -> Checkpoint:
    """The base's encoder with heads for other tasks."""
    config = base.config.model_copy(update={"tasks": tasks})
    network = Network(config, base.network.encoder, base.network.dimensions)
    return Checkpoint.create(network, base.tokenizer)


@pytest.mark.parametrize("names", [swapped.HEADS, swapped.LAYER, swapped.EVERYTHING])
def test_what_is_pushed_answers_and_names_itself(admin, client, base, names):
    new = swapped.changed(base, names)
    before, after = swapped.answers_of(base), swapped.answers_of(new)
    assert swapped.is_of(client.infer(swapped.SENTENCES), base, before)
    push(admin, new)
    assert swapped.is_of(client.infer(swapped.SENTENCES), new, after)
    # The version before still answers those who pin it.
    pinned = InferOptions(model_version=base.version)
    assert swapped.is_of(client.infer(swapped.SENTENCES, pinned), base, before)


def test_a_version_that_is_no_longer_kept_in_memory_is_refused_to_those_who_pin_it(
    admin, client, base
):
    for seed in (1, 2):
        push(admin, swapped.changed(base, seed=seed))
    with pytest.raises(VersionNotLiveError):
        client.infer(swapped.SENTENCES, InferOptions(model_version=base.version))


def test_unchanged_tensors_are_shared_with_the_live_version(worker, admin, base):
    def tensors():
        return worker.worker._serving.model().checkpoint.network.state_dict()

    before = tensors()
    push(admin, swapped.changed(base, swapped.LAYER))
    for name, tensor in tensors().items():
        changed = any(part in name for part in swapped.LAYER)
        assert (tensor.data_ptr() == before[name].data_ptr()) is not changed, name


def test_old_weights_go_when_their_last_user_leaves(worker, admin, base):
    serving = worker.worker._serving
    old = weakref.ref(serving.model().checkpoint.network.heads)
    holder = serving.model()
    worker.model = None  # what the fixture holds
    push(admin, swapped.changed(base, seed=1))
    push(admin, swapped.changed(base, seed=2))
    gc.collect()
    assert old() is not None
    del holder
    gc.collect()
    assert old() is None


@pytest.mark.long
def test_every_answer_under_load_is_of_the_version_it_names(admin, worker, base):
    versions = [
        base,
        *(
            swapped.changed(base, names, seed)
            for seed, names in enumerate((swapped.HEADS, swapped.LAYER, swapped.EVERYTHING))
        ),
    ]
    known = {each.version: (each, swapped.answers_of(each)) for each in versions}
    stop, seen, faults = threading.Event(), set[str](), list[object]()

    def check(result) -> None:
        if isinstance(result, TwinheadError):
            faults.append(result)
        elif not swapped.is_of(result, *known[result.model_version]):
            faults.append(result.model_version)
        else:
            seen.add(result.model_version)

    def unary() -> None:
        with Client(worker.target) as client:
            while not stop.is_set():
                try:
                    check(client.infer(swapped.SENTENCES))
                except TwinheadError as error:
                    faults.append(error)

    def stream() -> None:
        def batches():
            while not stop.is_set():
                yield swapped.SENTENCES

        with Client(worker.target) as client:
            for result in client.infer_stream(batches()):
                check(result)

    threads = [threading.Thread(target=work) for work in (unary, stream) * 2]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            target = versions[(number + 1) % len(versions)]
            seen.clear()
            push(admin, target)
            wait_until(lambda version=target.version: version in seen or faults)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not faults


def test_rolling_back_goes_back_and_forth(admin, client, base):
    new = swapped.changed(base)
    push(admin, new)
    assert admin.activate() == (base.version, new.version)
    assert swapped.is_of(client.infer(swapped.SENTENCES), base, swapped.answers_of(base))
    assert admin.activate() == (new.version, base.version)
    assert admin.activate(base.version, expected_live_version=new.version)[0] == base.version
    assert [each.state for each in admin.versions().versions] == ["live", "previous"]


def test_a_version_is_activated_from_the_disk(admin, client, base):
    for seed in (1, 2):
        push(admin, swapped.changed(base, swapped.EVERYTHING, seed))
    assert admin.activate(base.version)[0] == base.version
    assert swapped.is_of(client.infer(swapped.SENTENCES), base, swapped.answers_of(base))


def test_a_bounded_number_of_versions_is_kept(base, tmp_path, start_debug_worker):
    state = tmp_path / "state"
    worker = swapped.start_small(start_debug_worker, tmp_path, state=str(state), keep_versions=3)
    versions = [swapped.changed(base, swapped.EVERYTHING, seed) for seed in range(5)]
    with AdminClient(worker.admin_target) as admin:
        for version in versions:
            push(admin, version)
        kept = [each.version for each in admin.versions().versions]
    assert kept == [each.version for each in reversed(versions[-3:])]
    used = {entry.sha256 for each in versions[-3:] for entry in each.manifest.tensors.values()}
    used.add(base.manifest.tokenizer_sha256)
    assert {path.name for path in (state / "blobs").iterdir()} == used


def test_a_restart_comes_up_with_the_last_live_version(base, tmp_path, start_debug_worker):
    settings = {"state": str(tmp_path / "state")}
    worker = swapped.start_small(start_debug_worker, tmp_path, **settings)
    new = swapped.changed(base, swapped.LAYER)
    with AdminClient(worker.admin_target) as admin:
        push(admin, new)
    worker.drain()
    again = swapped.start_small(start_debug_worker, tmp_path, **settings)
    with Client(again.target) as client, AdminClient(again.admin_target) as admin:
        assert swapped.is_of(client.infer(swapped.SENTENCES), new, swapped.answers_of(new))
        assert admin.activate()[0] == base.version
        assert swapped.is_of(client.infer(swapped.SENTENCES), base, swapped.answers_of(base))


def test_without_a_state_folder_nothing_is_written(base, tmp_path, start_debug_worker, monkeypatch):
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    # What a killed worker has left, and what another one is using.
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (places / f"twinhead-push-{ended.pid}-abc").mkdir()
    used = places / f"twinhead-push-{os.getpid()}-other"
    used.mkdir()
    worker = swapped.start_small(start_debug_worker, tmp_path)
    versions = [swapped.changed(base, seed=seed) for seed in (1, 2)]
    with AdminClient(worker.admin_target) as admin:
        for version in versions:
            push(admin, version)
        found = admin.versions()
        assert [each.version for each in found.versions] == [
            each.version for each in versions[::-1]
        ]
        assert not found.lasting
        with pytest.raises(UnknownVersionError):
            admin.activate(base.version)
        wait_until(lambda: list(places.iterdir()) == [used])


def test_other_tasks_are_taken_only_when_that_is_asked_for(admin, client, base):
    new = with_tasks(base, TaskConfig(name="colour", labels=("red", "green", "blue")))
    with pytest.raises(PushRefusedError, match="--allow-new-tasks") as caught:
        push(admin, new)
    assert caught.value.check == "tasks"
    push(admin, new, allow_new_tasks=True)
    result = client.infer(swapped.SENTENCES)
    assert swapped.is_of(result, new, swapped.answers_of(new))
    assert list(result.tasks) == ["colour"]
    pinned = client.infer(swapped.SENTENCES, InferOptions(model_version=base.version))
    assert list(pinned.tasks) == ["topic", "mood"]


def test_another_architecture_is_taken_only_when_that_is_asked_for(admin, client, base, tmp_path):
    folder = write_encoder(tmp_path / "other", "distilbert")
    encoder = Encoder.load(folder)
    tokenizer = Tokenizer.load(folder, base.config.max_tokens)
    new = Checkpoint.create(Network(base.config, encoder, encoder.dimensions), tokenizer)
    with pytest.raises(PushRefusedError, match="--allow-new-tasks"):
        push(admin, new)
    push(admin, new, allow_new_tasks=True)
    assert swapped.is_of(client.infer(swapped.SENTENCES), new, swapped.answers_of(new))


def test_a_new_architecture_must_stay_under_the_limit(base, tmp_path, start_debug_worker):
    worker = swapped.start_small(start_debug_worker, tmp_path, version_bytes=1000)
    new = with_tasks(base, TaskConfig(name="colour", labels=("red", "green")))
    with AdminClient(worker.admin_target) as admin:
        with pytest.raises(PushRefusedError, match="1,000 are allowed") as caught:
            push(admin, new, allow_new_tasks=True)
    assert caught.value.check == "size"


def test_corrupted_pushes_are_refused_and_leave_nothing(worker, admin, client, base):
    before = client.infer(swapped.SENTENCES)
    parts = VersionParts.of(swapped.changed(base))
    for fault in FAULTS:
        for seed in range(2):
            said = ""
            try:
                push_offer(admin, corrupted(parts, fault, random.Random(seed)))
            except TwinheadError as error:
                said = str(error)
            assert said, f"a version with the fault {fault!r} went live"
            assert "internal error" not in said, fault
    after = client.infer(swapped.SENTENCES)
    assert after.model_version == before.model_version
    assert (after.embeddings == before.embeddings).all()
    assert list(Path(worker.settings.state, "staging").iterdir()) == []
    assert [each.version for each in admin.versions().versions] == [base.version]
    push_offer(admin, VersionOffer(files=parts.files.files, read=parts.read))


def test_a_disk_without_room_is_told_before_anything_is_sent(admin, client, base, monkeypatch):
    monkeypatch.setattr(model_versions, "free_bytes", lambda _: 100)
    with pytest.raises(PushRefusedError, match="100 are free"):
        push(admin, swapped.changed(base))
    monkeypatch.undo()
    push(admin, swapped.changed(base))


@pytest.mark.parametrize("place", ["write", "replace"])
def test_a_disk_that_fills_up_leaves_the_live_version(admin, client, base, monkeypatch, place):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {
        "write": "twinhead.server.blob_receiver.os.fsync",
        "replace": "twinhead.server.version_store.write_synced",
    }[place]
    monkeypatch.setattr(target, full)
    with pytest.raises(PushRefusedError, match="no room"):
        push(admin, swapped.changed(base))
    monkeypatch.undo()
    assert client.model().version == base.version
    push(admin, swapped.changed(base))


def test_a_blob_that_was_damaged_on_the_disk_is_found_and_sent_again(admin, client, base, tmp_path):
    new = swapped.changed(base, swapped.LAYER)
    push(admin, new)
    for seed in (2, 3):
        push(admin, swapped.changed(base, seed=seed))
    blob = tmp_path / "state" / "blobs" / swapped.digests_of(base, new)[0]
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(PushRefusedError, match="push once more"):
        push(admin, new)
    push(admin, new)
    assert swapped.is_of(client.infer(swapped.SENTENCES), new, swapped.answers_of(new))


def test_what_goes_live_in_between_makes_a_staged_version_wait_in_vain(admin, client, base):
    first, second = swapped.changed(base, seed=1), swapped.changed(base, seed=2)
    push(admin, first)
    with admin.push(swapped.offer_of(second)) as pushing:
        pushing.stage()
        admin.activate()  # a rollback does not wait for the push
        with pytest.raises(TwinheadError, match=f"{base.version} is"):
            pushing.go_live()
    assert client.model().version == base.version


def test_a_rollback_does_not_wait_for_a_version_that_takes_long_to_build(
    admin, worker, client, base
):
    push(admin, swapped.changed(base))
    done = threading.Event()
    building = worker.worker._versions._threads.submit(done.wait, 30)
    try:
        assert admin.activate()[0] == base.version
        assert not building.done()
    finally:
        done.set()
    assert client.model().version == base.version


def test_pushing_the_live_version_changes_nothing(admin, client, base):
    new = swapped.changed(base)
    push(admin, new)
    push(admin, new)
    assert [each.version for each in admin.versions().versions] == [new.version, base.version]


def test_watchers_are_told_of_each_swap(admin, client, base):
    new = swapped.changed(base)
    watching = client.watch()
    assert next(watching).version == base.version
    push(admin, new)
    assert next(watching).version == new.version
    admin.activate()
    assert next(watching).version == base.version
    watching.close()


def test_a_damaged_version_on_disk_is_not_activated(admin, client, base, tmp_path):
    first = swapped.changed(base, swapped.EVERYTHING, 1)
    for version in (first, swapped.changed(base, seed=2), swapped.changed(base, seed=3)):
        push(admin, version)
    own = set(swapped.digests_of(base, first))
    blob = tmp_path / "state" / "blobs" / sorted(own)[0]
    data = bytearray(blob.read_bytes())
    data[0] ^= 1
    blob.write_bytes(data)
    live = client.model().version
    with pytest.raises(PushRefusedError, match="is damaged on disk"):
        admin.activate(first.version)
    assert client.model().version == live
    assert not blob.exists()  # so that it is asked for when the version is pushed once more
