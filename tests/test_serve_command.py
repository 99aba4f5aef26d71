"""`twinhead serve`: options, and one line for each thing that can be wrong."""

import os
import subprocess
import sys

import pytest
from twinhead.server.read_settings import read_settings
from twinhead.server.settings import WorkerSettings


def test_every_setting_is_an_option_with_its_help(run_twinhead):
    done = run_twinhead("serve", "--help")
    assert done.returncode == 0
    # Without any space: lines are also broken after the hyphens of an option's name.
    said = "".join(done.stdout.split())
    for name, field in WorkerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert "".join(field.description.split()) in said


def test_every_default_is_in_the_help(run_twinhead):
    said = "".join(run_twinhead("serve", "--help").stdout.split()).replace("(", "")
    for field in WorkerSettings.model_fields.values():
        text = "".join(field.description.split()).replace("(", "")
        assert (f"{text}[default:" in said) == (field.default not in (None, ""))
        assert f"{text}[default:{str(field.default).lower()}" in said or field.default in (None, "")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--model", "no-such-folder"], 1, "no-such-folder/twinhead.json is missing"),
        (["--device", "cuda:7"], 1, "device cuda:7 is not there"),
        (["--device", "abacus"], 2, "--device"),
        (["--port", "70000"], 2, "--port"),
        (["--queue-tokens", "0"], 2, "--queue-tokens"),
        (["--no-such-option"], 2, "No such option"),
        (["--host", "203.0.113.77", "--allow-plaintext"], 1, "cannot listen on 203.0.113.77"),
        (["--host", "0.0.0.0"], 1, "nothing is encrypted"),
        (["--admin-host", "0.0.0.0", "--allow-plaintext"], 1, "with --token-file"),
        (["--token-file", "no-such-file"], 1, "the token file no-such-file cannot be read"),
        (["--tls-key", "no-such-file"], 1, "needs both --tls-certificate and --tls-key"),
        (["--tls-certificate", "a", "--tls-key", "b"], 1, "the TLS file b cannot be read"),
        (["--tls-certificate", "a", "--tls-client-ca", "c"], 1, "needs both --tls-certificate"),
        (["--anonymous", "admin"], 2, "--anonymous"),
        (["--log-format", "xml"], 2, "--log-format"),
        (["--config", "no-such-file"], 2, "no-such-file cannot be read: No such file"),
        (["--metrics-host", "203.0.113.77", "--metrics-port", "0"], 1, "choose another --metrics"),
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


# What it would run with.


def run_python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A program in a process without settings among its variables, but for those given."""
    kept = {name: value for name, value in os.environ.items() if "TWINHEAD" not in name}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=kept | environment,
    )


def show_config(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run_python(
        "from twinhead.client.command_line import main\n"
        f"main(['serve', '--show-config', *{arguments!r}])",
        **environment,
    )


def test_the_configuration_is_shown_and_where_it_is_from(tmp_path):
    config = tmp_path / "worker.toml"
    config.write_text("threads = 3\nqueue_tokens = 10\n")
    done = show_config(
        *("--config", str(config), "--port", "0", "--traces"),
        TWINHEAD_QUEUE_TOKENS="20",
        TWINHEAD_ADMIN_PORT="7",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.removeprefix("# ").split()[0] for line in lines] == [*WorkerSettings.model_fields]
    said = {line for line in lines if not line.endswith("  # default")}
    assert said == {
        "port = 0  # --port",
        "traces = true  # --traces",
        "queue_tokens = 20  # TWINHEAD_QUEUE_TOKENS",
        "admin_port = 7  # TWINHEAD_ADMIN_PORT",
        f"threads = 3  # threads in {config}",
    }


def test_what_is_shown_is_a_configuration(tmp_path):
    config = tmp_path / "worker.toml"
    options = ("--model", "my models/é", "--no-traces", "--drain-seconds", "2.5")
    config.write_text(show_config(*options, PYTHONUTF8="1").stdout, encoding="utf-8")
    assert read_settings({}, config, {}).settings == WorkerSettings(
        model="my models/é", drain_seconds=2.5
    )
    again = show_config("--config", str(config), "--log-level", "debug", PYTHONUTF8="1")
    assert again.returncode == 0
    assert f'model = "my models/é"  # model in {config}' in again.stdout.splitlines()
    assert 'log_level = "debug"  # --log-level' in again.stdout.splitlines()


def test_the_file_may_be_named_by_a_variable(tmp_path):
    config = tmp_path / "worker.toml"
    config.write_text("threads = 3\n")
    done = show_config(TWINHEAD_CONFIG=str(config))
    assert f"threads = 3  # threads in {config}" in done.stdout.splitlines()


def test_all_that_is_wrong_with_the_settings_is_told(tmp_path):
    config = tmp_path / "worker.toml"
    config.write_text("prot = 1\n")
    done = show_config("--config", str(config), TWINHEAD_PORT="none", TWINHEAD_MODLE="mine")
    assert (done.returncode, done.stdout) == (2, "")
    for said in (
        f"prot in {config}: there is no such setting; did you mean port?",
        "TWINHEAD_MODLE: there is no such setting; did you mean TWINHEAD_MODEL?",
        "TWINHEAD_PORT: ",
    ):
        assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_showing_the_configuration_loads_no_model_and_listens_nowhere(starter_worker, tmp_path):
    # A worker of these settings could not be.
    wrong = ("--port", str(starter_worker.port), "--model", "no-such-folder")
    port_file = tmp_path / "port"
    done = run_python(
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from twinhead.client.command_line import main\n"
        f"main(['serve', '--show-config', '--port-file', {str(port_file)!r}, *{wrong!r}])"
    )
    assert done.returncode == 0
    assert f"port = {starter_worker.port}  # --port" in done.stdout.splitlines()
    assert not port_file.exists()
    loaded = done.stderr.split()
    assert "twinhead.server.read_settings" in loaded
    assert "torch" not in loaded
