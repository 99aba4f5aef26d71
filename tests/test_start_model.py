import pytest
import torch
import trained
from twinhead.model.checkpoint import Checkpoint
from twinhead.trainer.errors import RecipeError
from twinhead.trainer.read_recipe import read_recipe
from twinhead.trainer.recipe import DataRecipe, ModelRecipe, Recipe
from twinhead.trainer.start_model import StartModel, calibrated


def recipe_of(folder):
    return read_recipe(trained.write_recipe(folder))


def onward(checkpoint, *tasks):
    """A recipe that goes on from a checkpoint, with rows of some tasks."""
    data = DataRecipe.model_validate(
        {"name": "more", "train": "x.jsonl", "tasks": {task: task for task in tasks}}
    )
    return Recipe(model=ModelRecipe(checkpoint=str(checkpoint)), data=(data,))


def built(recipe, seed=0):
    start = StartModel.find(recipe)
    network, tokenizer = start.build(start.tasks, seed)
    return Checkpoint.create(network, tokenizer)


def test_an_encoder_gets_heads_by_the_seed(tmp_path):
    recipe = recipe_of(tmp_path)
    assert built(recipe).version == built(recipe).version
    assert built(recipe).version != built(recipe, seed=1).version
    assert built(recipe).config.max_tokens == 32


def test_a_task_that_no_data_set_labels_keeps_its_temperature(tmp_path):
    first = built(recipe_of(tmp_path))
    warm = calibrated(first.network, {"topic": 2.5, "mood": 0.5})
    Checkpoint.create(warm, first.tokenizer).save(tmp_path / "saved")
    start = StartModel.find(onward(tmp_path / "saved", "mood"))
    assert {task.name: task.temperature for task in start.tasks} == {"topic": 2.5, "mood": 1.0}


def test_a_checkpoint_is_taken_over_without_its_temperatures(tmp_path):
    first = built(recipe_of(tmp_path))
    warm = calibrated(first.network, {"topic": 2.5, "mood": 0.5})
    Checkpoint.create(warm, first.tokenizer).save(tmp_path / "saved")
    start = StartModel.find(onward(tmp_path / "saved", "topic", "mood"))
    network, _ = start.build(start.tasks, seed=9)
    assert [task.temperature for task in network.config.tasks] == [1.0, 1.0]
    wanted = first.network.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name
    # What training does to the weights in memory is not in what a delta is made against.
    with torch.no_grad():
        network.heads["topic"].output.bias.add_(1)
    reloaded = start.reload()
    assert reloaded is not None
    assert torch.equal(
        reloaded.network.heads["topic"].output.bias, wanted["heads.topic.output.bias"]
    )


def test_data_for_a_task_that_the_checkpoint_lacks_is_refused(tmp_path):
    built(recipe_of(tmp_path)).save(tmp_path / "saved")
    recipe = onward(tmp_path / "saved", "colour")
    start = StartModel.find(recipe)
    with pytest.raises(RecipeError, match="more: the checkpoint has no task colour, only mood"):
        start.check(recipe.data)


def test_temperatures_are_set_and_weights_kept(tmp_path):
    network = built(recipe_of(tmp_path)).network
    warm = calibrated(network, {"topic": 1.5, "mood": 1.0})
    assert [task.temperature for task in warm.config.tasks] == [1.5, 1.0]
    wanted = network.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in warm.state_dict().items())
