"""Settings are checked, documented and frozen."""

import pytest
from pydantic import ValidationError
from twinhead.server.settings import WorkerSettings


def test_the_default_is_loopback():
    assert WorkerSettings().host == "127.0.0.1"


@pytest.mark.parametrize("name", WorkerSettings.model_fields)
def test_every_setting_says_what_it_is(name):
    assert WorkerSettings.model_fields[name].description


@pytest.mark.parametrize(
    "wrong",
    [{"port": -1}, {"device": "tpu"}, {"queue_tokens": 0}, {"drain_seconds": -1}, {"prot": 1}],
)
def test_what_is_wrong_is_refused(wrong):
    with pytest.raises(ValidationError):
        WorkerSettings(**wrong)


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        WorkerSettings().port = 1
