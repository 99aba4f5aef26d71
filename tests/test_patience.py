"""How long a call goes on without a worker, by a clock that is set by hand."""

from types import SimpleNamespace

import pytest
from twinhead.client import TwinheadError, WorkerFullError, WorkerTimeoutError
from twinhead.client import patience as module
from twinhead.client.errors import InvalidRequestError, WorkerFailedError, WorkerUnavailableError
from twinhead.client.patience import Patience

GONE = WorkerUnavailableError("nobody is there")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_it_waits_for_as_long_as_is_said(clock):
    patience = Patience(None, 5.0)
    for seconds, waits in ((0, True), (4.9, True), (5, False), (6, False)):
        clock.now = 1000 + seconds
        assert patience.waits_for(GONE) is waits


def test_it_does_not_wait_past_the_end_of_the_call(clock):
    patience = Patience(2.0, 5.0)
    for seconds, waits in ((0, True), (1.9, True), (2, False), (3, False)):
        clock.now = 1000 + seconds
        assert patience.waits_for(GONE) is waits


def test_without_time_it_does_not_wait_at_all(clock):
    assert not Patience(None, 0.0).waits_for(GONE)


@pytest.mark.parametrize(
    "failure",
    [
        TwinheadError("odd"),
        WorkerTimeoutError("late"),
        WorkerFullError("full", 1.0),
        InvalidRequestError("wrong"),
        WorkerFailedError("broken"),
    ],
)
def test_only_a_worker_that_is_away_is_waited_for(clock, failure):
    patience = Patience(None, 5.0)
    assert not patience.waits_for(failure)
    assert patience.waits_for(GONE)


def test_a_stream_waits_for_a_worker_that_is_full_too(clock):
    patience = Patience(None, 5.0, (WorkerUnavailableError, WorkerFullError))
    assert patience.waits_for(WorkerFullError("full", 1.0))
    assert patience.waits_for(GONE)
    assert not patience.waits_for(InvalidRequestError("wrong"))
    clock.now += 5
    assert not patience.waits_for(WorkerFullError("full", 1.0))


def test_a_try_may_take_what_is_left_of_the_call(clock):
    patience = Patience(2.0, 60.0)
    left = []
    for seconds in (0, 0.5, 2, 3):
        clock.now = 1000 + seconds
        left.append(patience.left())
    assert left == [2.0, 1.5, 0.0, 0.0]


def test_a_call_without_an_end_never_runs_out(clock):
    patience = Patience(None, 5.0)
    clock.now += 1e9
    assert patience.left() is None
