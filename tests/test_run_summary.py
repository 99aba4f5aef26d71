"""What a real run tells, and that it is what the summary promises."""

import pytest
import trained
from twinhead.trainer.read_recipe import read_recipe
from twinhead.trainer.train_recipe import train_recipe

EXTRA = """
[freezing]
freeze = ["encoder"]
stages = [{ freeze = [], epoch = 1 }]
"""


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    file = trained.write_recipe(folder, rows=48, extra=EXTRA)
    # Topics of both data sets, so that one task has several.
    text = file.read_text(encoding="utf-8").replace(
        '{ mood = "mood" }', '{ mood = "mood", topic = "topic" }'
    )
    file.write_text(text, encoding="utf-8")
    # Five labels are wrong, so that there are mistakes.
    rows = folder / "topics_validation.jsonl"
    lines = rows.read_text(encoding="utf-8").splitlines()
    swapped = [line.replace(*_other_topic(line)) for line in lines[:5]]
    rows.write_text("\n".join([*swapped, *lines[5:]]), encoding="utf-8")
    recipe = read_recipe(file, None, ())
    return train_recipe(recipe, folder / "run", title="run", device="cpu", observers=lambda _: [])


def _other_topic(line):
    topics = ['"topic": "animals"', '"topic": "places"']
    return topics if topics[0] in line else topics[::-1]


def test_every_split_has_its_figures_of_all_data_sets(summary):
    found = [(one.metrics.task, one.split, one.dataset) for one in summary.evaluations]
    assert sorted(found, key=str) == sorted(
        [(task, split, None) for task in ("topic", "mood") for split in ("train", "validation")]
        + [
            ("topic", split, dataset)
            for split in ("train", "validation")
            for dataset in ("topics", "moods")
        ],
        key=str,
    )
    for split, rows in (("train", 72), ("validation", 48)):
        topic = [
            one.metrics.rows
            for one in summary.evaluations
            if (one.metrics.task, one.split) == ("topic", split)
        ]
        assert topic[0] == sum(topic[1:]) == rows


def test_evaluations_have_the_temperature_and_uncalibrated_ones_have_not(summary):
    assert summary.uncalibrated.keys() == summary.temperatures.keys() == {"topic", "mood"}
    for one in summary.evaluations:
        if (one.split, one.dataset) == ("validation", None):
            before = summary.uncalibrated[one.metrics.task]
            assert summary.temperatures[one.metrics.task] != 1
            assert before.rows == one.metrics.rows
            assert before.confusion == one.metrics.confusion
            # The temperature is the one that makes these rows most likely.
            assert one.metrics.figures["loss"] < before.figures["loss"]
            assert one.metrics.reliability != before.reliability


def test_stages_have_the_same_parts(summary):
    first, second = summary.history.stages
    assert [part.name for part in first.parts] == [part.name for part in second.parts]
    assert [part.parameters for part in first.parts] == [part.parameters for part in second.parts]
    assert sum(part.trained for part in first.parts) < sum(part.trained for part in second.parts)


def test_mistakes_are_of_validation_rows(summary):
    assert summary.mistakes.keys() == {"topic", "mood"}
    found = summary.mistakes["topic"]
    assert found
    assert all("_validation.jsonl:" in one.origin for one in found)
    assert all(one.expected != one.answered for one in found)
    assert list(found) == sorted(found, key=lambda one: -one.confidence)
