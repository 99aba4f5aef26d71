"""The options of the commands that call admin services."""

import click
import pytest
from click.testing import CliRunner, Result
from twinhead.client.admin_options import read_token, worker_options


@click.command()
@worker_options
def show(workers, token_file):
    click.echo(repr((workers, read_token(token_file))))


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(show, [str(each) for each in arguments], env=environment)


def given(done: Result) -> object:
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_without_options_the_worker_on_this_machine():
    assert given(run()) == "(('localhost:50052',), '')"


def test_workers_in_their_order_each_once():
    done = run("--worker", "b:1", "--worker", "a:1", "--worker", "b:1")
    assert given(done) == "(('b:1', 'a:1'), '')"


def test_workers_from_the_environment():
    assert given(run(TWINHEAD_ADMIN="b:1 a:1 b:1")) == "(('b:1', 'a:1'), '')"
    assert given(run("--worker", "c:1", TWINHEAD_ADMIN="b:1")) == "(('c:1',), '')"


def test_a_token(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"  abc-DEF_123~\r\n")
    wanted = "(('localhost:50052',), 'abc-DEF_123~')"
    assert given(run("--token-file", file)) == wanted
    assert given(run(TWINHEAD_ADMIN_TOKEN_FILE=str(file))) == wanted


def test_a_token_file_that_is_not_there(tmp_path):
    done = run("--token-file", tmp_path / "nothing")
    assert done.exit_code == 2
    assert "does not exist" in done.stderr


# A blank one would be left out, and the worker then say that a token is needed; the others gRPC
# itself refuses to send.
@pytest.mark.parametrize("content", [b"", b" \n", b"one\ntwo", b"a b", "clé".encode(), b"\xff\xfe"])
def test_what_can_be_no_token(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    done = run("--token-file", file)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {file} holds no token")


def test_help_names_defaults_and_variables():
    text = " ".join(run("--help").stdout.split())
    for part in ("localhost:50052", "TWINHEAD_ADMIN", "TWINHEAD_ADMIN_TOKEN_FILE"):
        assert part in text
