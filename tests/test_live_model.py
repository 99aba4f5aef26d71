"""What is served: nothing yet, a model, nothing any more."""

import pytest
from debug_model import debug_model
from twinhead.server.errors import NotServingError, VersionNotLiveError
from twinhead.server.live_model import Serving


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
