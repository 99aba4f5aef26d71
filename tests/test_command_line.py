"""The `twinhead` command: its help, its exit codes, and what it says when something is missing."""

import functools
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import TWINHEAD


def run_python(code: str, *, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd
    )


def without_package(name: str, arguments: list[str]) -> str:
    """A program that runs the command line where a package is not installed."""
    return f"""
import sys

class Missing:
    def find_spec(self, module, path=None, target=None):
        if module.split(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{module!r}}", name=module)

sys.meta_path.insert(0, Missing())
from twinhead.client.command_line import main
main({arguments!r})
"""


def test_help_lists_the_commands(run_twinhead):
    done = run_twinhead("--help")
    assert done.returncode == 0
    listed = done.stdout.split("Commands:\n")[1].splitlines()
    names = [line.split()[0] for line in listed]
    commands = "demo evaluate health import inspect label push rollback serve status train web"
    assert names == commands.split()
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows" in done.stdout
    assert run_twinhead("-h").stdout == done.stdout


@functools.cache
def modules_after(*arguments: str) -> frozenset[str]:
    """What is loaded when a help text has been shown."""
    done = run_python(
        "import sys\n"
        "from twinhead.client.command_line import main\n"
        "try:\n"
        f"    main({list(arguments)!r})\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: twinhead ")
    return frozenset(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["label", "--help"], ["demo", "--help"]])
@pytest.mark.parametrize("package", ["torch", "transformers", "pydantic", "pyarrow"])
def test_help_does_not_load_what_it_does_not_need(arguments, package):
    modules = modules_after(*arguments)
    assert "click" in modules
    assert package not in modules


@pytest.mark.parametrize("command", ["label", "demo", "serve", "web"])
def test_every_command_has_help(run_twinhead, command):
    done = run_twinhead(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: twinhead {command} [OPTIONS]")


def test_the_version_is_told(run_twinhead):
    done = run_twinhead("--version")
    assert (done.returncode, done.stdout) == (0, f"twinhead, version {version('twinhead')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lable"], "No such command 'lable'"),
        (["--lable"], "No such option '--lable'"),
        (["label"], "Missing argument 'INPUT...'"),
        (["label", "in.csv"], "Missing option '-o' / '--output'"),
        (["label", "in.csv", "-o", "out.csv", "--input-format", "xlsx"], "'xlsx' is not one of"),
        (["label", "in.csv", "-o", "out.csv", "--in-flight", "0"], "'--in-flight': 0 is not in"),
        (["label", "in.csv", "-o", "out.csv", "--in-flight", "65"], "'--in-flight': 65 is not in"),
        (
            ["label", "in.csv", "-o", "out.csv", "--reconnect", "-1"],
            "'--reconnect': -1.0 is not in",
        ),
        (["demo", "-o", "-"], "the demo writes a file"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_wrong_usage_ends_with_2(run_twinhead, tmp_path, arguments, message):
    done = run_twinhead(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_arguments_there_is_help(run_twinhead):
    done = run_twinhead()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


@pytest.mark.parametrize("package", ["torch", "pydantic", "grpc_health", "safetensors"])
def test_serve_without_the_server_says_what_to_install(package):
    done = run_python(without_package(package, ["serve", "--port", "0"]))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: `twinhead serve` needs the package {package}")
    assert line.endswith(": pip install 'twinhead[starter]'")


def test_the_labeller_needs_no_server(tmp_path):
    done = run_python(without_package("torch", ["label", "no.csv", "-o", "out.csv"]), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "Error: no.csv: no such file\n")


@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_is_shown_only_on_demand(run_twinhead, debug):
    options = ["--debug"] if debug else []
    done = run_twinhead(*options, "label", "no.csv", "-o", "out.csv")
    assert (done.returncode, done.stdout) == (1, "")
    if debug:
        assert done.stderr.startswith("Traceback (most recent call last):")
        assert done.stderr.endswith("twinhead.client.errors.FileError: no.csv: no such file\n")
    else:
        assert done.stderr == "Error: no.csv: no such file\n"


def test_debug_may_stand_anywhere(run_twinhead):
    done = run_twinhead("label", "no.csv", "--debug", "-o", "out.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_is_told_in_one_line(debug):
    arguments = ["label", "in.csv", "-o", "out.csv", *(["--debug"] if debug else [])]
    done = run_python(
        "from twinhead.client import command_line\n"
        "from twinhead.client.files import row_reader\n"
        "row_reader.open_reader = lambda *arguments: 1 / 0\n"
        f"command_line.main({arguments!r})\n"
    )
    assert (done.returncode, done.stdout) == (1, "")
    if debug:
        assert done.stderr.startswith("Traceback (most recent call last):")
    else:
        assert done.stderr == (
            "Error: ZeroDivisionError('division by zero'); this is a defect, see it with --debug\n"
        )


@pytest.mark.parametrize("rows", [3, 2000])  # so few that nothing is written before the end
@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_a_pipe_that_nobody_reads_is_no_defect(tmp_path, debug_worker, file_format, rows):
    (tmp_path / "in.txt").write_text("".join(f"w{n}\n" for n in range(rows)))
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ["label", "in.txt", "-o", "-", "--output-format", file_format]
    try:
        done = subprocess.run(
            [*TWINHEAD, *arguments, "--worker", debug_worker.target],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            timeout=120,
            check=False,
            text=True,
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert done.stderr == "Error: standard output: Broken pipe\n"


def test_the_first_line_can_be_taken_from_a_pipe(tmp_path, debug_worker):
    (tmp_path / "in.txt").write_text("".join(f"w{n}\n" for n in range(4000)))
    arguments = ["label", "in.txt", "-o", "-", "--worker", debug_worker.target]
    with subprocess.Popen(
        [*TWINHEAD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout.readline().startswith(b'{"text": "w0", ')
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said == "Error: standard output: Broken pipe\n"


@pytest.mark.parametrize(
    ("closed", "arguments", "message"),
    [
        ("<&-", "label - -o out.csv", "standard input is closed"),
        (">&-", "label no.csv -o out.csv", "no.csv: no such file"),
        (">&-", "label in.txt -o - --worker {target}", "standard output is closed"),
    ],
)
def test_closed_standard_streams_are_told(tmp_path, debug_worker, closed, arguments, message):
    (tmp_path / "in.txt").write_text("w1\n")
    command = f'"$@" {arguments.format(target=debug_worker.target)} {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *TWINHEAD],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"Error: {message}\n")
