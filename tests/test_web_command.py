"""`twinhead web`: who is let in, what is said, and what lets the page in at the worker."""

import socket

import pytest
from click.testing import CliRunner
from test_command_line import run_python, without_package
from tls_files import write_tls_files
from twinhead.client.web import web_command
from twinhead.client.web.web_command import web
from twinhead.client.web.web_server import listen
from web_pages import PageProcess, question

TOKEN = "a-token-of-this-test"


@pytest.fixture
def show(monkeypatch):
    """Run the command; gives what it would show, or says why not."""
    found = {}

    def note(page, listening, *, opening):
        found.update(page=page, opening=opening, host=listening.getsockname()[0])
        listening.close()

    monkeypatch.setattr(web_command, "show_page", note)

    def run(*arguments, **environment):
        done = CliRunner().invoke(web, [*map(str, arguments), "--port", "0"], env=environment)
        return done if done.exit_code else found

    return run


def test_without_options_it_is_for_this_machine(show):
    found = show()
    page = found["page"]
    assert (page.worker, page.admin, found["host"]) == ("localhost:50051", "", "127.0.0.1")
    assert found["opening"] is False
    assert "localhost:50080" in page.hosts
    for other in ("example.org", "192.168.1.7", socket.gethostname() + ".example"):
        assert other not in page.hosts


def test_where_the_worker_is(show):
    page = show(TWINHEAD_WORKER="a:1", TWINHEAD_ADMIN="a:2")["page"]
    assert (page.worker, page.admin) == ("a:1", "a:2")
    page = show("--worker", "b:1", "--admin", "b:2", TWINHEAD_WORKER="a:1")["page"]
    assert (page.worker, page.admin) == ("b:1", "b:2")


@pytest.mark.parametrize("name", ["WORKER", "ADMIN"])
def test_it_is_in_front_of_one_worker(show, name):
    refused = show(**{f"TWINHEAD_{name}": "a:1 b:1"})
    assert refused.exit_code == 2
    assert f"one worker; say which with --{name.lower()}" in refused.output


def test_others_are_let_in_when_that_is_said(show):
    refused = show("--host", "0.0.0.0")
    assert refused.exit_code == 2
    assert "without a login and unencrypted" in refused.output
    assert "--allow-others" in refused.output
    page = show("--host", "0.0.0.0", "--allow-others")["page"]
    for host in ("192.168.1.7:50080", f"{socket.gethostname()}:50080", "localhost"):
        assert host in page.hosts
    # A name that somebody else has given to this machine's address.
    assert "attacker.example" not in page.hosts


def test_a_proxy_has_its_own_name(show):
    page = show("--allow-host", "page.example.org", "--allow-host", "other.example.org")["page"]
    for host in ("page.example.org", "other.example.org:443", "localhost"):
        assert host in page.hosts
    assert "example.org" not in page.hosts


def test_what_lets_it_in_lets_its_pushes_in(show, tmp_path):
    write_tls_files(tmp_path)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    page = show("--token-file", token, "--tls-ca", tmp_path / "ca.pem")["page"]
    assert page.access.token == TOKEN
    given = ["--token-file", str(token), "--tls-ca", str(tmp_path / "ca.pem")]
    assert page.push_options == given
    assert TOKEN not in " ".join(page.push_options)
    assert show()["page"].push_options == []


def test_a_port_that_is_taken(run_twinhead):
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        done = run_twinhead("web", "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "another --port" in done.stderr


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_the_bare_install_says_what_is_missing(package):
    for command in (["web"], ["demo", "--web"]):
        done = run_python(without_package(package, command))
        assert done.returncode == 1
        assert f"needs the package {package}: pip install 'twinhead[web]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_token_and_the_roots_are_for_the_worker_alone(start_debug_worker, tmp_path):
    write_tls_files(tmp_path)
    tokens, token = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text(f"{TOKEN} infer,read\n")
    token.write_text(TOKEN)
    worker = start_debug_worker(
        token_file=str(tokens),
        tls_certificate=str(tmp_path / "server.pem"),
        tls_key=str(tmp_path / "server.key"),
    )
    environment = {"TWINHEAD_CLIENT_TOKEN_FILE": str(token)}
    options = ["--worker", worker.target, "--admin", worker.admin_target]
    page = PageProcess(*options, "--tls-ca", str(tmp_path / "ca.pem"), environment=environment)
    try:
        answer = page.ask("/answers", question("w1"))
        assert answer.status == 200
        seen = {}
        for section, value in page.events():
            seen[section] = value
            if {"load", "versions", "model", "push"} <= set(seen):
                break
        assert TOKEN not in repr((answer, seen))
        # It may look, and not change anything.
        live = seen["versions"]["versions"][0]["version"]
        refused = page.ask("/activate", {"version": live, "live": ""})
        assert (refused.status, refused.json["error"]["kind"]) == (409, "refused")
        assert "admin" in refused.json["error"]["message"]
        assert TOKEN not in refused.body.decode()
    finally:
        assert page.stop() == 0
