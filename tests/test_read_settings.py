"""Settings from options, variables, a file and defaults: which one counts, and what is refused."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from twinhead.server.read_settings import SettingsError, read_settings
from twinhead.server.settings import WorkerSettings

# As Kubernetes sets them in every container of a namespace with services called twinhead and
# twinhead-admin.
SERVICE_LINKS = {
    "TWINHEAD_PORT": "tcp://10.0.0.1:50051",
    "TWINHEAD_PORT_50051_TCP": "tcp://10.0.0.1:50051",
    "TWINHEAD_PORT_50051_TCP_ADDR": "10.0.0.1",
    "TWINHEAD_PORT_50051_TCP_PORT": "50051",
    "TWINHEAD_PORT_50051_TCP_PROTO": "tcp",
    "TWINHEAD_SERVICE_HOST": "10.0.0.1",
    "TWINHEAD_SERVICE_PORT": "50051",
    "TWINHEAD_SERVICE_PORT_GRPC": "50051",
    "TWINHEAD_ADMIN_PORT": "tcp://10.0.0.2:50052",
    "TWINHEAD_ADMIN_PORT_50052_TCP": "tcp://10.0.0.2:50052",
    "TWINHEAD_ADMIN_PORT_50052_TCP_ADDR": "10.0.0.2",
    "TWINHEAD_ADMIN_PORT_50052_TCP_PORT": "50052",
    "TWINHEAD_ADMIN_PORT_50052_TCP_PROTO": "tcp",
    "TWINHEAD_ADMIN_SERVICE_HOST": "10.0.0.2",
    "TWINHEAD_ADMIN_SERVICE_PORT": "50052",
    "TWINHEAD_ADMIN_SERVICE_PORT_GRPC": "50052",
}


@pytest.fixture
def config(tmp_path) -> Path:
    return tmp_path / "worker.toml"


def faults(
    options: Mapping[str, object] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """What is said of settings that cannot be used, line by line."""
    with pytest.raises(SettingsError) as caught:
        read_settings(options or {}, config, environment or {})
    return str(caught.value).splitlines()


def test_without_anything_there_are_the_defaults():
    read = read_settings({}, None, {})
    assert read.settings == WorkerSettings()
    assert read.sources == {}


def test_an_option_goes_before_a_variable_and_that_before_the_file(config):
    config.write_text('port = 1\nqueue_tokens = 2\nthreads = 3\nlog_format = "json"\n')
    environment = {"TWINHEAD_PORT": "4", "TWINHEAD_QUEUE_TOKENS": "5", "TWINHEAD_STREAMS": "6"}
    read = read_settings({"port": 7, "token_budget": 8}, config, environment)
    wanted = {
        "port": (7, "--port"),
        "queue_tokens": (5, "TWINHEAD_QUEUE_TOKENS"),
        "threads": (3, f"threads in {config}"),
        "log_format": ("json", f"log_format in {config}"),
        "streams": (6, "TWINHEAD_STREAMS"),
        "token_budget": (8, "--token-budget"),
    }
    assert read.settings == WorkerSettings(**{name: value for name, (value, _) in wanted.items()})
    assert read.sources == {name: source for name, (_, source) in wanted.items()}


@pytest.mark.parametrize("name", WorkerSettings.model_fields)
def test_every_setting_can_come_from_a_variable_and_from_the_file(config, name):
    value = WorkerSettings.model_fields[name].default
    value = 0 if value is None else value  # the ports that need not be
    config.write_text(f"{name} = {str(value).lower() if value != str(value) else repr(value)}\n")
    variable = f"TWINHEAD_{name.upper()}"
    for read in (
        read_settings({}, None, {variable: str(value)}),
        read_settings({}, config, {}),
    ):
        assert getattr(read.settings, name) == value
        assert list(read.sources) == [name]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_yes_and_no_in_a_variable(text, value):
    assert read_settings({}, None, {"TWINHEAD_TRACES": text}).settings.traces is value


def test_all_that_is_wrong_is_told_at_once_and_where_it_is_from(config):
    config.write_text('port = 70000\nqueue_token = 1\nhost = 5\nlog_level = "loud"\n')
    environment = {"TWINHEAD_THREADS": "many", "TWINHEAD_STATES": "/state"}
    said = faults({"stall_seconds": 0.5}, config, environment)
    assert said == [
        f"queue_token in {config}: there is no such setting; did you mean queue_tokens?",
        "TWINHEAD_STATES: there is no such setting; did you mean TWINHEAD_STATE?",
        f"host in {config}: Input should be a valid string",
        f"port in {config}: Input should be less than or equal to 65535",
        "TWINHEAD_THREADS: Input should be a valid integer, unable to parse string as an integer",
        "--stall-seconds: Input should be greater than or equal to 1",
        f"log_level in {config}: Input should be 'debug', 'info', 'warning' or 'error'",
    ]


def test_what_goes_before_is_checked_and_what_it_hides_is_not(config):
    config.write_text("port = 70000\n")
    assert read_settings({}, config, {"TWINHEAD_PORT": "1"}).settings.port == 1
    (said,) = faults({}, config, {"TWINHEAD_PORT": "70001"})
    assert said.startswith("TWINHEAD_PORT: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue-tokens = 1", "queue-tokens in FILE: there is no such setting; did you mean queue_"),
        ("Port = 1", "Port in FILE: there is no such setting; did you mean port?"),
        ("[serve]\nport = 1", "serve in FILE: there is no such setting"),
        ("xyzzy = 1", "xyzzy in FILE: there is no such setting"),
        ("port = {number = 1}", "port in FILE: Input should be a valid integer"),
        ("model = 2026-01-01", "model in FILE: Input should be a valid string"),
    ],
)
def test_what_is_no_setting_in_the_file(config, text, said):
    config.write_text(text)
    (line,) = faults(config=config)
    assert line.startswith(said.replace("FILE", str(config)))


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TWINHEAD_QUEUE_TOKEN", "; did you mean TWINHEAD_QUEUE_TOKENS?"),
        ("TWINHEAD_port", "; did you mean TWINHEAD_PORT?"),
        ("TWINHEAD_XYZZY", ""),
        ("TWINHEAD_WORKERS", ""),
        ("TWINHEAD_", ""),
    ],
)
def test_what_is_no_setting_among_the_variables(variable, said):
    (line,) = faults(environment={variable: "1"})
    assert line.startswith(f"{variable}: there is no such setting")
    assert line.endswith(said)


def test_variables_of_other_programs_are_nothing_to_a_worker():
    environment = {
        "TWINHEAD_WORKER": "a:1",
        "TWINHEAD_ADMIN": "b:1",
        "TWINHEAD_CLIENT_TOKEN_FILE": "token",
        "TWINHEAD_CLIENT_TLS_CA": "ca.pem",
        "TWIN": "1",
        "MY_TWINHEAD_PORT": "1",
        "twinhead_port": "1",
        "PORT": "1",
    }
    read = read_settings({}, None, environment)
    assert (read.settings, read.sources) == (WorkerSettings(), {})


def test_what_kubernetes_says_of_services_is_no_setting():
    read = read_settings({}, None, SERVICE_LINKS)
    assert (read.settings, read.sources) == (WorkerSettings(), {})


def test_settings_beside_what_kubernetes_says():
    read = read_settings({"port": 9}, None, SERVICE_LINKS | {"TWINHEAD_METRICS_PORT": "9100"})
    assert (read.settings.port, read.settings.metrics_port) == (9, 9100)
    assert read.sources == {"port": "--port", "metrics_port": "TWINHEAD_METRICS_PORT"}
    # Of a protocol that Kubernetes does not know.
    (said,) = faults(environment={"TWINHEAD_PORT": "http://10.0.0.1:50051"})
    assert said.startswith("TWINHEAD_PORT: ")


def test_what_a_variable_holds_is_not_told():
    secret = "correct-horse-battery"
    names = ("PORT", "ANONYMOUS", "TRACES", "LOG_FORMAT", "METRICS_PORT", "DEVICE", "TOKEN")
    said = faults(environment={f"TWINHEAD_{name}": secret for name in names})
    assert len(said) == len(names)
    assert secret not in "\n".join(said)


def test_the_variables_of_this_process_are_the_ones_that_count(monkeypatch):
    for name in [name for name in os.environ if name.startswith("TWINHEAD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TWINHEAD_QUEUE_TOKENS", "77")
    assert read_settings({}, None).settings == WorkerSettings(queue_tokens=77)


def test_a_variable_names_the_file_and_an_option_another(config, tmp_path):
    config.write_text("port = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("threads = 2\n")
    named = {"TWINHEAD_CONFIG": str(config)}
    read = read_settings({}, None, named)
    assert read.sources == {"port": f"port in {config}"}
    read = read_settings({}, other, named)
    assert read.sources == {"threads": f"threads in {other}"}
    assert read_settings({}, None, {"TWINHEAD_CONFIG": ""}).sources == {}


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_file_that_is_not_there(config, by):
    if by == "option":
        said = faults(config=config)
    else:
        said = faults(environment={"TWINHEAD_CONFIG": str(config)})
    assert said == [f"{config} cannot be read: No such file or directory"]


def test_a_folder_is_no_file(tmp_path):
    assert faults(config=tmp_path) == [f"{tmp_path} cannot be read: Is a directory"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"port: 1\n", id="YAML"),
        pytest.param(b'{"port": 1}', id="JSON"),
        pytest.param(b"port = 1\nport = 2\n", id="said twice"),
        pytest.param(b'model = "caf\xe9"\n', id="Latin-1"),
        pytest.param("port = 1\n".encode("utf-16"), id="UTF-16"),
    ],
)
def test_what_is_not_toml(config, content):
    config.write_bytes(content)
    (said,) = faults(config=config)
    assert said.startswith(f"{config} is not TOML: ")


def test_a_file_that_a_windows_editor_has_saved(config):
    config.write_bytes(b"\xef\xbb\xbfport = 1\r\n")
    assert read_settings({}, config, {}).settings.port == 1


def test_a_file_is_at_most_a_mebibyte(config):
    beginning = b"port = 1\n#"
    config.write_bytes(beginning + b"x" * ((1 << 20) - len(beginning)))
    assert read_settings({}, config, {}).settings.port == 1
    with config.open("ab") as stream:
        stream.write(b"x")
    (said,) = faults(config=config)
    assert said.startswith(f"{config} is larger than 1 MiB")


def test_an_empty_file_says_nothing(config):
    config.write_bytes(b"")
    assert read_settings({}, config, {}).settings == WorkerSettings()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"port": 0, "admin_port": 0, "metrics_port": 9100},
        {
            "watch_seconds": 0.1,
            "stall_seconds": 3600,
            "drain_seconds": 1e16,
            "version_bytes": 2**70,
        },
        {"traces": True, "log_format": "json", "log_level": "debug", "anonymous": "infer,read"},
        {"drain_seconds": float("inf")},
    ],
    ids=lambda options: " ".join(options) or "none",
)
def test_what_is_shown_gives_the_same_settings(config, options):
    read = read_settings(options, None, {})
    config.write_text(read.as_toml(), encoding="utf-8")
    assert read_settings({}, config, {}).settings == read.settings


@pytest.mark.parametrize(
    "path",
    [
        "it's here",
        'a "quoted" name',
        "C:\\new\\table\\u0041",
        "gewählt/选择/😀",
        "\u2028\u2029\x85\ufeff",
        "tab\tline\nreturn\r\n\x00\x01\x1f\x7f\x80\x9f",
        "# no comment",
        '"""',
        "'''",
    ],
)
@pytest.mark.parametrize("name", ["model", "watch"])
def test_paths_of_any_characters_are_shown_so_that_they_can_be_read(config, name, path):
    read = read_settings({name: path}, None, {})
    config.write_text(read.as_toml(), encoding="utf-8", newline="")
    assert getattr(read_settings({}, config, {}).settings, name) == path


@pytest.mark.parametrize("name", ["two words.toml", "a#b.toml", "é.toml", "two\nlines.toml"])
def test_the_name_of_the_file_does_not_spoil_what_is_shown(config, tmp_path, name):
    (tmp_path / name).write_text("port = 5\n")
    read = read_settings({}, tmp_path / name, {})
    config.write_text(read.as_toml(), encoding="utf-8")
    assert read_settings({}, config, {}).settings == read.settings


def test_what_is_shown_tells_where_each_setting_is_from(config):
    config.write_text("threads = 3\n")
    lines = (
        read_settings({"port": 5, "traces": True}, config, {"TWINHEAD_MODEL": "mine"})
        .as_toml()
        .splitlines()
    )
    assert len(lines) == len(WorkerSettings.model_fields)
    for line in (
        "port = 5  # --port",
        "traces = true  # --traces",
        'model = "mine"  # TWINHEAD_MODEL',
        f"threads = 3  # threads in {config}",
        "streams = 0  # default",
        "# metrics_port is not set  # default",
    ):
        assert line in lines
