"""A checkpoint into one worker and into several: live on all of them, or on none."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from conftest import DebugWorker
from test_admin_client import (
    BIAS,
    LIVE,
    OTHER_TASKS,
    STAGED,
    TOKEN,
    WEIGHT_BYTES,
    all_sea,
    live_version,
    push,
    save_small,
    scripted,
    variant,
    wait_until_free,
)
from twinhead.client import AdminClient, Client
from twinhead.client.admin_client import DriftLimits
from twinhead.client.channel import Access
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model
from twinhead.trainer.push import PushOptions, PushReport, push_checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def other_saved(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("other"), OTHER_TASKS)


@pytest.fixture(scope="module")
def first(saved) -> Checkpoint:
    return Checkpoint.load(saved)


@pytest.fixture(scope="module")
def second(first) -> Checkpoint:
    return variant(first)


@pytest.fixture
def start(start_debug_worker, saved) -> Callable[..., DebugWorker]:
    def start(model: Path = saved, **settings: object) -> DebugWorker:
        return start_debug_worker(
            load=load_model, model=str(model), device="cpu", threads=1, **settings
        )

    return start


def push_to(
    workers: Iterable[DebugWorker | str], checkpoint: Checkpoint, **options: object
) -> list[PushReport]:
    targets = [each if isinstance(each, str) else each.admin_target for each in workers]
    reports = push_checkpoint(checkpoint, targets, PushOptions(**options))
    assert [report.worker for report in reports] == targets
    return reports


def test_one_worker(start, first, second):
    worker = start()
    (report,) = push_to([worker], second)
    assert report.live
    assert (report.error, report.previous_version, report.lasting) == ("", first.version, False)
    assert report.gate.received_bytes == WEIGHT_BYTES
    assert live_version(worker) == second.version


def test_who_watches_is_told_of_each_push(start, first, second):
    worker = start()
    with Client(worker.target) as client:
        seen = client.watch()
        assert next(seen).version == first.version
        push_to([worker], second)
        assert next(seen).version == second.version
        push_to([worker], first)
        assert next(seen).version == first.version
        seen.close()


def test_each_worker_gets_what_it_lacks(start, tmp_path, first, second):
    behind, ahead = start(), start(state=str(tmp_path / "state"))
    push_to([ahead], second)
    third = variant(second, all_sea, BIAS)
    sent: Counter[str] = Counter()
    reports = push_checkpoint(
        third,
        [behind.admin_target, ahead.admin_target],
        PushOptions(),
        lambda worker, size: sent.update({worker: size}),
    )
    assert [(report.live, report.previous_version, report.lasting) for report in reports] == [
        (True, first.version, False),
        (True, second.version, True),
    ]
    bias_bytes = 3 * 4
    assert [report.gate.received_bytes for report in reports] == [
        WEIGHT_BYTES + bias_bytes,
        bias_bytes,
    ]
    assert sent == {report.worker: report.gate.received_bytes for report in reports}
    assert live_version(behind) == live_version(ahead) == third.version


@pytest.mark.parametrize("refuses_first", [True, False])
def test_where_one_serves_other_labels_none_changes(
    start, first, other_saved, second, refuses_first
):
    fits, refuses = start(), start(other_saved)
    other_version = live_version(refuses)
    workers = [refuses, fits] if refuses_first else [fits, refuses]
    reports = {report.worker: report for report in push_to(workers, second)}
    assert not any(report.live for report in reports.values())
    refusal = reports[refuses.admin_target]
    assert "labels of topic are sea, land, sky" in refusal.error
    assert refusal.gate is None
    # The other is not to blame, and it did stage the version.
    dropped = reports[fits.admin_target]
    assert dropped.error == ""
    assert dropped.gate.received_bytes == WEIGHT_BYTES
    assert (live_version(fits), live_version(refuses)) == (first.version, other_version)
    # And it goes without the one that refuses, or with its leave.
    wait_until_free(fits)
    assert [report.live for report in push_to([fits], second)] == [True]
    assert [report.live for report in push_to(workers, second, allow_new_tasks=True)] == [True] * 2
    assert live_version(fits) == live_version(refuses) == second.version


def test_where_one_is_gone_none_changes(start, first, second):
    worker = start()
    there, gone = push_to([worker, "localhost:1"], second)
    assert (there.live, there.error) == (False, "")
    assert (gone.live, gone.gate) == (False, None)
    assert "no worker answers at localhost:1" in gone.error
    assert live_version(worker) == first.version


def test_another_version_than_expected_on_one_of_them(start, first, second):
    worker, changed = start(), start()
    push_to([changed], second)
    third = variant(second)
    same, other = push_to([worker, changed], third, expected_live_version=first.version)
    assert (same.live, same.error) == (False, "")
    assert f"'{first.version}' was to be live, but {second.version} is" in other.error
    assert (live_version(worker), live_version(changed)) == (first.version, second.version)


def test_a_version_that_is_live_already(start, first, second):
    worker, changed = start(), start()
    push_to([changed], second)
    reports = push_to([worker, changed], second)
    assert [report.previous_version for report in reports] == [first.version, second.version]
    assert [report.gate.received_bytes for report in reports] == [WEIGHT_BYTES, 0]
    assert [report.live for report in reports] == [True, True]
    # The version before is still the one to go back to.
    with AdminClient(changed.admin_target) as admin:
        assert admin.activate() == (first.version, second.version)


def test_drift_limits_are_those_of_every_worker(start, first):
    offered = variant(first, all_sea, BIAS)
    worker, same = start(), start()
    push_to([same], offered)
    limits = DriftLimits(min_agreement=1.0, sentences=["the fox", "a quick fox", "run", "!"])
    drifted, equal = push_to([worker, same], offered, drift_limits=limits)
    assert "drift: topic: " in drifted.error
    assert equal.error == ""
    assert equal.gate.agreement == {"topic": 1.0, "mood": 1.0}
    assert equal.gate.probes == 4
    assert live_version(worker) == first.version


def test_the_token_goes_to_every_worker(start, tmp_path, first, second):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN} infer,admin\n")
    locked, opened = start(token_file=str(file)), start()
    reports = push_to([locked, opened], second)
    assert ["token" in report.error for report in reports] == [True, False]
    assert live_version(opened) == first.version
    wait_until_free(opened)
    assert all(report.live for report in push_to([locked, opened], second, access=Access(TOKEN)))


def test_what_fails_in_the_last_moment_is_told(start, first, second):
    worker = start()

    def stage_and_give_up(requests, context):
        next(requests)
        yield STAGED

    with scripted(stage_and_give_up) as target:
        broken, fine = push_to([target, worker], second)
    assert (broken.live, broken.gate.probes) == (False, 3)
    assert "without a word" in broken.error
    assert (fine.live, fine.error, fine.previous_version) == (True, "", first.version)
    assert live_version(worker) == second.version


def test_none_is_live_before_all_are_ready(second):
    staged, went_live = threading.Event(), threading.Event()
    too_early: list[bool] = []

    def stage_at_once(requests, context):
        next(requests)
        yield STAGED
        staged.set()
        if next(requests).WhichOneof("step") == "go_live":
            went_live.set()
        yield LIVE

    def stage_late(requests, context):
        next(requests)
        staged.wait(30)
        # Nothing is to come of it, and nothing tells that; what is wrong would come at once.
        too_early.append(went_live.wait(0.5))
        yield STAGED
        next(requests)
        yield LIVE

    with scripted(stage_at_once) as early, scripted(stage_late) as late:
        reports = push_to([early, late], second)
    assert too_early == [False]
    assert went_live.is_set()
    assert [(report.live, report.previous_version) for report in reports] == [(True, "before")] * 2


def test_an_interrupt_ends_a_push_at_once(start, first, second):
    worker = start()
    left = threading.Event()

    def never_stage(requests, context):
        context.add_callback(left.set)
        next(requests)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        left.wait(60)
        yield from ()

    with scripted(never_stage) as target:
        with pytest.raises(KeyboardInterrupt):
            push_to([worker, target], second)
        # Else the push has ended only because the worker had no patience any more.
        assert left.wait(30)
    wait_until_free(worker)
    assert live_version(worker) == first.version
    with AdminClient(worker.admin_target) as admin:
        push(admin, second)
    assert live_version(worker) == second.version
