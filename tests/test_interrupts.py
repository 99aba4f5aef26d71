"""Ctrl-C at a good moment."""

import signal

import pytest
from twinhead.client.interrupts import held_interrupts


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal that raises KeyboardInterrupt."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_what_comes_within_the_block_is_raised_after_it(number):
    steps = []

    def work():
        with held_interrupts():
            steps.append("begun")
            signal.raise_signal(number)
            steps.append("ended")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["begun", "ended"]
    assert signal.getsignal(number) is signal.default_int_handler


def test_what_comes_after_it_is_raised_at_once(number):
    with held_interrupts():
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_a_failure_within_the_block_is_the_one_that_is_told(number):
    def work():
        with held_interrupts():
            signal.raise_signal(number)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        work()
    assert signal.getsignal(number) is signal.default_int_handler


def test_signals_that_do_something_else_are_left_alone():
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("own"))
    try:
        with held_interrupts():
            signal.raise_signal(signal.SIGTERM)
            assert came == ["own"]
    finally:
        signal.signal(signal.SIGTERM, before)
