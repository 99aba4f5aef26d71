"""The promises of a run, kept by real processes: resume after kill -9, data-parallel, disk full."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import trained
from small_files import with_small_files
from twinhead.model.checkpoint import Checkpoint

# Every step is validated, so that the history shows each of them.
EACH_STEP = ("--set", "training.validate_every=1")


def figures(output):
    return [(record["step"], record["figures"]) for record in trained.records(output, "validation")]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    recipe = trained.write_recipe(folder)
    done = trained.run(recipe, folder / "run", *EACH_STEP)
    assert done.returncode == 0, done.stderr
    return recipe, folder / "run"


def test_a_killed_run_goes_on_with_the_same_losses(uninterrupted, tmp_path):
    recipe, whole = uninterrupted
    kill_and_compare(recipe, whole, tmp_path / "run", list(EACH_STEP), (4,))


@pytest.mark.long
def test_a_run_with_a_cache_and_stages_goes_on_with_the_same_losses(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    stages = '[{epoch=1,freeze=["top:1"]}]'
    options = [*EACH_STEP, "--set", 'freezing.freeze=["encoder"]']
    options += ["--set", f"freezing.stages={stages}"]
    whole = trained.run(recipe, tmp_path / "whole", *options)
    assert whole.returncode == 0, whole.stderr
    kill_and_compare(recipe, tmp_path / "whole", tmp_path / "run", options, (9, 21))
    begun = [record["step"] for record in trained.records(tmp_path / "run", "stage")]
    assert begun == [0, 9]


def kill_and_compare(recipe, whole, output, typed, kills):
    """Kill a run at some steps, resume it each time, and compare it with one that ran through."""
    killed = []
    options = typed
    for wanted in kills:
        process = subprocess.Popen(
            trained.command(recipe, output, *options),
            env=trained.environment(),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        while True:
            assert process.poll() is None, "it ended before it could be killed"
            if (output / "history.jsonl").exists() and len(figures_so_far(output)) >= wanted:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        assert process.wait() == -signal.SIGKILL
        killed.append(len(figures_so_far(output)))
        options = [*typed, "--resume"]
    assert not (output / "checkpoint").exists()
    resumed = trained.run(recipe, output, *options)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after step" in resumed.stderr
    steps = len(figures(whole))
    assert kills[0] <= killed[0]
    # Each came while there was work left.
    assert sorted(set(killed)) == killed
    assert killed[-1] < steps
    assert figures(output) == figures(whole)
    ours, theirs = trained.tensors(output / "checkpoint"), trained.tensors(whole / "checkpoint")
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor, theirs[name], err_msg=name)


def figures_so_far(output):
    lines = (output / "history.jsonl").read_text().splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and '"validation"' in line]


@pytest.mark.long
def test_the_same_seed_gives_the_same_weights_and_another_one_others(uninterrupted, tmp_path):
    recipe, whole = uninterrupted
    again = trained.run(recipe, tmp_path / "again", *EACH_STEP)
    other = trained.run(recipe, tmp_path / "other", *EACH_STEP, "--set", "training.seed=1")
    assert again.returncode == other.returncode == 0
    wanted = Checkpoint.load(whole / "checkpoint").version
    assert Checkpoint.load(tmp_path / "again" / "checkpoint").version == wanted
    assert Checkpoint.load(tmp_path / "other" / "checkpoint").version != wanted


@pytest.mark.parametrize(
    ("freezing", "weighting"),
    [
        ('freezing.freeze=["top:1"]', "loss.weighting=uncertainty"),
        pytest.param("freezing.freeze=[]", "sampling.schedule=alternating", marks=pytest.mark.long),
        pytest.param(
            "freezing.stages=[{epoch=1,freeze=[]}]",
            "sampling.accumulate=2",
            marks=pytest.mark.long,
        ),
    ],
)
def test_two_processes_train_like_one(tmp_path, freezing, weighting):
    recipe = trained.write_recipe(tmp_path)
    # Without dropout, whose random numbers differ from process to process.
    options = [*EACH_STEP, "--set", "training.dropout=0", "--set", freezing, "--set", weighting]
    if "stages" in freezing:
        options += ["--set", 'freezing.freeze=["encoder"]']
    alone = trained.run(recipe, tmp_path / "alone", *options)
    assert alone.returncode == 0, alone.stderr
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    typed = trained.command(recipe, tmp_path / "together", *options)[1:]
    together = subprocess.run(
        [*torchrun, *port, *typed], capture_output=True, text=True, env=trained.environment()
    )
    assert together.returncode == 0, together.stderr
    assert "processes" in (tmp_path / "together" / "report.html").read_text()
    one, two = figures(tmp_path / "alone"), figures(tmp_path / "together")
    assert len(one) == len(two) > 0
    for (step, expected), (other_step, found) in zip(one, two, strict=True):
        assert step == other_step
        for task, values in expected.items():
            assert found[task]["loss"] == pytest.approx(values["loss"], abs=1e-4)
            assert found[task]["accuracy"] == pytest.approx(values["accuracy"], abs=1e-9)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(uninterrupted, tmp_path):
    recipe, _ = uninterrupted
    output = tmp_path / "run"
    assert trained.run(recipe, output).returncode == 0
    before = Checkpoint.load(output / "checkpoint").version

    full = subprocess.run(
        with_small_files(
            50_000, trained.command(recipe, output, "--force", "--set", "training.seed=5")
        ),
        capture_output=True,
        text=True,
        env=trained.environment(),
    )
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "cannot be written" in full.stderr
    assert Checkpoint.load(output / "checkpoint").version == before
    assert not list(output.glob("*.partial"))


def test_a_state_of_another_recipe_is_not_resumed(uninterrupted, tmp_path):
    recipe, _ = uninterrupted
    output = tmp_path / "run"
    process = subprocess.Popen(
        trained.command(recipe, output, *EACH_STEP, "--set", "training.epochs=200"),
        env=trained.environment(),
        stderr=subprocess.DEVNULL,
    )
    while not (output / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    refused = trained.run(recipe, output, *EACH_STEP)
    assert refused.returncode == 1
    assert "--resume" in refused.stderr
    refused = trained.run(recipe, output, *EACH_STEP, "--resume")
    assert refused.returncode == 1
    assert "another recipe" in refused.stderr
