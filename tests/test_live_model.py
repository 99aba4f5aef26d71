"""What is served: nothing yet, a model and the one before it, nothing any more."""

import pytest
from debug_model import debug_model
from twinhead.server.errors import NotServingError, VersionNotLiveError
from twinhead.server.live_model import Serving, Swap


def test_starting_serving_draining():
    serving = Serving()
    with pytest.raises(NotServingError) as starting:
        serving.model()
    assert starting.value.reason == "STARTING"
    model = debug_model("one")
    serving.publish(model)
    assert serving.model() is model
    assert serving.model("one") is model
    with pytest.raises(VersionNotLiveError):
        serving.model("two")
    serving.drain()
    with pytest.raises(NotServingError) as draining:
        serving.model("one")
    assert draining.value.reason == "DRAINING"


def test_a_new_model_takes_the_place_of_the_old():
    serving = Serving()
    old, new = debug_model("old"), debug_model("new")
    serving.publish(old)
    held = serving.model()
    serving.publish(new)
    assert held is old  # whoever holds one answers by it to the end
    assert serving.model() is new


def test_the_version_before_is_kept_for_those_who_pin_it():
    serving = Serving()
    first, second, third = (debug_model(version) for version in ("one", "two", "three"))
    assert serving.previous is None
    serving.publish(first)
    assert serving.previous is None
    serving.publish(second)
    assert serving.previous is first
    assert serving.model("one") is first
    assert serving.model("two") is second
    assert serving.model() is second
    serving.publish(third)
    assert serving.previous is second
    assert serving.model("two") is second
    with pytest.raises(VersionNotLiveError) as gone:
        serving.model("one")  # two are held in memory, and no more
    assert gone.value.metadata() == {"live_version": "three"}


def test_going_back_keeps_the_one_that_was_left():
    serving = Serving()
    first, second = debug_model("one"), debug_model("two")
    for model in (first, second, first):
        serving.publish(model)
    assert serving.model() is first
    assert serving.previous is second


def test_which_model_is_live_is_known_while_the_worker_drains():
    serving = Serving()
    old, new = debug_model("same"), debug_model("same")
    assert not serving.is_live(old)
    serving.publish(old)
    assert serving.is_live(old)
    serving.publish(new)
    assert serving.is_live(new)
    assert not serving.is_live(old)  # although it is called the same
    serving.drain()
    assert serving.is_live(new)


async def test_subscribers_are_told_of_swaps_from_then_on():
    serving = Serving()
    first, second, third = (debug_model(version) for version in ("one", "two", "three"))
    with serving.subscribed() as early:
        serving.publish(first)
        with serving.subscribed() as late:
            serving.publish(second)
            assert late.get_nowait() == Swap(second, "one")
            assert late.empty()
        assert early.get_nowait() == Swap(first, "")
        serving.publish(third)
        assert early.get_nowait() == Swap(second, "one")
        assert early.get_nowait() == Swap(third, "two")
        assert serving.keeps_up(early)
    assert late.empty()  # it had left before the third
    assert not serving.keeps_up(late)
    assert not serving.keeps_up(early)


async def test_a_subscriber_who_is_too_far_behind_is_given_up():
    serving = Serving()
    models = debug_model("one"), debug_model("two")
    with serving.subscribed() as slow, serving.subscribed() as quick:
        for model in models * 100:
            serving.publish(model)  # a swap waits for nobody
            assert quick.get_nowait().model is model
        assert not serving.keeps_up(slow)
        assert serving.keeps_up(quick)
        waiting = slow.qsize()
        assert waiting > 8  # it was given time
        serving.publish(models[0])
        assert slow.qsize() == waiting
    assert not serving.keeps_up(slow)
