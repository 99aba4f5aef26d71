"""A journey with real weights: worker processes, pushed to, killed, and started again."""

import json
import random
import threading

import pytest
import swapped
from twinhead.client import AdminClient, Client, TwinheadError
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder

TOP_TWO = ("heads.", "layer.4.", "layer.5.")
SENTENCES = ["The match was a delight.", "Shares fell sharply after the report."]


@pytest.fixture(scope="module")
def starter() -> Checkpoint:
    return Checkpoint.load(checkpoint_folder("starter"))


def small_change(base: Checkpoint, names, seed: int) -> Checkpoint:
    """As a short training changes weights; `swapped.changed` is for random ones."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    new = {
        name: tensor + 0.02 * tensor.std() * torch.randn(tensor.shape, generator=generator)
        for name, tensor in base.network.state_dict().items()
        if tensor.is_floating_point() and any(part in name for part in names)
    }
    return Checkpoint.create(base.network.with_tensors(base.config, new), base.tokenizer)


@pytest.mark.long
def test_killed_in_the_middle_of_pushes_it_comes_up_whole(starter, start_worker, tmp_path):
    state = ("--state", str(tmp_path / "state"))
    rng = random.Random(4)
    versions = [small_change(starter, TOP_TWO, seed) for seed in range(3)]
    known = {each.version: (each, swapped.answers_of(each, SENTENCES)) for each in versions}
    known[starter.version] = (starter, swapped.answers_of(starter, SENTENCES))
    possible = {starter.version}
    for new in versions:
        worker = start_worker(*state)
        with Client(worker.target) as client, AdminClient(worker.admin_target) as admin:
            result = client.infer(SENTENCES)
            assert result.model_version in possible
            assert swapped.is_of(result, *known[result.model_version])
            threading.Timer(rng.uniform(0.0, 0.6), worker.process.kill).start()
            possible = {result.model_version, new.version}
            try:
                with admin.push(swapped.offer_of(new)) as push:
                    push.stage()
                    push.go_live()
                possible = {new.version}  # it was said to be live
            except TwinheadError:
                pass
            worker.process.wait(60)
    worker = start_worker(*state)
    with Client(worker.target) as client:
        result = client.infer(SENTENCES)
    assert result.model_version in possible
    assert swapped.is_of(result, *known[result.model_version])


@pytest.mark.long
def test_from_the_command_line(starter, start_worker, run_twinhead, tmp_path):
    worker = start_worker("--state", str(tmp_path / "state"))
    new = small_change(starter, ("heads.",), 9)
    new.save_delta(tmp_path / "new")
    where = ("--worker", worker.admin_target)

    pushed = run_twinhead("push", "new", *where)
    assert pushed.returncode == 0, pushed.stderr
    assert f"{new.version} is live, after {starter.version}" in pushed.stdout
    assert " KB in " in pushed.stdout

    status = json.loads(run_twinhead("status", *where, "--json").stdout)
    assert [(each["version"], each["state"]) for each in status["versions"]] == [
        (new.version, "live"),
        (starter.version, "previous"),
    ]

    back = run_twinhead("rollback", *where)
    assert back.stdout == f"{worker.admin_target}: {starter.version} is live, after {new.version}\n"
    with Client(worker.target) as client:
        assert client.model().version == starter.version
