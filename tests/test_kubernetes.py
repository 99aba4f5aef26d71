"""The manifests for Kubernetes: rendered by kubectl, valid, and true of the worker."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT
from twinhead.server.access import Scope
from twinhead.server.settings import WorkerSettings
from twinhead.trainer.read_recipe import read_recipe

MANIFESTS = ROOT / "deploy/kubernetes"
OVERLAYS = ("overlays/dev", "overlays/cpu-fleet", "overlays/gpu")
FLEETS = OVERLAYS[1:]
JOBS = ("jobs/label", "jobs/train")
# Debian's, which `make test` unpacks, or the machine's own.
KUBECTL = str(ROOT / ".venv/kubectl/usr/bin/kubectl")
if not os.access(KUBECTL, os.X_OK):
    KUBECTL = shutil.which("kubectl") or KUBECTL
VERSIONS = ("1.31", "1.34", kubernetes_validate.latest_version())
RELEASE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

Resources = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[*OVERLAYS, *JOBS])
def rendered(request: pytest.FixtureRequest) -> tuple[str, Resources]:
    """The name of an overlay or a job, and its resources."""
    return request.param, render(request.param)


def render(name: str) -> Resources:
    done = subprocess.run(
        [KUBECTL, "kustomize", str(MANIFESTS / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def one(resources: Resources, kind: str, name: str = "twinhead") -> dict[str, Any]:
    (found,) = (
        each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name
    )
    return found


def pods(resources: Resources) -> list[dict[str, Any]]:
    """What each Deployment or Job makes pods of."""
    return [each["spec"]["template"] for each in resources if each["kind"] in ("Deployment", "Job")]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid(rendered, version):
    _, resources = rendered
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_every_pod_is_as_restricted_as_can_be(rendered):
    _, resources = rendered
    for pod in pods(resources):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_every_volume_is_there_and_used(rendered):
    _, resources = rendered
    for pod in pods(resources):
        mounted = {
            mount["name"] for container in containers(pod) for mount in container["volumeMounts"]
        }
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_images_are_of_this_release(rendered):
    _, resources = rendered
    for pod in pods(resources):
        for container in containers(pod):
            pattern = rf"registry\.example\.org/twinhead(-client)?:{re.escape(RELEASE)}(-\w+)?"
            assert re.fullmatch(pattern, container["image"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_worker_knows_its_settings(name):
    (container,) = pods(render(name))[0]["spec"]["containers"]
    settings = {
        each["name"].removeprefix("TWINHEAD_").lower(): each["value"]
        for each in container["env"]
        if not each["name"].startswith("TWINHEAD_CLIENT_")
    }
    worker = WorkerSettings(**settings)  # of what is not known it says so
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports["grpc"] == worker.port
    assert ports["metrics"] == worker.metrics_port
    pod = pods(render(name))[0]["spec"]
    assert pod["terminationGracePeriodSeconds"] > worker.drain_seconds + 5
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 2 * worker.stall_seconds
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    files = (worker.tls_certificate, worker.tls_key, worker.token_file, worker.watch, worker.state)
    for file in filter(None, files):
        assert any(Path(file).is_relative_to(mount) for mount in mounts), file


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_name_is_of_each_pod(name):
    resources = render(name)
    service = one(resources, "Service")
    assert service["spec"]["clusterIP"] == "None"
    labels = one(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (container,) = one(resources, "Deployment")["spec"]["template"]["spec"]["containers"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_dev_is_probed_by_grpc_and_a_fleet_with_tls():
    for name in OVERLAYS:
        (container,) = one(render(name), "Deployment")["spec"]["template"]["spec"]["containers"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[kind]
            if name in FLEETS:
                assert probe["exec"]["command"] == ["twinhead", "health"]
                assert "grpc" not in probe
            else:
                assert probe["grpc"] == {"port": 50051}


@pytest.mark.parametrize("name", FLEETS)
def test_a_fleet_has_tls_tokens_and_one_store(name):
    pod = one(render(name), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["TWINHEAD_ALLOW_PLAINTEXT"] == "false"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == "twinhead-tls"
    assert volumes["tokens"]["secret"]["secretName"] == "twinhead-tokens"
    assert volumes["models"]["persistentVolumeClaim"]["readOnly"]
    claim = one(render(name), "PersistentVolumeClaim", "twinhead-models")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", FLEETS)
def test_only_trainers_reach_the_admin_service(name):
    resources = render(name)
    policy = one(resources, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    labels = one(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (container,) = one(resources, "Deployment")["spec"]["template"]["spec"]["containers"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert by_port.keys() == {port["name"] for port in container["ports"]}
    (who,) = by_port["admin"]
    (trainer,) = pods(render("jobs/train"))
    assert who["podSelector"]["matchLabels"].items() <= trainer["metadata"]["labels"].items()
    (labeller,) = pods(render("jobs/label"))
    assert not who["podSelector"]["matchLabels"].items() <= labeller["metadata"]["labels"].items()


@pytest.mark.parametrize("name", FLEETS)
def test_the_autoscaler_goes_by_a_quarter_of_the_queue(name):
    resources = render(name)
    deployment = one(resources, "Deployment")
    assert "replicas" not in deployment["spec"]  # or each `apply` would undo what it did
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    default = WorkerSettings().queue_tokens
    queue = int(given.get("TWINHEAD_QUEUE_TOKENS", default))
    scaler = one(resources, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "twinhead"
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == "twinhead_queue_tokens"
    assert int(metric["pods"]["target"]["averageValue"]) == queue // 4
    assert one(resources, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("name", JOBS)
def test_the_commands_of_jobs_are_known(name, run_twinhead):
    (pod,) = pods(render(name))
    for container in containers(pod):
        command, *arguments = container["args"]
        shown = run_twinhead(command, "--help").stdout
        options = {argument.partition("=")[0] for argument in arguments if argument[:2] == "--"}
        assert options
        for option in options:
            assert re.search(rf"(^|[\s,]){option}\b", shown), f"{command} has no {option}"


def test_the_recipe_of_the_job_is_one(tmp_path):
    file = MANIFESTS / "jobs/train/recipe.toml"
    recipe = tomllib.loads(file.read_text())
    labels = {task["name"]: task["labels"] for task in recipe["model"]["tasks"]}
    for data in recipe["data"]:
        ((task, column),) = data["tasks"].items()
        rows = [json.dumps({"text": "a text", column: label}) for label in labels[task]]
        for place in (data["train"], data["validation"]):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            (tmp_path / place).write_text("\n".join(rows))
    assert len(read_recipe(file, tmp_path).data) == 2


def test_the_docs_name_every_secret_and_scope():
    text = (ROOT / "docs/deploy.md").read_text()
    for name in ("twinhead-tls", "twinhead-tokens", "twinhead-label-token", *Scope):
        assert name in text
    for overlay in (*OVERLAYS, *JOBS):
        assert f"deploy/kubernetes/{overlay}" in text
