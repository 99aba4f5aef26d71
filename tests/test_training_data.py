"""The data of a recipe: read, split, checked and made into numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_encoders import write_encoder
from twinhead.client import FileError
from twinhead.model.config import TaskConfig
from twinhead.model.tokenizer import Tokenizer
from twinhead.trainer.data_split import key_of
from twinhead.trainer.errors import DataError
from twinhead.trainer.recipe import Recipe, TaskRecipe
from twinhead.trainer.training_data import (
    RowSets,
    read_row_sets,
    truncation_notes,
    with_labels,
)

TOPIC = TaskConfig(name="topic", labels=("a", "b"))
MOOD = TaskConfig(name="mood", labels=("calm", "wild"))
TASKS = {"topic": TOPIC, "mood": MOOD}


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def numbered(count: int, prefix: str = "text", **labels: str) -> list[dict[str, Any]]:
    return [{"text": f"{prefix} {n}", **labels} for n in range(count)]


def recipe(*data: dict[str, Any], seed: int = 0) -> Recipe:
    sets = [{"name": f"set{n}", **each} for n, each in enumerate(data)]
    tasks = [{"name": name} for name in ("topic", "mood")]
    settings = {"model": {"encoder": "any", "tasks": tasks}, "data": sets}
    return Recipe.model_validate({**settings, "training": {"seed": seed}})


def texts(sets: RowSets, split: str, index: int = 0) -> list[str]:
    return [row.text for row in sets.splits[split][index]]


@pytest.fixture
def topics(tmp_path) -> dict[str, Any]:
    return {
        "train": written(tmp_path, "topics", numbered(100, label="a")),
        "tasks": {"topic": "label"},
    }


def test_every_set_has_its_splits_in_their_order(tmp_path, topics):
    moods = {
        "train": written(tmp_path, "train", numbered(3, "mood", m="calm")),
        "validation": written(tmp_path, "validation", numbered(2, "other", m="wild")),
        "test": written(tmp_path, "test", numbered(1, "last", m="wild")),
        "tasks": {"mood": "m"},
    }
    sets = read_row_sets(recipe(topics, moods), TASKS)
    assert sets.names == ("set0", "set1")
    assert texts(sets, "train", 1) == ["mood 0", "mood 1", "mood 2"]
    assert texts(sets, "validation", 1) == ["other 0", "other 1"]
    assert texts(sets, "test", 1) == ["last 0"]
    assert texts(sets, "test", 0) == []


def test_without_validation_files_training_rows_are_set_apart_and_that_is_told(topics):
    sets = read_row_sets(recipe({**topics, "validation_share": 0.2}, seed=3), TASKS)
    train, validation = texts(sets, "train"), texts(sets, "validation")
    assert len(train) + len(validation) == 100
    assert 10 <= len(validation) <= 30
    assert not set(train) & set(validation)
    apart = f"set0: {len(validation)} of 100 rows were set apart to validate with (seed 3)"
    assert sets.notes == (apart,)


def test_the_seed_of_the_recipe_decides(topics):
    chosen = [
        tuple(texts(read_row_sets(recipe({**topics, "limit": 50}, seed=seed), TASKS), split))
        for seed in (1, 1, 2)
        for split in ("train", "validation")
    ]
    assert chosen[:2] == chosen[2:4]
    assert chosen[0] != chosen[4]
    assert chosen[1] != chosen[5]


def test_the_seed_draws_the_rows_of_a_limit(tmp_path, topics):
    validation = written(tmp_path, "validation", numbered(1, "other", label="b"))
    data = {**topics, "limit": 20, "validation": validation}
    drawn = [texts(read_row_sets(recipe(data, seed=seed), TASKS), "train") for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_limit_is_of_training_rows_alone(tmp_path, topics):
    validation = written(tmp_path, "validation", numbered(30, "other", label="b"))
    sets = read_row_sets(recipe({**topics, "limit": 7, "validation": validation}), TASKS)
    assert (len(texts(sets, "train")), len(texts(sets, "validation"))) == (7, 30)
    # What is set apart does not depend on it.
    shares = [
        texts(read_row_sets(recipe({**topics, "limit": limit}), TASKS), "validation")
        for limit in (7, None)
    ]
    assert shares[0] == shares[1]


def test_rows_that_are_left_out_are_told_by_set_and_split(tmp_path, topics):
    rows = [*numbered(3, label="a"), {"text": ""}, {"text": "x"}, {"text": "y", "label": None}]
    validation = written(tmp_path, "validation", rows)
    sets = read_row_sets(recipe({**topics, "validation": validation}), TASKS)
    assert sets.notes == (
        "set0 validation: 1 rows without text were left out",
        "set0 validation: 2 rows without label were left out",
    )


def test_faults_of_all_sets_are_told_together(tmp_path, topics):
    bad = written(tmp_path, "bad", numbered(1, label="c"))
    empty = written(tmp_path, "empty", [{"text": "", "label": "a"}])
    data = [
        {**topics, "train": bad},
        topics,
        {**topics, "validation": empty},
        {**topics, "train": empty, "validation": bad},
    ]
    with pytest.raises(DataError) as caught:
        read_row_sets(recipe(*data), TASKS)
    lines = str(caught.value).splitlines()
    assert lines == [
        "data set set0 has rows with faults:",
        f"  {bad}:1: topic has no label 'c'; it has a, b",
        "data set set2 has no validation rows",
        "data set set3 has rows with faults:",
        f"  {bad}:1: topic has no label 'c'; it has a, b",
    ]


def test_a_set_without_rows_is_told(tmp_path, topics):
    empty = written(tmp_path, "empty", [{"text": "", "label": "a"}])
    with pytest.raises(DataError, match=r"data set set0 has no train rows\n.* no validation rows"):
        read_row_sets(recipe({**topics, "train": empty}), TASKS)


def test_of_a_single_text_nothing_can_be_set_apart(tmp_path, topics):
    one = written(tmp_path, "one", [{"text": "x", "label": "a"}] * 5)
    with pytest.raises(DataError, match=r"^data set set0 has no validation rows$"):
        read_row_sets(recipe({**topics, "train": one}), TASKS)


def test_a_file_that_is_gone_is_a_file_error(topics, tmp_path):
    with pytest.raises(FileError, match="no such file"):
        read_row_sets(recipe({**topics, "test": str(tmp_path / "gone.csv")}), TASKS)


# -- labels that are found in the data --


def sets_of(
    folder: Path, kind: str, *splits: list[Any], **column: Any
) -> tuple[TaskConfig, RowSets]:
    """A task without labels, and rows with values of its column."""
    task = TaskRecipe.model_validate({"name": "task", "kind": kind})
    words = {"words": "words"} if kind == "token" else {}
    files = {
        split: written(
            folder,
            split,
            [
                {"text": f"{split} {n}", "words": "w " * len(str(value).split()), "label": value}
                for n, value in enumerate(values)
            ],
        )
        for split, values in zip(("train", "validation", "test"), splits, strict=False)
    }
    settings = {
        "model": {"encoder": "any", "tasks": [{"name": "task", "kind": kind}]},
        "data": [{"name": "set", **files, **words, "tasks": {"task": "label"}}],
    }
    return task, read_row_sets(Recipe.model_validate(settings), {"task": task})


def found_labels(folder: Path, kind: str, *splits: list[Any]) -> tuple[str, ...]:
    task, sets = sets_of(folder, kind, *splits)
    (found,) = with_labels([task], sets)
    assert type(found) is TaskConfig
    assert (found.name, found.kind) == ("task", kind)
    return found.labels


@pytest.mark.parametrize(
    ("kind", "train", "labels"),
    [
        ("single_label", ["b", "c", "a", "b"], ("a", "b", "c")),
        ("single_label", [10, 2, 2], ("10", "2")),
        ("binary", ["yes", "no", "yes"], ("no", "yes")),
        ("binary", [True, False], ("false", "true")),
        ("multi_label", ["z|x", "", "y"], ("x", "y", "z")),
        ("multi_label", ["x", ""], ("x",)),
        ("token", ["O VERB NOUN", "NOUN"], ("O", "NOUN", "VERB")),
        # Whole pairs, also of entities that had one word or began with nothing.
        ("token", ["O B-PER", "I-LOC I-LOC"], ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")),
        ("token", ["B-PER MISC", "I-PER"], ("O", "B-PER", "I-PER", "MISC")),
    ],
)
def test_labels_are_those_of_the_training_rows_in_order(tmp_path, kind, train, labels):
    assert found_labels(tmp_path, kind, train, train) == labels


def test_labels_of_all_sets_are_found(tmp_path):
    sets = [
        {
            "train": written(tmp_path, f"set{n}", numbered(4, label=label)),
            "validation": written(tmp_path, f"v{n}", numbered(1, label="a")),
            "tasks": {"topic": "label"},
        }
        for n, label in enumerate("cab")
    ]
    open_topic = TaskRecipe(name="topic")
    rows = read_row_sets(recipe(*sets), {"topic": open_topic})
    (found,) = with_labels([open_topic], rows)
    assert found.labels == ("a", "b", "c")


def test_labels_that_are_given_stay(tmp_path, topics):
    sets = read_row_sets(recipe(topics), TASKS)
    assert with_labels([TOPIC, MOOD], sets) == (TOPIC, MOOD)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_that_no_training_row_has_is_told(tmp_path, split):
    train, other = ["a", "b"], ["a", "c", "d"]
    splits = [train, other] if split == "validation" else [train, train, other]
    with pytest.raises(
        DataError, match=f"task: {split} rows have the label 'c', which no training"
    ):
        found_labels(tmp_path, "single_label", *splits)


@pytest.mark.parametrize("tags", ["B-LOC", "LOC"])
def test_a_tag_that_no_training_row_has_is_told(tmp_path, tags):
    with pytest.raises(DataError, match=f"validation rows have the label '{tags}'"):
        found_labels(tmp_path, "token", ["O B-PER"], ["O B-PER I-PER", tags])


@pytest.mark.parametrize(
    ("kind", "train", "listed"),
    [
        ("single_label", ["a", "a"], r"\('a'\)"),
        ("binary", ["a", "b", "c"], r"\('a', 'b', 'c'\)"),
        ("token", ["O O"], r"\('O'\)"),
        ("multi_label", ["", ""], r"\(none\)"),
    ],
)
def test_labels_that_do_not_do_for_the_kind_are_told(tmp_path, kind, train, listed):
    with pytest.raises(DataError, match=f"task: the labels .* {listed} do not fit a {kind} task"):
        found_labels(tmp_path, kind, train, train)


@pytest.fixture
def rare(tmp_path) -> dict[str, Any]:
    """One row of a label among 200."""
    rows = [*numbered(100, label="a"), *numbered(99, "other", label="b")]
    return {
        "train": written(tmp_path, "rare", [*rows, {"text": "odd", "label": "rare"}]),
        "tasks": {"topic": "label"},
    }


def rare_label(data: dict[str, Any], seed: int) -> tuple[RowSets, bool, bool]:
    """The rows, and whether the rare label is among those trained on and those set apart."""
    open_topic = TaskRecipe(name="topic")
    sets = read_row_sets(recipe(data, seed=seed), {"topic": open_topic})
    (found,) = with_labels([open_topic], sets)
    assert found.labels == ("a", "b", "rare")
    return sets, "odd" in texts(sets, "train"), "odd" in texts(sets, "validation")


def test_a_rare_label_that_is_set_apart_or_beyond_the_limit_is_found(rare):
    note = "topic: no row that is trained on has the label 'rare': those that have it were set "
    where = set()
    for seed in range(8):
        sets, trained, apart = rare_label({**rare, "limit": 60, "validation_share": 0.4}, seed)
        where.add((trained, apart))
        assert any(one.startswith(note) for one in sets.notes) == (not trained)
    assert (False, True) in where
    assert (False, False) in where


def test_of_many_labels_that_are_not_taught_the_first_is_told(tmp_path):
    data = {
        "train": written(tmp_path, "n", [{"text": f"{n}", "label": f"{n:03}"} for n in range(100)]),
        "validation": written(tmp_path, "v", numbered(1, label="007")),
        "tasks": {"topic": "label"},
        "limit": 10,
    }
    sets = read_row_sets(recipe(data), {"topic": TaskRecipe(name="topic")})
    (note,) = sets.notes
    assert "(and 89 more)" in note


# -- numbers --


def test_summaries_count_leaks_against_the_training_rows_of_all_sets(tmp_path, topics):
    validation = written(
        tmp_path, "v", [{"text": "TEXT 3", "m": "calm"}, {"text": "z", "m": "wild"}]
    )
    moods = {
        "train": written(tmp_path, "m", numbered(2, "mood", m="calm")),
        "validation": validation,
        "tasks": {"mood": "m"},
    }
    topics["validation"] = written(tmp_path, "t", numbered(1, "other", label="b"))
    summaries = read_row_sets(recipe(topics, moods), TASKS).summaries(TASKS)
    assert [(one.split, one.dataset, one.rows, one.leaks) for one in summaries] == [
        ("train", "set0", 100, 0),
        ("train", "set1", 2, 0),
        ("validation", "set0", 1, 0),
        ("validation", "set1", 2, 1),  # a topic's text: the encoder has seen it
    ]
    assert summaries[3].labels == {"mood": {"calm": 1, "wild": 1}}


def test_test_rows_leak_from_the_validation_rows_of_all_sets_too(tmp_path, topics):
    topics["validation"] = written(tmp_path, "v", numbered(2, "seen", label="b"))
    moods = {
        "train": written(tmp_path, "m", numbered(2, "mood", m="calm")),
        "validation": written(tmp_path, "mv", numbered(1, "other", m="calm")),
        "test": written(
            tmp_path,
            "t",
            [{"text": text, "m": "calm"} for text in ("Seen 1", "text 5", "other 0", "new")],
        ),
        "tasks": {"mood": "m"},
    }
    summaries = read_row_sets(recipe(topics, moods), TASKS).summaries(TASKS)
    assert [(one.split, one.leaks) for one in summaries] == [
        ("train", 0),
        ("train", 0),
        ("validation", 0),
        ("validation", 0),
        ("test", 3),
    ]


def test_sets_of_the_same_texts_leak_nothing_into_each_other(tmp_path, topics):
    moods = {
        "train": written(tmp_path, "m", numbered(100, "Text", m="calm")[::-1]),
        "tasks": {"mood": "m"},
    }
    summaries = read_row_sets(recipe(topics, moods), TASKS).summaries(TASKS)
    assert [one.leaks for one in summaries] == [0, 0, 0, 0]


def test_what_is_set_apart_leaks_nothing(tmp_path, topics):
    twice = numbered(50, label="a") + numbered(50, "TEXT", label="b")
    topics["train"] = written(tmp_path, "twice", twice)
    sets = read_row_sets(recipe(topics), TASKS)
    train = {key_of(row) for row in sets.splits["train"][0]}
    assert not train & {key_of(row) for row in sets.splits["validation"][0]}
    assert [one.leaks for one in sets.summaries(TASKS)] == [0, 0]


def test_splits_become_numbers_with_the_sets_they_are_of(tmp_path, topics):
    moods = {"train": written(tmp_path, "m", numbered(10, "m", m="wild")), "tasks": {"mood": "m"}}
    sets = read_row_sets(recipe(topics, moods), TASKS)
    tokenizer = Tokenizer.load(write_encoder(tmp_path / "encoder", "bert"), 16)
    encoded = sets.encode([TOPIC, MOOD], tokenizer)
    assert list(encoded) == ["train", "validation", "test"]
    first, second = map(len, sets.splits["train"])
    assert encoded["train"].dataset.tolist() == [0] * first + [1] * second
    assert encoded["train"].labelled("mood").tolist() == [False] * first + [True] * second
    assert len(encoded["validation"]) == 110 - first - second > 0
    assert len(encoded["test"]) == 0


def test_rows_that_are_cut_off_are_told(tmp_path):
    long = {"text": "the quick fox " * 20, "label": "a"}
    short = numbered(3, "the", label="b")
    data = {
        "train": written(tmp_path, "l", [long, *short, long]),
        "validation": written(tmp_path, "s", short),
        "test": written(tmp_path, "t", [*short, long]),
        "tasks": {"topic": "label"},
    }
    tokenizer = Tokenizer.load(write_encoder(tmp_path / "encoder", "bert"), 16)
    encoded = read_row_sets(recipe(data), TASKS).encode([TOPIC], tokenizer)
    assert truncation_notes(encoded, 16) == (
        "train: 2 of 5 rows are longer than 16 tokens and are read only so far",
        "test: 1 of 4 rows is longer than 16 tokens and is read only so far",
    )
