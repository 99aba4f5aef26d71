"""The cache of the frozen layers as a run uses it: it must change nothing but time."""

import json

import pytest
import trained
from small_encoders import FAMILIES
from twinhead.model.checkpoint import Checkpoint

NO_CACHE = "freezing.cache=false"


def losses(output):
    return [
        values["loss"]
        for record in trained.records(output, "validation")
        for values in record["figures"].values()
    ]


@pytest.mark.parametrize(
    "family",
    # One of each shape of encoder; the others differ in what is around it.
    [
        family if family in ("bert", "modernbert") else pytest.param(family, marks=pytest.mark.long)
        for family in FAMILIES
    ],
)
@pytest.mark.parametrize("rules", ['["top:1"]', '["encoder"]'])
def test_training_is_the_same_with_the_cache_and_without(tmp_path, family, rules):
    recipe = trained.write_recipe(tmp_path, family=family, rows=48)
    freeze = f"freezing.freeze={rules}"
    cached = trained.train_here(recipe, tmp_path / "cached", freeze)
    trained.train_here(recipe, tmp_path / "plain", freeze, NO_CACHE)
    assert "computed once for all rows" in cached.cache
    assert "in evaluation mode" in cached.cache
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=2e-5)


def test_gradual_unfreezing_makes_the_cache_anew(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    stages = [
        'freezing.freeze=["encoder"]',
        'freezing.stages=[{epoch=2,freeze=["top:1"]},{epoch=4,freeze=[]}]',
        "training.epochs=5",
    ]
    cached = trained.train_here(recipe, tmp_path / "cached", *stages)
    trained.train_here(recipe, tmp_path / "plain", *stages, NO_CACHE)
    assert cached.cache.count("was computed once") == 2
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=5e-5)
    begun = [record["rules"] for record in trained.records(tmp_path / "cached", "stage")]
    assert begun == [["encoder"], ["top:1"], []]


def test_weights_that_trained_and_then_froze_are_measured_as_they_were_best(tmp_path):
    """The last stage's cache holds what later weights gave; the best ones are of an earlier one."""
    recipe = trained.write_recipe(tmp_path)
    run = [
        "freezing.freeze=[]",
        'freezing.stages=[{epoch=1,freeze=["encoder"]}]',
        "training.epochs=6",
        "training.validate_every=1",
        "training.learning_rate=0.05",
    ]
    summary = trained.train_here(recipe, tmp_path / "run", *run)
    told = {
        found.metrics.task: found.metrics.figures["accuracy"]
        for found in summary.evaluations
        if found.split == "validation"
    }
    best = next(
        record
        for record in trained.records(tmp_path / "run", "validation")
        if record["step"] == summary.best_step
    )
    for task, accuracy in told.items():
        assert accuracy == pytest.approx(best["figures"][task]["accuracy"])


def test_rows_beyond_the_budget_are_computed_each_time(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    freeze = 'freezing.freeze=["top:1"]'
    little = trained.train_here(
        recipe, tmp_path / "little", freeze, "freezing.cache_gigabytes=0.00003"
    )
    trained.train_here(recipe, tmp_path / "plain", freeze, NO_CACHE)
    assert "of 192 rows" in little.cache
    assert losses(tmp_path / "little") == pytest.approx(losses(tmp_path / "plain"), abs=2e-5)


def test_nothing_of_it_is_left_behind(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    trained.train_here(recipe, tmp_path / "run", 'freezing.freeze=["top:1"]')
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "checkpoint",
        "report.html",
        "history.jsonl",
    }
    described = json.loads((tmp_path / "run" / "checkpoint" / "twinhead.json").read_text())
    assert described["metrics"]["topic"]["validation"]["rows"] == 24
    assert Checkpoint.load(tmp_path / "run" / "checkpoint").config.task("topic").labels


def test_layers_that_are_frozen_later_are_cached_without_dropout(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    stages = [
        "freezing.freeze=[]",
        'freezing.stages=[{epoch=1,freeze=["encoder"]}]',
        "training.epochs=4",
        "training.dropout=0.5",
    ]
    cached = trained.train_here(recipe, tmp_path / "cached", *stages)
    trained.train_here(recipe, tmp_path / "plain", *stages, NO_CACHE)
    assert cached.cache.count("was computed once") == 1
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=5e-5)


def test_the_highest_layer_runs_where_only_what_follows_it_trains(tmp_path):
    recipe = trained.write_recipe(tmp_path, family="modernbert", rows=32)
    freeze = 'freezing.freeze=["below:3"]'
    trained.train_here(recipe, tmp_path / "cached", freeze)
    trained.train_here(recipe, tmp_path / "plain", freeze, NO_CACHE)
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "plain"), abs=5e-5)
