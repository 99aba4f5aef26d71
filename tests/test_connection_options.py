"""The options of the commands that call workers."""

import click
import pytest
from click.testing import CliRunner, Result
from twinhead.client import Tls
from twinhead.client.channel import Access
from twinhead.client.connection_options import (
    access_arguments,
    access_options,
    admin_options,
)


@click.command()
@admin_options
def show(workers, access):
    click.echo(repr((workers, access.token)))


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(show, [str(each) for each in arguments], env=environment)


def access_of(*arguments: object, **environment: str) -> Access:
    """What a command gets."""
    got = []

    @click.command()
    @access_options
    def take(access):
        got.append(access)

    done = CliRunner().invoke(take, [str(each) for each in arguments], env=environment)
    assert done.exit_code == 0, done.output
    (access,) = got
    return access


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
    assert given(run(TWINHEAD_CLIENT_TOKEN_FILE=str(file))) == wanted


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


# --- TLS


@pytest.fixture
def files(tmp_path):
    """A root, a certificate and a key; what is in them is not the options' business."""
    files = [tmp_path / name for name in ("ca.pem", "caller.pem", "caller.key")]
    for file in files:
        file.touch()
    return files


def test_without_options_plain_text_and_no_token():
    assert access_of() == Access()
    assert access_of().tls is None


def test_tls_by_the_public_roots():
    assert access_of("--tls").tls == Tls()


def test_roots_of_ones_own_imply_tls(files):
    ca, _, _ = files
    assert access_of("--tls-ca", ca).tls == Tls(ca=ca)
    assert access_of("--tls", "--tls-ca", ca).tls == Tls(ca=ca)


def test_a_certificate_to_show_implies_tls(files):
    ca, certificate, key = files
    pair = ("--tls-certificate", certificate, "--tls-key", key)
    assert access_of(*pair).tls == Tls(certificate=certificate, key=key)
    assert access_of(*pair, "--tls-ca", ca).tls == Tls(ca, certificate, key)


def test_everything_from_the_environment(files, tmp_path):
    ca, certificate, key = files
    (tmp_path / "token").write_text("abc")
    access = access_of(
        TWINHEAD_CLIENT_TOKEN_FILE=str(tmp_path / "token"),
        TWINHEAD_CLIENT_TLS_CA=str(ca),
        TWINHEAD_CLIENT_TLS_CERTIFICATE=str(certificate),
        TWINHEAD_CLIENT_TLS_KEY=str(key),
    )
    assert access == Access("abc", Tls(ca, certificate, key))


@pytest.mark.parametrize(("value", "tls"), [("1", Tls()), ("true", Tls()), ("0", None), ("", None)])
def test_tls_from_the_environment(value, tls):
    assert access_of(TWINHEAD_CLIENT_TLS=value).tls == tls


def test_an_option_goes_before_a_variable(files, tmp_path):
    ca, certificate, key = files
    other = tmp_path / "other"
    other.write_text("one")
    access = access_of("--tls-ca", other, TWINHEAD_CLIENT_TLS_CA=str(ca))
    assert access.tls == Tls(ca=other)
    access = access_of(
        "--tls-certificate",
        other,
        TWINHEAD_CLIENT_TLS_CERTIFICATE=str(certificate),
        TWINHEAD_CLIENT_TLS_KEY=str(key),
    )
    assert access.tls == Tls(certificate=other, key=key)


def test_empty_variables_are_none():
    names = ("TOKEN_FILE", "TLS", "TLS_CA", "TLS_CERTIFICATE", "TLS_KEY")
    assert access_of(**{f"TWINHEAD_CLIENT_{name}": "" for name in names}) == Access()


@pytest.mark.parametrize("option", ["--tls-certificate", "--tls-key"])
def test_a_certificate_and_its_key_go_together(files, option):
    ca, certificate, _ = files
    variable = f"TWINHEAD_CLIENT_{option[2:].upper().replace('-', '_')}"
    for done in (
        run(option, certificate),
        run("--tls", "--tls-ca", ca, option, certificate),
        run(**{variable: str(certificate)}),
    ):
        assert done.exit_code == 2
        assert "--tls-certificate and --tls-key go together" in done.stderr


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-certificate", "--tls-key"])
def test_a_tls_file_that_is_none(tmp_path, option):
    for path, said in ((tmp_path / "nothing", "does not exist"), (tmp_path, "is a directory")):
        done = run(option, path)
        assert done.exit_code == 2
        assert option in done.stderr
        assert said in done.stderr


def test_the_token_is_not_shown_with_what_a_command_gets(tmp_path):
    (tmp_path / "token").write_text("abc-DEF_123")
    access = access_of("--token-file", tmp_path / "token")
    assert access.token == "abc-DEF_123"
    assert "abc-DEF_123" not in repr(access)


def test_help_names_defaults_and_variables():
    text = " ".join(run("--help").stdout.split())
    for part in ("localhost:50052", "TWINHEAD_ADMIN"):
        assert part in text
    for name in ("token-file", "tls", "tls-ca", "tls-certificate", "tls-key"):
        assert f"--{name} " in text
        assert f"TWINHEAD_CLIENT_{name.upper().replace('-', '_')}" in text


def test_what_a_command_got_can_be_given_to_another(tmp_path):
    files = {name: tmp_path / name for name in ("token", "ca", "certificate", "key")}
    for file in files.values():
        file.write_text("what-is-in-it")
    got = []

    @click.command()
    @access_options
    @click.pass_context
    def pass_on(context, access):
        got.append(access_arguments(context))

    given = ["--tls-key", files["key"], "--tls-certificate", files["certificate"], "--tls"]
    environment = {
        "TWINHEAD_CLIENT_TOKEN_FILE": str(files["token"]),
        "TWINHEAD_CLIENT_TLS_CA": str(files["ca"]),
    }
    assert CliRunner().invoke(pass_on, [*map(str, given)], env=environment).exit_code == 0
    assert CliRunner().invoke(pass_on, []).exit_code == 0
    passed, nothing = got
    assert nothing == []
    assert "what-is-in-it" not in passed
    assert access_of(*passed) == access_of(*given, **environment)
