"""The file for Compose: valid, and true of the worker's settings and the commands' options."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from conftest import ROOT
from twinhead.server.settings import WorkerSettings

FILE = ROOT / "deploy/compose.yaml"


def filled_in(text: str) -> str:
    """With the defaults of its variables, as Compose reads it."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(filled_in(FILE.read_text()))["services"]


def test_the_file_is_valid():
    said = yaml.safe_load(filled_in(FILE.read_text()))
    names = {"worker", "prometheus", "grafana", "label", "train", "publish"}
    assert set(PyCompose.from_json(json.dumps(said)).service_names()) == names
    said["services"]["worker"]["volume"] = said["services"]["worker"].pop("volumes")
    with pytest.raises(ValueError, match="volume"):
        PyCompose.from_json(json.dumps(said))


def test_the_worker_knows_its_settings(services):
    given = services["worker"]["environment"]
    settings = {name.removeprefix("TWINHEAD_").lower(): value for name, value in given.items()}
    worker = WorkerSettings(**settings)  # of what is not known it says so
    mounts = {mount.split(":")[1] for mount in services["worker"]["volumes"]}
    assert mounts == {worker.state, worker.watch}
    assert services["worker"]["ports"] == [f"127.0.0.1:{worker.port}:{worker.port}"]
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) > worker.drain_seconds
    assert services["worker"]["healthcheck"]["test"][1:] == ["twinhead", "health"]


@pytest.mark.parametrize("name", ["worker", "label", "train", "publish"])
def test_commands_and_options_are_known(services, run_twinhead, name):
    command, *arguments = services[name]["command"]
    shown = run_twinhead(command, "--help")
    assert shown.returncode == 0
    options = {argument.partition("=")[0] for argument in arguments if argument[:2] == "--"}
    for option in options:
        assert re.search(rf"(^|[\s,]){option}\b", shown.stdout), f"{command} has no {option}"


def test_what_is_mounted_from_here_is_there(services):
    found = {
        mount.split(":")[0]
        for service in services.values()
        for mount in service["volumes"]
        if mount.startswith("./") and not mount.startswith("./data:")
    }
    assert len(found) == 3
    for name in found:
        assert (FILE.parent / name).exists(), name


def test_our_services_are_hardened_and_published_on_loopback_alone(services):
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        if service["image"].startswith("twinhead"):
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_dashboard_finds_its_data():
    provisioning = FILE.parent / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/twinhead.yaml").read_text())[
        "providers"
    ]
    said = FILE.read_text()
    assert f"./grafana/twinhead.json:{provider['options']['path']}/twinhead.json:ro" in said
    scraped = yaml.safe_load((FILE.parent / "prometheus/prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert names["names"] == ["worker"]
    assert Path(FILE.parent / "prometheus" / scraped["rule_files"][0]).exists()
