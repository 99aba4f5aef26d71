"""`twinhead train` as it is typed."""

import subprocess

import pytest
import trained
from conftest import TWINHEAD
from twinhead.client import Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model
from twinhead.trainer.read_recipe import RECIPES


def text_of(result):
    return result.stdout + result.stderr


def test_a_recipe_becomes_a_model_that_a_worker_serves(tmp_path, start_worker):
    recipe = trained.write_recipe(tmp_path)
    done = subprocess.run(
        [part for part in trained.command(recipe, tmp_path / "run") if part != "--no-tensorboard"],
        capture_output=True,
        text=True,
        env=trained.environment(),
    )
    assert done.returncode == 0, done.stderr
    assert f"twinhead serve --model {tmp_path}/run/checkpoint" in done.stdout.replace("\n", "")
    assert "accuracy" in done.stdout
    assert "frozen: nothing" in done.stderr
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    worker = start_worker("--model", str(tmp_path / "run" / "checkpoint"))
    with Client(worker.target) as client:
        result = client.infer(["the quick fox runs home"])
        assert set(result.tasks) == {"topic", "mood"}
        assert client.model().version in done.stdout


def test_every_fault_of_a_recipe_is_told_at_once(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    refused = trained.run(
        recipe,
        tmp_path / "run",
        "--set",
        "training.epochs=0",
        "--set",
        "training.speed=3",
        "--set",
        'freezing.freeze=["top:9"]',
        "--set",
        "data.moods.text=content",
        "--set",
        'loss.weights={"colour"=2.0}',
    )
    assert refused.returncode == 1
    for fault in (
        "training.epochs",
        "training.speed",
        "top:9: the encoder has 2 layers",
        "has no column 'content'",
        "loss.weights",
    ):
        assert fault in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_check_looks_and_does_nothing(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    checked = trained.run(recipe, tmp_path / "run", "--check")
    assert checked.returncode == 0
    assert "no faults" in checked.stdout
    assert not (tmp_path / "run").exists()


def test_recipes_that_come_along_are_found_by_name(tmp_path):
    named = trained.run("starter", tmp_path / "run", "--check", "--data", str(tmp_path))
    assert named.returncode == 1
    assert f"there is no file {tmp_path}/ag_news_clean/train.jsonl" in named.stderr
    unknown = trained.run("nothing", tmp_path / "run")
    assert unknown.returncode == 1
    assert all(file.stem in unknown.stderr for file in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("option", ["--device=tpu", "--unknown"])
def test_wrong_usage_is_told(tmp_path, option):
    assert trained.run(trained.write_recipe(tmp_path), tmp_path / "run", option).returncode == 2


@pytest.fixture
def first(tmp_path):
    """A first run's checkpoint, trained for a moment."""
    recipe = trained.write_recipe(tmp_path / "first")
    trained.train_here(recipe, tmp_path / "first" / "run", "training.epochs=1")
    return tmp_path / "first" / "run" / "checkpoint"


@pytest.fixture
def serving(first, start_debug_worker):
    return start_debug_worker(load=load_model, model=str(first), device="cpu", threads=1)


def test_what_was_trained_goes_live(tmp_path, first, serving):
    recipe = trained.onward(trained.write_recipe(tmp_path / "second"), first)
    done = trained.run(
        recipe, tmp_path / "run", "--set", "training.epochs=4", "--push", serving.admin_target
    )
    assert done.returncode == 0, done.stderr
    before = serving.model.version
    live = Checkpoint.load(tmp_path / "run" / "checkpoint").version
    assert f"{live} is live, after {before}" in done.stdout
    with Client(serving.target) as client:
        assert client.infer(["the quick fox"]).model_version == live


def test_what_is_no_better_than_what_it_began_with_is_not_pushed(tmp_path, first, serving):
    recipe = trained.onward(trained.write_recipe(tmp_path / "second"), first)
    unlearning = ("training.learning_rate=1e-9", "training.head_learning_rate=1e-9")
    settings = [part for setting in unlearning for part in ("--set", setting)]
    done = trained.run(recipe, tmp_path / "run", *settings, "--push", serving.admin_target)
    assert done.returncode == 0, done.stderr
    assert "Not pushed: validation is no better than with what training began with" in done.stdout
    with Client(serving.target) as client:
        assert client.model().version == serving.model.version


def test_a_worker_that_is_not_there_is_told_before_training(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    done = trained.run(recipe, tmp_path / "run", "--push", "localhost:1")
    assert done.returncode == 1
    assert "no worker answers at localhost:1" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_other_tasks_than_the_workers_are_pushed_only_when_that_is_said(tmp_path, start_worker):
    recipe = trained.write_recipe(tmp_path)
    worker = start_worker()
    refused = trained.run(recipe, tmp_path / "run", "--push", worker.admin_target)
    assert refused.returncode == 1
    assert "--allow-new-tasks" in refused.stdout
    # What was trained is not lost.
    where = ("--worker", worker.admin_target, "--allow-new-tasks")
    pushed = subprocess.run(
        [*TWINHEAD, "push", str(tmp_path / "run" / "checkpoint"), *where],
        capture_output=True,
        text=True,
    )
    assert pushed.returncode == 0, pushed.stderr
    with Client(worker.target) as client:
        assert set(client.infer(["the quick fox"]).tasks) == {"topic", "mood"}
