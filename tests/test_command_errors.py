"""One line for what can go wrong, or the traceback when it is asked for."""

import click
import pytest
from click.testing import CliRunner
from twinhead.model.command_errors import one_line_errors
from twinhead.model.errors import CheckpointError


@click.group()
@click.option("--debug", is_flag=True)
def group(debug: bool) -> None:
    pass


@group.command()
@click.argument("kind")
def fail(kind: str) -> None:
    errors = {
        "model": CheckpointError("the folder is empty"),
        "file": PermissionError(13, "Permission denied", "x"),
        "bug": KeyError("x"),
    }
    with one_line_errors():
        raise errors[kind]


@pytest.mark.parametrize(
    ("kind", "said"), [("model", "the folder is empty"), ("file", "Permission denied: 'x'")]
)
def test_one_line_and_exit_code_1(kind, said):
    done = CliRunner().invoke(group, ["fail", kind])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith("Error: ")
    assert said in line


def test_debug_keeps_the_error():
    done = CliRunner().invoke(group, ["--debug", "fail", "model"])
    assert isinstance(done.exception, CheckpointError)


def test_a_bug_is_not_hidden():
    assert isinstance(CliRunner().invoke(group, ["fail", "bug"]).exception, KeyError)
