"""A recipe as TOML: reading it gives the recipe."""

import tomllib

import pytest
from small_summary import RECIPE, make_summary
from twinhead.trainer.recipe import Recipe
from twinhead.trainer.recipe_text import recipe_text

FULL = make_summary().recipe
TRAINED_ON = FULL.model_copy(update={"model": type(FULL.model)(checkpoint="some/folder")})
LIMITED = FULL.model_copy(update={"limitations": ('It takes "irony" at its word.', "Two.")})
MINIMAL = Recipe.model_validate(
    {
        "model": {"encoder": "e", "tasks": [{"name": "t", "labels": ["a", "b"]}]},
        "data": [{"name": "d", "train": "x.csv", "tasks": {"t": "t"}}],
    }
)


@pytest.mark.parametrize("recipe", [FULL, TRAINED_ON, LIMITED, MINIMAL])
def test_it_can_be_read_again(recipe):
    assert Recipe.model_validate(tomllib.loads(recipe_text(recipe))) == recipe


def test_defaults_are_stated():
    assert "seed" not in str(RECIPE["loss"])
    shown = tomllib.loads(recipe_text(MINIMAL))
    assert shown["training"]["epochs"] == MINIMAL.training.epochs
    assert shown["loss"]["weighting"] == MINIMAL.loss.weighting.value


@pytest.mark.parametrize("name", ["a b", "x.y", 'q"q', "back\\slash", "\x7f\x01\t", "日本 🏅", "#"])
def test_any_name_and_text_is_kept(name):
    data = {
        **RECIPE["data"][0],
        "name": "d",
        "tasks": {"topic": {"column": name, "map": {name: name}}},
    }
    model = {"encoder": name, "tasks": [{"name": "topic", "labels": [name, "other"]}]}
    recipe = Recipe.model_validate({"model": model, "data": [data]})
    assert Recipe.model_validate(tomllib.loads(recipe_text(recipe))) == recipe
