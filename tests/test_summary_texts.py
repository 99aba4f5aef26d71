"""Numbers, names and warnings as people read them."""

import math
from dataclasses import replace

import pytest
from small_summary import make_summary
from twinhead.trainer.recipe import LossRecipe
from twinhead.trainer.run_summary import DataSummary
from twinhead.trainer.summary_texts import (
    data_warnings,
    figure_text,
    figure_title,
    short_count,
    weighting_text,
)


def test_counts():
    assert [short_count(count) for count in (512, 1540, 22_713_216, 7 * 10**9)] == [
        "512",
        "1.5 k",
        "22.7 M",
        "7.0 G",
    ]


def test_figures():
    assert figure_text(0.12345) == "0.123"
    assert [figure_text(one) for one in (None, math.nan, math.inf)] == ["-", "-", "-"]
    assert [figure_title(one) for one in ("macro_f1", "ece", "exact_match")] == [
        "macro F1",
        "ECE",
        "exact match",
    ]


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        ({}, "plain sum"),
        ({"weighting": "alpha", "alpha": 0.3}, "0.3 · topic + 0.7 · urgent"),
        ({"weighting": "fixed", "weights": {"urgent": 2}}, "fixed weights (topic 1, urgent 2)"),
        ({"weighting": "uncertainty"}, "learned uncertainty (Kendall, Gal & Cipolla 2018)"),
    ],
)
def test_how_losses_became_one(loss, text):
    summary = make_summary()
    config = summary.config.model_copy(update={"tasks": summary.config.tasks[:2]})
    recipe = summary.recipe.model_copy(update={"loss": LossRecipe.model_validate(loss)})
    assert weighting_text(replace(summary, recipe=recipe, config=config)) == text


def test_what_is_wrong_with_the_data():
    def of(**counts):
        counts = {"duplicates": 5, "conflicts": 0, "leaks": 0} | counts
        return list(data_warnings([DataSummary("news", "test", 1200, {}, **counts)]))

    assert of() == []
    (leaks,) = of(leaks=1)
    assert leaks.startswith(
        "news, test: 1 of 1,200 rows has a text that is among the training or validation rows, too."
    )
    (conflicts,) = of(conflicts=2)
    assert conflicts.startswith("news, test: 2 of 1,200 rows have the text of an earlier row")
    assert of(leaks=1, conflicts=2) == [leaks, conflicts]
