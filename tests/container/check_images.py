"""What is in the images, and what is not."""

import json
import re

from conftest import ROOT

SERVER_BYTES, CLIENT_BYTES = 1_200_000_000, 200_000_000
TELL_LIBRARIES = """
import importlib.metadata, json
print(json.dumps({each.name: each.version for each in importlib.metadata.distributions()}))
"""
# Beside what Debian itself needs to install packages.
TOOLS = ("pip", "pip3", "gcc", "cc", "ld", "make", "strip", "curl", "wget", "git")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def test_they_are_small(base, server, client, seen):
    for image in (server, client):
        own = megabytes(image.size - base.size)
        seen(f"{image.name}: {megabytes(image.size)}, of which {own} above the base")
    assert server.size <= SERVER_BYTES
    # The whole is not within it: with any Debian, pyarrow and numpy are too much.
    assert client.size - base.size <= CLIENT_BYTES


def test_they_say_what_they_are(server, client):
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    for image in (server, client):
        labels = {
            name.removeprefix("org.opencontainers.image."): value
            for name, value in image.config["Labels"].items()
        }
        assert labels["version"] == version
        assert labels["licenses"] == "Apache-2.0"
        assert {"title", "description", "created", "revision"} <= labels.keys()
        assert image.config["Entrypoint"] == ["twinhead"]  # no shell: signals reach it
        assert image.config["User"] == "65532:65532"
        assert image.config["StopSignal"] == "SIGTERM"
    assert server.config["Cmd"] == ["serve"]
    assert server.config["Healthcheck"]["Test"] == ["CMD", "twinhead", "health"]
    assert list(server.config["Volumes"]) == ["/state"]
    assert list(server.config["ExposedPorts"]) == ["50051/tcp"]


def test_every_library_is_pinned(server, client, start):
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = dict(line.replace("_", "-").split("==") for line in lines if "==" in line)
    for image in (server, client):
        told = start(image, "-c", TELL_LIBRARIES, entry_point=["python"])
        assert told.wait() == 0, told.said()
        found = json.loads(told.said())
        del found["twinhead"]
        # Builds for a kind of machine have the same version and a word after it.
        found = {
            name.lower().replace("_", "-"): number.partition("+")[0]
            for name, number in found.items()
        }
        assert {"grpcio", "pyarrow"} <= found.keys()
        assert found.items() <= pinned.items()


def test_nothing_is_left_of_the_build(server, client):
    for image in (server, client):
        places = [image.root / place for place in ("usr/bin", "usr/local/bin", "opt/twinhead/bin")]
        assert not [tool for tool in TOOLS if any((place / tool).exists() for place in places)]
        libraries = next(image.root.glob("opt/twinhead/lib/python3*/site-packages"))
        assert not [name for name in ("pip", "setuptools", "wheel") if (libraries / name).exists()]
        left = ("source", "wheels", "pip", "bytecode", "root/.cache", "etc/pip.conf")
        assert not [place for place in left if (image.root / place).exists()]


def test_nothing_is_compiled_at_the_start(server, client, start):
    run = [(server, "-c", "import twinhead.server.model_versions, twinhead.server.admin_service")]
    run += [(image, "-m", "twinhead.client", "health") for image in (server, client)]
    for image, *command in run:
        done = start(image, "-v", *command, entry_point=["python"])
        done.wait()
        files = re.findall(r"code object from '(.+)'", done.said())
        assert len(files) > 100
        assert not [file for file in files if file.endswith(".py")]
