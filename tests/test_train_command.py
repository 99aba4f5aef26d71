"""`twinhead train` as it is typed."""

import subprocess

import pytest
import trained
from twinhead.client import Client
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
