"""`twinhead serve`: options, and one line for each thing that can be wrong."""

import pytest
from twinhead.server.settings import WorkerSettings


def test_every_setting_is_an_option_with_its_help(run_twinhead):
    done = run_twinhead("serve", "--help")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    for name, field in WorkerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert " ".join(field.description.split()) in said


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--model", "no-such-folder"], 1, "no-such-folder/twinhead.json is missing"),
        (["--device", "cuda:7"], 1, "device cuda:7 is not there"),
        (["--device", "abacus"], 2, "--device"),
        (["--port", "70000"], 2, "--port"),
        (["--queue-tokens", "0"], 2, "--queue-tokens"),
        (["--no-such-option"], 2, "No such option"),
        (["--host", "203.0.113.77"], 1, "cannot listen on 203.0.113.77"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run_twinhead, options, code, said):
    done = run_twinhead("serve", "--port", "0", *options)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port(run_twinhead, starter_worker):
    done = run_twinhead("serve", "--port", str(starter_worker.port))
    assert done.returncode == 1
    assert "choose another --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(run_twinhead):
    done = run_twinhead("--debug", "serve", "--port", "0", "--model", "no-such-folder")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
