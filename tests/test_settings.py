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


@pytest.mark.parametrize("scopes", ["", "infer", "read", "infer,read", "read,infer"])
def test_what_callers_without_a_token_may(scopes):
    assert WorkerSettings(anonymous=scopes).anonymous == scopes


# Whoever may change the model shows a token.
@pytest.mark.parametrize(
    "scopes", ["admin", "infer,admin", "infer, read", "read,read", ",", "INFER", "infer\n"]
)
def test_what_callers_without_a_token_may_not(scopes):
    with pytest.raises(ValidationError):
        WorkerSettings(anonymous=scopes)


@pytest.mark.parametrize("name", ["stall_seconds", "watch_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, 3600.1, float("inf"), float("nan")])
def test_times_between_looks_have_bounds(name, seconds):
    with pytest.raises(ValidationError):
        WorkerSettings(**{name: seconds})


@pytest.mark.parametrize("seconds", [1, 0.1 * 3 + 0.7, 3600])
def test_a_stall_takes_a_second_to_an_hour(seconds):
    assert WorkerSettings(stall_seconds=seconds).stall_seconds == seconds


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("log_format", ["human", "json"], ["", "JSON", "text"]),
        ("log_level", ["debug", "info", "warning", "error"], ["", "INFO", "critical", "notset"]),
    ],
)
def test_what_the_log_can_be(name, allowed, refused):
    for value in allowed:
        assert getattr(WorkerSettings(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(ValidationError):
            WorkerSettings(**{name: value})


def test_metrics_and_traces_are_asked_for():
    settings = WorkerSettings()
    assert settings.metrics_port is None
    assert not settings.traces
    # And then told on this machine only.
    assert settings.metrics_host == settings.host == settings.admin_host == "127.0.0.1"


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        WorkerSettings().port = 1
