"""What a worker tells of itself, and what is worked out of it."""

import math
from datetime import UTC, datetime

import pytest
from twinhead.client import Latencies
from twinhead.client.worker_status import read_status
from twinhead.v1 import model_admin_service_pb2 as pb

BOUNDS = (1.0, 2.0, 4.0)
REASONS = ("QUEUE_FULL", "CANCELLED", "INVALID_REQUEST", "DRAINING", "STARTING", "STORE_FULL")


def latencies(*batches: int) -> Latencies:
    return Latencies(BOUNDS, batches)


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.2, 1.5), (0.4, 2.0), (0.5, 2.5), (0.8, 4.0), (0.9, math.inf)]
)
def test_quantiles_are_told_within_their_bucket(share, seconds):
    # None under a second, four under two, four under four, two over.
    assert latencies(0, 4, 4, 2).quantile(share) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("batches", "seconds"),
    [((10, 0, 0, 0), 1.0), ((0, 0, 1, 0), 4.0), ((5, 0, 5, 0), 4.0), ((0, 0, 0, 1), math.inf)],
)
def test_all_batches_took_no_longer_than_their_last_bucket(batches, seconds):
    assert latencies(*batches).quantile(1.0) == seconds


@pytest.mark.parametrize(
    ("batches", "seconds"), [((3, 0, 0, 0), 0.0), ((0, 3, 0, 0), 1.0), ((0, 0, 0, 3), math.inf)]
)
def test_no_batch_was_quicker_than_its_bucket(batches, seconds):
    assert latencies(*batches).quantile(0.0) == seconds


def test_of_no_batches_there_is_no_quantile():
    assert latencies(0, 0, 0, 0).quantile(0.5) is None


def test_a_quantile_does_not_fall_as_the_share_grows():
    found = [latencies(3, 0, 7, 1).quantile(share / 100) for share in range(1, 101)]
    assert found == sorted(found)


def test_what_came_since_an_earlier_look():
    now, before = latencies(5, 4, 3, 2), latencies(5, 1, 0, 2)
    since = now.since(before)
    assert (list(since.batches), tuple(since.at_most_seconds)) == ([0, 3, 3, 0], BOUNDS)
    assert since.count == 6
    assert now.since(now).count == 0


def test_without_an_earlier_look_it_is_all_there_is():
    now = latencies(5, 4, 3, 2)
    assert now.since(None) == now
    # Nor with one of another release, whose buckets are others.
    assert now.since(Latencies((1.0,), (2, 3))) == now


def test_an_answer_is_read():
    response = pb.GetStatusResponse(
        model_version="v",
        ready=True,
        worker_release="1.2",
        engine="torch float32 cpu",
        resident_bytes=1,
        calls=2,
        queue_tokens=3,
        queue_limit_tokens=4,
        sentences=5,
        tokens=6,
        padded_tokens=7,
        passes=8,
        swaps=9,
        failures=dict.fromkeys(REASONS, 10),
        latencies={
            "interactive": pb.Latencies(at_most_seconds=[0.5, 1], batches=[1, 2, 3]),
            "bulk": pb.Latencies(at_most_seconds=[0.5, 1], batches=[0, 0, 0]),
        },
    )
    started = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    response.started.FromDatetime(started)
    status = read_status(response)
    assert status.started == started
    assert (status.model_version, status.ready, status.release) == ("v", True, "1.2")
    assert status.engine == "torch float32 cpu"
    assert [
        status.resident_bytes,
        status.calls,
        status.queue_tokens,
        status.queue_limit_tokens,
        status.sentences,
        status.tokens,
        status.padded_tokens,
        status.passes,
        status.swaps,
    ] == [*range(1, 10)]
    # In the order of their names, whatever the order in which they came.
    assert list(status.failures.items()) == [(reason, 10) for reason in sorted(REASONS)]
    assert list(status.latencies) == ["bulk", "interactive"]
    assert status.latencies["interactive"] == Latencies((0.5, 1.0), (1, 2, 3))


def test_of_a_worker_that_has_done_nothing():
    status = read_status(pb.GetStatusResponse())
    assert not status.ready
    assert (status.failures, status.latencies, status.sentences) == ({}, {}, 0)
