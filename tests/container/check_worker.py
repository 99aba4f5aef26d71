"""A worker in a container, from its start to its end."""

import signal
import time
from collections.abc import Callable

import pytest
import trustme
from conftest import wait_until
from container.calls import PLAINTEXT, QUICK, READY, label, metric, push, read_rows
from container.containers import Container, Mount

LABELS = {"World", "Sports", "Business", "Sci/Tech"}
PLACES = ("/", "/tmp", "/data", "/opt/twinhead", "/opt/twinhead-bytecode", "/etc", "/var/tmp")


@pytest.fixture
def state(make_folder: Callable[..., Mount]) -> Mount:
    return make_folder("/state", writable=True)


@pytest.fixture
def data(make_folder: Callable[..., Mount]) -> Mount:
    return make_folder("/data", writable=True)


def status(worker: Container) -> dict[str, str]:
    """What the system says of the worker's process."""
    lines = worker.run("cat", "/proc/1/status").stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_labels_takes_a_push_and_keeps_it(
    server, client, start, state, data, starter, second, seen
):
    worker = start(server, environment=PLAINTEXT, mounts=[state])
    seconds = worker.wait_for(READY)
    processor = metric(worker, "process_cpu_seconds_total")
    seen(f"ready after {seconds:.1f} s ({processor} s of a core), {status(worker)['VmRSS']}")
    assert worker.run(*server.config["Healthcheck"]["Test"][1:]).returncode == 0

    before = label(start, client, worker, data)
    assert len(before) == 200
    assert {row["model_version"] for row in before} == {starter.version}
    assert {row["topic"] for row in before} == LABELS
    assert not any(row["error"] for row in before)

    folder, version = second
    push(worker, folder)
    after = label(start, client, worker, data)
    assert {row["model_version"] for row in after} == {version}
    seen(f"after two files and a push {status(worker)['VmHWM']} at the most")

    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    again = start(server, environment=PLAINTEXT, mounts=[state])
    seen(f"ready with the pushed version after {again.wait_for(READY):.1f} s")
    assert version in metric(again, "twinhead_model_info")


def test_it_writes_nowhere_but_in_its_state(server, start, state):
    worker = start(server, environment=QUICK, mounts=[state])
    worker.wait_for(READY)
    found = status(worker)
    assert found["Uid"].split() == ["65532"] * 4
    assert found["NoNewPrivs"] == "1"
    assert {int(found[kind], 16) for kind in ("CapEff", "CapPrm", "CapBnd")} == {0}
    for place in PLACES:
        assert "Read-only file system" in worker.run("touch", f"{place}/file").stderr
    assert worker.run("touch", "/state/file").returncode == 0


def test_it_drains_and_its_callers_go_on_with_the_next(server, client, start, state, data, seen):
    texts = [f"The {number}th match of the season ended in a draw" for number in range(3000)]
    (data.host / "in.txt").write_text("\n".join(texts))
    first = start(server, environment=QUICK, mounts=[state])
    first.wait_for(READY)
    labeller = start(client, "label", "in.txt", "-o", "out.csv", mounts=[data], beside=first)
    wait_until(lambda: float(metric(first, "twinhead_tokens_total")) > 5000, 120)
    told = time.monotonic()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    seen(f"drained in {time.monotonic() - told:.1f} s, in the middle of a file")
    assert "draining" in first.said()
    assert labeller.running
    start(server, environment=QUICK, mounts=[state], beside=labeller)
    assert labeller.wait(240) == 0, labeller.said()
    rows = read_rows(data.host / "out.csv")
    assert [row["text"] for row in rows] == texts
    assert not any(row["error"] for row in rows)


def test_it_stops_while_it_starts(server, start, state):
    worker = start(server, environment=QUICK, mounts=[state])
    wait_until(lambda: worker.run("twinhead", "health", "-v").stderr.endswith("NOT_SERVING\n"))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert READY not in worker.said()


def test_probes_and_pushes_leave_no_zombies(server, start, state, second):
    worker = start(server, environment=QUICK, mounts=[state])
    worker.wait_for(READY)
    for _ in range(3):
        assert worker.run("twinhead", "health").returncode == 0
    push(worker, second[0])
    tell = "import glob; print([open(file).read() for file in glob.glob('/proc/[0-9]*/stat')])"
    assert ") Z " not in worker.run("python", "-c", tell).stdout


def test_a_user_of_any_number_will_do(server, start, make_folder):
    state = make_folder("/state", writable=True, user=1_000_740_000)
    worker = start(server, environment=QUICK, mounts=[state], user=1_000_740_000)
    worker.wait_for(READY)


@pytest.fixture
def secrets(make_folder: Callable[..., Mount]) -> Mount:
    """What a worker needs for TLS and tokens, and its callers to be let in."""
    mount = make_folder("/run/secrets")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(mount.host / "tls.pem")
    authority.cert_pem.write_to_path(mount.host / "ca.pem")
    for name in ("caller", "trainer"):
        (mount.host / name).write_text(f"the-token-of-the-{name}")
    # As Kubernetes mounts a secret: what is replaced is a link to the folder of all its files.
    write_tokens(mount, "the-token-of-the-caller infer\nthe-token-of-the-trainer admin\n")
    (mount.host / "tokens").symlink_to("..data/tokens")
    return mount


def write_tokens(mount: Mount, text: str) -> None:
    """Replace the tokens of a worker."""
    folder = mount.host / f"..{time.monotonic_ns()}"
    folder.mkdir()
    (folder / "tokens").write_text(text)
    (mount.host / "..new").symlink_to(folder.name)
    (mount.host / "..new").replace(mount.host / "..data")


def test_tls_and_tokens_let_in_who_has_them(server, client, start, state, data, secrets, second):
    trusted = {"TWINHEAD_CLIENT_TLS_CA": "/run/secrets/ca.pem"}
    settings = {
        "TWINHEAD_ADMIN_HOST": "0.0.0.0",
        "TWINHEAD_ENGINE": "torch",
        "TWINHEAD_TLS_CERTIFICATE": "/run/secrets/tls.pem",
        "TWINHEAD_TLS_KEY": "/run/secrets/tls.pem",
        "TWINHEAD_TOKEN_FILE": "/run/secrets/tokens",
    }
    worker = start(server, environment=settings | trusted, mounts=[state, secrets])
    worker.wait_for(READY)
    assert worker.run(*server.config["Healthcheck"]["Test"][1:]).returncode == 0

    folder, version = second
    ca, token = secrets.host / "ca.pem", secrets.host / "trainer"
    push(worker, folder, "--tls-ca", str(ca), "--token-file", str(token))
    caller = trusted | {"TWINHEAD_CLIENT_TOKEN_FILE": "/run/secrets/caller"}
    options = {"environment": caller, "mounts": [secrets]}
    rows = label(start, client, worker, data, **options)
    assert {row["model_version"] for row in rows} == {version}

    refused = start(client, "rollback", beside=worker, **options)
    assert refused.wait() == 1
    assert "scope" in refused.said()
    write_tokens(secrets, "the-token-of-the-trainer admin\n")
    time.sleep(1.1)  # it looks once a second
    options["mounts"].append(data)
    refused = start(client, "label", "in.csv", "-o", "no.csv", beside=worker, **options)
    assert refused.wait() == 1
    assert "token" in refused.said()
