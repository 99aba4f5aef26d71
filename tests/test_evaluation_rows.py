"""Which rows are measured, of which tasks, and what is said of wrong ones."""

import json
from pathlib import Path

import pytest
from twinhead.client.errors import FileError
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.errors import DataError
from twinhead.trainer.evaluation_rows import FileColumns, rows_of_file, rows_of_recipe
from twinhead.trainer.recipe import Recipe
from twinhead.trainer.training_data import read_row_sets

TOPIC = TaskConfig(name="topic", labels=("sea", "land"))
MOOD = TaskConfig(name="mood", labels=("calm", "wild"))
NAMES = TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER"))
TASKS = {task.name: task for task in (TOPIC, MOOD, NAMES)}


@pytest.fixture
def save(tmp_path):
    def save(name: str, *rows: dict) -> Path:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return save


def labels_of(data) -> list[dict]:
    return [dict(row.labels) for split in data.splits for row in split.rows]


# Of a file.


def test_tasks_are_found_by_the_names_of_columns(save):
    file = save("a.jsonl", {"text": "a", "mood": "wild"}, {"text": "b", "topic": "sea"})
    data = rows_of_file(file, FileColumns(), TASKS)
    assert labels_of(data) == [{"mood": "wild"}, {"topic": "sea"}]
    assert [(split.name, split.datasets) for split in data.splits] == [("a.jsonl", ("a",))]
    assert (data.notes, data.count) == ((), 2)


def test_the_only_task_takes_the_column_label(save):
    file = save("2nd-try.jsonl", {"text": "a", "label": "wild"})
    data = rows_of_file(file, FileColumns(), {"mood": MOOD})
    assert labels_of(data) == [{"mood": "wild"}]
    assert data.notes == ("the column label of 2nd-try.jsonl was taken for mood",)
    assert data.splits[0].datasets == ("data_2nd_try",)


def test_columns_may_be_said_and_values_renamed(save):
    file = save(
        "a.jsonl",
        {"body": "a", "x": 0, "y": 0},
        {"body": "b", "x": 1, "y": "a:b"},
        {"body": "c", "x": 2, "y": "calm"},
    )
    columns = FileColumns(
        "body", None, {"topic": "x", "mood": "y"}, ["topic:0=sea", "0=wild", "1=land", "2=", "a:b="]
    )
    assert labels_of(rows_of_file(file, columns, TASKS)) == [
        {"topic": "sea", "mood": "wild"},
        {"topic": "land"},
        {"mood": "calm"},
    ]


def test_tags_are_of_words(save):
    file = save("a.jsonl", {"words": ["Ann", "ran"], "tags": ["I-PER", "O"]})
    data = rows_of_file(file, FileColumns(words="words", tasks={"names": "tags"}), TASKS)
    assert labels_of(data) == [{"names": ("B-PER", "O")}]
    assert data.splits[0].rows[0].words == ((0, 3), (4, 7))


def test_rows_without_text_or_label_are_told(save):
    rows = [{"text": " ", "mood": "wild"}, {"text": "b"}, {"text": "c", "mood": "calm"}]
    data = rows_of_file(save("a.jsonl", *rows), FileColumns(), TASKS)
    assert data.count == 1
    assert data.notes == (
        "a.jsonl: 1 rows without text were left out",
        "a.jsonl: 1 rows without label were left out",
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (FileColumns(), "the columns are text, label; the tasks are topic, mood, names"),
        (FileColumns("body", tasks={"mood": "label"}), "no column 'body'; it has text, label"),
        (FileColumns(tasks={"mood": "feeling"}), "no column 'feeling'; it has text, label"),
        (FileColumns(tasks={"food": "label"}), "no task 'food'; it has topic, mood, names"),
        (FileColumns(tasks={"names": "label"}), "names is a token task: say --words"),
        (FileColumns(tasks={"mood": "label"}, maps=["wild"]), "'wild' is not of the form"),
        (
            FileColumns(tasks={"mood": "label"}),
            r"a.jsonl:2: mood has no label 'happy'; it has calm",
        ),
        (FileColumns(tasks={"mood": "label"}, maps=["wild=", "happy="]), "no row with a text and"),
    ],
)
def test_what_is_wrong_is_said(save, columns, message):
    file = save("a.jsonl", {"text": "a", "label": "wild"}, {"text": "b", "label": "happy"})
    with pytest.raises(DataError, match=message):
        rows_of_file(file, columns, TASKS)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match=r"missing\.csv"):
        rows_of_file(tmp_path / "missing.csv", FileColumns(), TASKS)


# Of a recipe.


def recipe_of(*data: dict) -> Recipe:
    return Recipe.model_validate(
        {"model": {"encoder": "any", "tasks": [{"name": "topic"}]}, "data": data}
    )


def rows(task: str, labels: tuple[str, ...], count: int) -> list[dict]:
    return [{"text": f"{task} {n}", "label": labels[n % 2]} for n in range(count)]


@pytest.fixture
def recipe(save) -> Recipe:
    """Two data sets; the second has files for no split but train."""
    files = {
        split: str(save(f"{split}.jsonl", *rows(f"topic {split}", TOPIC.labels, count)))
        for split, count in (("train", 6), ("validation", 3), ("test", 2))
    }
    moods = str(save("moods.jsonl", *rows("mood", MOOD.labels, 20)))
    return recipe_of(
        {"name": "topics", **files, "tasks": {"topic": "label"}},
        {"name": "moods", "train": moods, "tasks": {"mood": "label"}},
    )


def test_splits_of_a_recipe(recipe):
    data = rows_of_recipe(recipe, ["validation", "test"], TASKS)
    assert [(split.name, split.datasets) for split in data.splits] == [
        ("validation", ("topics", "moods")),
        ("test", ("topics",)),
    ]
    validation = data.splits[0]
    # Those that training, too, sets apart.
    apart = read_row_sets(recipe, TASKS).splits["validation"][1]
    assert [row.text for row in validation.groups[1]] == [row.text for row in apart]
    assert validation.dataset.tolist() == [0] * 3 + [1] * len(apart)
    told = f"moods: {len(apart)} of 20 rows were set apart to validate with (seed 0)"
    assert data.notes == (told,)


def test_training_rows_are_those_that_are_trained_on(recipe):
    data = rows_of_recipe(recipe, ["train"], TASKS)
    trained = read_row_sets(recipe, TASKS).splits["train"]
    assert [len(group) for group in data.splits[0].groups] == [6, len(trained[1])]


def test_tasks_that_the_model_lacks_are_passed_over(recipe):
    data = rows_of_recipe(recipe, ["validation"], {"topic": TOPIC})
    assert [split.datasets for split in data.splits] == [("topics",)]
    assert data.notes == ("moods: the model has no task mood",)
    with pytest.raises(DataError, match=r"no validation rows to measure on\n.*no task topic"):
        rows_of_recipe(recipe, ["validation"], {"names": NAMES})


def test_a_recipe_without_rows_of_a_split(recipe):
    with pytest.raises(DataError, match="the recipe has no test rows to measure on"):
        rows_of_recipe(recipe, ["test"], {"mood": MOOD})
