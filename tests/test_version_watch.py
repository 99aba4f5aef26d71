"""Workers that follow a place where versions are published."""

import logging
import os

import pytest
import swapped
from conftest import wait_until
from twinhead.client import AdminClient, Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig
from twinhead.model.network import Network
from twinhead.model.published import Published
from twinhead.model.version_parts import VersionParts
from twinhead.server import version_watch


@pytest.fixture
def base(tmp_path):
    return swapped.write_model(tmp_path / "model")


@pytest.fixture
def place(tmp_path):
    return Published(str(tmp_path / "published"))


@pytest.fixture
def start(tmp_path, start_debug_worker):
    def start(**settings):
        return swapped.start_small(
            start_debug_worker,
            tmp_path,
            watch=str(tmp_path / "published"),
            watch_seconds=0.1,
            **settings,
        )

    return start


def publish(place: Published, checkpoint: Checkpoint) -> None:
    place.publish(VersionParts.of(checkpoint))


def told(worker, name: str, **labels: str) -> float | None:
    """What the metrics say."""
    return worker.worker.metrics.registry.get_sample_value(f"twinhead_{name}", labels)


def live(worker) -> str:
    return worker.worker._serving.model().version


def test_what_is_published_goes_live_on_every_worker(base, place, start):
    workers = [start(), start()]  # before there is anything at all
    assert {live(worker) for worker in workers} == {base.version}
    for new in (swapped.changed(base, swapped.LAYER), swapped.changed(base, seed=2)):
        publish(place, new)
        wait_until(lambda new=new: {live(worker) for worker in workers} == {new.version})
    with Client(workers[0].target) as client:
        assert swapped.is_of(client.infer(swapped.SENTENCES), new, swapped.answers_of(new))


def test_who_starts_late_is_not_behind(base, place, start):
    new = swapped.changed(base, swapped.EVERYTHING)
    publish(place, new)
    # From the first moment that it says that it is ready.
    assert live(start()) == new.version


def test_a_first_version_may_have_other_tasks_and_later_ones_only_when_allowed(
    base, place, start, caplog
):
    def other(name: str) -> Checkpoint:
        task = TaskConfig(name=name, labels=("sweet", "sour"))
        config = base.config.model_copy(update={"tasks": (task,)})
        network = Network(config, base.network.encoder, base.network.dimensions)
        return Checkpoint.create(network, base.tokenizer)

    first, second = other("colour"), other("taste")
    publish(place, first)
    strict, lenient = start(), start(watch_new_tasks=True)
    assert live(strict) == live(lenient) == first.version
    with caplog.at_level(logging.ERROR):
        publish(place, second)
        wait_until(lambda: live(lenient) == second.version)
        wait_until(lambda: "is refused" in caplog.text)
    assert live(strict) == first.version
    assert f"version {second.version}" in caplog.text
    assert told(strict, "push_refusals_total", check="tasks") == 1
    assert (told(strict, "watch_failing"), told(lenient, "watch_failing")) == (1, 0)
    third = swapped.changed(first)
    publish(place, third)
    wait_until(lambda: live(strict) == third.version)
    wait_until(lambda: told(strict, "watch_failing") == 0)


def test_what_is_rolled_back_by_hand_stays_until_something_new_is_published(base, place, start):
    worker = start()
    first, second = swapped.changed(base, seed=1), swapped.changed(base, seed=2)
    publish(place, first)
    wait_until(lambda: live(worker) == first.version)
    watch_rounds = []
    looked = Published.live
    with AdminClient(worker.admin_target) as admin:
        assert admin.activate()[0] == base.version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Published, "live", lambda self: (watch_rounds.append(1), looked(self))[1])
        wait_until(lambda: len(watch_rounds) > 3)
    assert live(worker) == base.version
    publish(place, second)
    wait_until(lambda: live(worker) == second.version)


def test_a_place_that_is_damaged_or_away_is_told_once_and_looked_at_again(
    base, place, start, caplog, tmp_path
):
    worker = start()
    new = swapped.changed(base)
    folder = tmp_path / "published"
    folder.mkdir()
    with caplog.at_level(logging.ERROR):
        (folder / "live.json").write_text("{")
        wait_until(lambda: "cannot be read" in caplog.text)
        wait_until(lambda: told(worker, "watch_failing") == 1)
        publish(place, new)
        wait_until(lambda: live(worker) == new.version)
        wait_until(lambda: told(worker, "watch_failing") == 0)
    assert caplog.text.count("cannot be read") == 1


def test_a_place_that_hangs_is_given_up_until_it_answers(
    base, place, start, caplog, tmp_path, monkeypatch
):
    monkeypatch.setattr(version_watch, "_READ_SECONDS", 0.3)
    folder = tmp_path / "published"
    folder.mkdir()
    os.mkfifo(folder / "live.json")  # to open it waits until somebody writes
    with caplog.at_level(logging.ERROR):
        worker = start()
    assert live(worker) == base.version
    assert caplog.text.count("has not answered") == 1
    new = swapped.changed(base)
    pipe = folder / "live.json"
    pipe.rename(folder / "pipe")
    publish(place, new)
    text = pipe.read_bytes()
    with (folder / "pipe").open("wb") as stream:  # the read that hangs ends
        stream.write(text)
    wait_until(lambda: live(worker) == new.version)


def test_a_damaged_blob_is_not_taken_and_its_repair_is(base, place, start, caplog, tmp_path):
    worker = start()
    new = swapped.changed(base)
    publish(place, new)
    blob = tmp_path / "published" / "blobs" / swapped.digests_of(base, new)[0]
    whole = blob.read_bytes()
    wait_until(lambda: live(worker) == new.version)

    late = swapped.changed(base, seed=5)
    with caplog.at_level(logging.ERROR):
        blobs = tmp_path / "published" / "blobs"
        damaged = blobs / swapped.digests_of(base, late)[0]
        damaged.write_bytes(bytes(len(whole)))  # there already: publishing leaves it alone
        publish(place, late)
        wait_until(lambda: "arrived with other bytes" in caplog.text)
        assert live(worker) == new.version
        damaged.unlink()
        publish(place, late)
        wait_until(lambda: live(worker) == late.version)
