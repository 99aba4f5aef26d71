"""Rows with labels: what files and Hub data sets of every kind give, and what is said of faults."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.errors import DataError
from twinhead.trainer.labelled_rows import LabelledRow, ReadRows, columns_of, read_rows
from twinhead.trainer.recipe import DataRecipe, TaskRecipe

TASKS = {
    "topic": TaskConfig(name="topic", labels=("Sports", "Tech", "1")),
    "spam": TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes")),
    "flags": TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y", "z z")),
    "tags": TaskConfig(
        name="tags", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    ),
    # What there is in the data.
    "open": TaskRecipe(name="open"),
}
FORMATS = ["jsonl", "csv", "parquet", "jsonl.gz", "csv.gz", "parquet.gz"]
CLASSIC = [
    {"text": "one, two", "label": "Sports", "spam": "no"},
    {"text": 'three "four"', "label": "Tech", "spam": "yes"},
    {"text": "fünf\nsechs", "label": "Sports", "spam": "yes"},
]


def written(folder: Path, rows: list[Mapping[str, Any]], ending: str = "jsonl") -> str:
    """Rows as a file of a format."""
    path = folder / f"rows.{ending}"
    match ending.removesuffix(".gz"):
        case "jsonl":
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        case "csv":
            lines = [[*rows[0]], *([row.get(name) or "" for name in rows[0]] for row in rows)]
            quoted = [
                [f'"{cell}"' for cell in (str(c).replace('"', '""') for c in line)]
                for line in lines
            ]
            data = "".join(",".join(line) + "\n" for line in quoted).encode()
        case _:
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(rows), sink)
            data = sink.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(data) if ending.endswith(".gz") else data)
    return str(path)


def source(file: str | list[str], tasks: Mapping[str, Any], **settings: Any) -> DataRecipe:
    data = {"name": "news", "train": file, "tasks": tasks, **settings}
    return DataRecipe.model_validate(data)


def read(file: str | list[str], tasks: Mapping[str, Any], **settings: Any) -> ReadRows:
    return read_rows(source(file, tasks, **settings), "train", TASKS)


def fault_of(file: str | list[str], tasks: Mapping[str, Any], **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(file, tasks, **settings)
    return str(caught.value)


def labels_of(
    folder: Path, values: list[Any], task: str, column: Any = "label", ending: str = "jsonl"
) -> list[Any]:
    """The labels that values of a column become; None where there is none."""
    rows = [{"text": f"text {n}", "sure": "a", "label": value} for n, value in enumerate(values)]
    # The second task keeps rows without label of the first.
    read_ = read(written(folder, rows, ending), {task: column, "open": "sure"})
    assert len(read_.rows) == len(values)
    return [row.labels.get(task) for row in read_.rows]


# -- formats --


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, ending):
    found = read(written(tmp_path, CLASSIC, ending), {"topic": "label", "spam": "spam"})
    assert [(row.text, row.labels) for row in found.rows] == [
        (row["text"], {"topic": row["label"], "spam": row["spam"]}) for row in CLASSIC
    ]
    assert (found.without_text, found.without_label) == (0, 0)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_origin_says_where_a_row_is(tmp_path, ending):
    file = written(tmp_path, CLASSIC, ending)
    origins = [row.origin for row in read(file, {"topic": "label"}).rows]
    expected = {
        "jsonl": [f"{file}:1", f"{file}:2", f"{file}:3"],
        # The header is a line, and the last row takes two, the second of which ends it.
        "csv": [f"{file}:2", f"{file}:3", f"{file}:5"],
        "parquet": [f"{file}, row 1", f"{file}, row 2", f"{file}, row 3"],
    }
    assert origins == expected[ending.removesuffix(".gz")]


def test_rows_are_counted_on_over_the_batches_of_a_file(tmp_path):
    rows = [{"text": f"text {n}", "label": "Tech"} for n in range(1, 601)]
    for ending, form in (("jsonl", "{}:{}"), ("parquet", "{}, row {}")):
        file = written(tmp_path, rows, ending)
        found = read(file, {"topic": "label"}).rows
        assert [row.text for row in found] == [row["text"] for row in rows]
        assert [row.origin for row in found] == [form.format(file, n) for n in range(1, 601)]


def test_files_follow_each_other(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    files = [written(folders[0], CLASSIC[:1], "csv"), written(folders[1], CLASSIC[1:], "parquet")]
    found = read(files, {"topic": "label"})
    assert [row.text for row in found.rows] == [row["text"] for row in CLASSIC]


def test_each_split_has_its_own_files(tmp_path):
    (tmp_path / "more").mkdir()
    train = written(tmp_path, CLASSIC[:1])
    recipe = source(train, {"topic": "label"}, test=written(tmp_path / "more", CLASSIC[1:]))
    assert [
        len(read_rows(recipe, split, TASKS).rows) for split in ("train", "validation", "test")
    ] == [
        1,
        0,
        2,
    ]


def test_columns_of_jsonl_are_found_until_all_that_are_wanted_are(tmp_path):
    rows = [{"a": 1}, {"a": 1, "b": 2}, *({"a": 1} for _ in range(MAX_ROWS)), {"late": 1}]
    file = Path(written(tmp_path, rows))
    assert columns_of(file, ["a", "b"]) == ["a", "b"]
    assert columns_of(file, ["a", "nowhere"]) == ["a", "b", "late"]


@pytest.mark.parametrize("ending", ["csv", "parquet.gz"])
def test_columns_of_tables_are_in_their_order(tmp_path, ending):
    assert columns_of(Path(written(tmp_path, CLASSIC, ending)), []) == ["text", "label", "spam"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.txt", "a text file has no labels; it must be JSONL, CSV or Parquet"),
        ("rows.json", "the format json is not known; it must be JSONL, CSV or Parquet"),
        ("rows", "the format None is not known; it must be JSONL, CSV or Parquet"),
    ],
)
def test_other_files_are_refused_with_what_they_must_be(tmp_path, name, message):
    (tmp_path / name).write_text("{}\n")
    with pytest.raises(FileError) as caught:
        columns_of(tmp_path / name, [])
    assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_a_file_that_breaks_off_is_a_file_error(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": "Tech"}\n{"text": ')
    with pytest.raises(FileError, match=r"row 2 \(line 2\) is not valid JSON"):
        read(str(file), {"topic": "label"})


# -- labels --


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("Sports", "Sports"),
        (1, "1"),
        (1.0, "1"),
        (-3, "-3"),
        (0, "0"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        (None, None),
        ("", None),
        (float("nan"), None),
    ],
)
def test_values_become_labels(tmp_path, value, label):
    file = written(tmp_path, [{"text": "a", "label": value, "sure": "a"}])
    found = read(file, {"open": "label", "topic": {"column": "sure", "map": {"a": "Tech"}}})
    assert found.rows[0].labels.get("open") == label


def test_whole_numbers_with_gaps_are_read_from_parquet(tmp_path):
    """As pandas writes them: floats, and the gaps as null or NaN."""
    file = tmp_path / "rows.parquet"
    values = pa.array([1.0, None, float("nan"), 1.0])
    pq.write_table(pa.table({"text": list("abcd"), "label": values}), file)
    found = read(str(file), {"topic": "label"})
    assert [(row.text, row.labels) for row in found.rows] == [
        ("a", {"topic": "1"}),
        ("d", {"topic": "1"}),
    ]
    assert found.without_label == 2


def test_a_map_renames_and_leaves_the_rest_and_drops_what_is_empty(tmp_path):
    column = {"column": "label", "map": {"0": "Sports", "true": "Tech", "skip": ""}}
    values = [0, "0", True, "Tech", "skip", None]
    assert labels_of(tmp_path, values, "topic", column) == [
        "Sports",
        "Sports",
        "Tech",
        "Tech",
        None,
        None,
    ]


def test_a_data_set_may_have_fewer_labels_to_choose_from(tmp_path):
    rows = [{"text": "a", "label": "Tech", "spam": "no"}, {"text": "b", "label": "Sports"}]
    file = written(tmp_path, rows)
    column = {"column": "label", "choices": ["Sports", "Tech"]}
    found = read(file, {"topic": column, "spam": "spam"}).rows
    assert [row.choices for row in found] == [{"topic": ("Sports", "Tech")}] * 2
    fault = fault_of(file, {"topic": {**column, "choices": ["World", "Tech"]}})
    assert fault.endswith(
        ":2: topic: 'Sports' is not among the choices of this data set: World, Tech"
    )


def test_a_map_may_give_missing_values_a_label(tmp_path):
    column = {"column": "label", "map": {"": "Tech"}}
    assert labels_of(tmp_path, [None, "", "Sports"], "topic", column) == ["Tech", "Tech", "Sports"]


def test_either_label_may_be_missing(tmp_path):
    rows = [
        {"text": "both", "label": "Tech", "spam": "no"},
        {"text": "one", "label": "Tech"},
        {"text": "other", "label": None, "spam": "yes"},
        {"text": "none", "label": ""},
    ]
    found = read(written(tmp_path, rows), {"topic": "label", "spam": "spam"})
    assert [(row.text, set(row.labels)) for row in found.rows] == [
        ("both", {"topic", "spam"}),
        ("one", {"topic"}),
        ("other", {"spam"}),
    ]
    assert (found.without_text, found.without_label) == (0, 1)


def test_rows_without_text_are_left_out_and_counted(tmp_path):
    rows = [{"text": text, "label": "Tech"} for text in ("a", "", None, " \n\t", "b")]
    found = read(written(tmp_path, [*rows, {"label": "Tech"}]), {"topic": "label"})
    assert [row.text for row in found.rows] == ["a", "b"]
    assert (found.without_text, found.without_label) == (4, 0)


def test_the_text_may_be_in_any_column(tmp_path):
    file = written(tmp_path, [{"headline": "a", "text": "b", "section": "Tech"}], "csv")
    (row,) = read(file, {"topic": "section"}, text="headline").rows
    assert (row.text, row.labels) == ("a", {"topic": "Tech"})


# -- several labels a row --


def test_several_labels_are_a_list_or_a_text_that_is_cut(tmp_path):
    values = [["x", "y"], "x|z z", " y | x ", ["y", "y"], "x", [], "", "|", None]
    assert labels_of(tmp_path, values, "flags") == [
        ("x", "y"),
        ("x", "z z"),
        ("y", "x"),
        ("y",),
        ("x",),
        (),
        (),
        (),
        None,
    ]


def test_the_separator_is_the_recipes(tmp_path):
    column = {"column": "label", "separator": "; ", "map": {"long": "z z", "x": ""}}
    values = ["x; y", "long; y; z z", "y"]
    for ending in ("jsonl", "csv", "parquet"):
        found = labels_of(tmp_path, values, "flags", column, ending)
        assert found == [("y",), ("z z", "y"), ("y",)]


def test_a_row_with_no_label_of_many_is_a_row(tmp_path):
    found = read(written(tmp_path, [{"text": "a", "label": []}]), {"flags": "label"})
    assert [row.labels for row in found.rows] == [{"flags": ()}]


# -- words with tags --


def tagged(folder: Path, words: Any, tags: Any, column: Any = "tags") -> LabelledRow:
    file = written(folder, [{"words": words, "tags": tags}])
    (row,) = read(file, {"tags": column}, words="words").rows
    return row


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["Anna", "Smith", "in", "Paris"], ["B-PER", "I-PER", "O", "B-LOC"]),
        ("Anna Smith in Paris", "B-PER I-PER O B-LOC"),
        ("  Anna\tSmith in  Paris ", ["I-PER", "I-PER", "O", "I-LOC"]),
        (["Anna", "Smith", "in", "Paris"], ["I-PER", "I-PER", "O", "B-LOC"]),
    ],
)
def test_words_are_joined_and_tags_become_iob2(tmp_path, words, tags):
    row = tagged(tmp_path, words, tags)
    assert row.text == "Anna Smith in Paris"
    assert row.labels["tags"] == ("B-PER", "I-PER", "O", "B-LOC")
    assert [row.text[start:end] for start, end in row.words] == ["Anna", "Smith", "in", "Paris"]


def test_entities_of_iob1_that_follow_each_other_stay_apart(tmp_path):
    row = tagged(tmp_path, "a b c d", "I-PER B-PER I-LOC I-PER")
    assert row.labels["tags"] == ("B-PER", "B-PER", "B-LOC", "B-PER")


def test_words_may_hold_spaces_and_numbers(tmp_path):
    row = tagged(tmp_path, ["New York", 1984], ["B-LOC", "O"])
    assert row.text == "New York 1984"
    assert row.words == ((0, 8), (9, 13))


def test_a_map_renames_tags_and_types_of_entities(tmp_path):
    names = {"person": "PER", "3": "B-LOC", "0": "O", "MISC": "", "B-X": ""}
    row = tagged(
        tmp_path,
        list("abcdefg"),
        ["B-person", "I-person", 3, 0, "B-MISC", "I-MISC", "B-X"],
        {"column": "tags", "map": names},
    )
    assert row.labels["tags"] == ("B-PER", "I-PER", "B-LOC", "O", "O", "O", "O")


def test_types_that_a_map_makes_one_stay_two_entities(tmp_path):
    row = tagged(
        tmp_path,
        list("abc"),
        ["B-CITY", "I-CITY", "B-LAND"],
        {"column": "tags", "map": {"CITY": "LOC", "LAND": "LOC"}},
    )
    assert row.labels["tags"] == ("B-LOC", "I-LOC", "B-LOC")


def test_the_words_are_the_text_whatever_the_text_column_holds(tmp_path):
    rows = [{"text": "something else", "words": ["a", "b"], "tags": ["O", "O"], "label": "Tech"}]
    (row,) = read(written(tmp_path, rows), {"tags": "tags", "topic": "label"}, words="words").rows
    assert row.text == "a b"
    assert row.labels == {"tags": ("O", "O"), "topic": "Tech"}


def test_tags_may_be_missing_beside_another_label(tmp_path):
    rows = [
        {"words": ["a", "b"], "label": "Tech"},
        {"words": ["a"], "tags": None, "label": "Tech"},
        {"words": ["a"], "tags": [], "label": "Tech"},
        {"words": [], "tags": [], "label": "Tech"},
    ]
    found = read(written(tmp_path, rows), {"tags": "tags", "topic": "label"}, words="words")
    assert [set(row.labels) for row in found.rows] == [{"topic"}] * 3
    assert found.without_text == 1


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_lists_of_words_are_read_from_every_format_that_has_lists(tmp_path, ending):
    rows = [{"words": ["Anna", "runs"], "tags": ["B-PER", "O"]}]
    (row,) = read(written(tmp_path, rows, ending), {"tags": "tags"}, words="words").rows
    assert (row.text, row.labels["tags"]) == ("Anna runs", ("B-PER", "O"))


# -- faults --


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_label_that_is_not_of_the_task_is_named_with_file_and_line(tmp_path, ending):
    rows = [CLASSIC[0], CLASSIC[2], {**CLASSIC[1], "label": "Sport"}]
    file = written(tmp_path, rows, ending)
    line = 3 if ending == "jsonl" else 5
    assert fault_of(file, {"topic": "label"}) == (
        "data set news has rows with faults:\n"
        f"  {file}:{line}: topic has no label 'Sport'; it has Sports, Tech, 1"
    )


def test_long_lists_of_labels_are_told_in_part(tmp_path):
    task = TaskConfig(name="topic", labels=tuple(f"label{n}" for n in range(15)))
    recipe = source(written(tmp_path, CLASSIC[:1]), {"topic": "label"})
    with pytest.raises(DataError, match=r"label11 and 3 more$"):
        read_rows(recipe, "train", {"topic": task})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tags": ["O", "O"]}, "tags: 2 tags for 3 words"),
        ({"tags": "O O O O"}, "tags: 4 tags for 3 words"),
        ({"tags": ["O", "B-ORG", "O"]}, "tags has no label 'B-ORG'; it has O, B-PER"),
        ({"tags": ["O", "I-ORG", "O"]}, "tags has no label 'B-ORG'; it has O, B-PER"),
        ({"tags": ["O", None, "O"]}, "tags has no label ''; it has O, B-PER"),
        ({"tags": 3}, "column 'tags' is not a list but 3"),
        ({"tags": [["O"], "O", "O"]}, "column 'tags' is no label but [\"O\"]"),
        ({"words": {"a": 1}}, "column 'words' is not a list but {\"a\": 1}"),
    ],
)
def test_a_fault_of_tags_is_named_with_file_and_line(tmp_path, row, message):
    good = {"words": ["a", "b", "c"], "tags": ["O", "O", "O"]}
    file = written(tmp_path, [good, {**good, **row}])
    assert f"{file}:2: {message}" in fault_of(file, {"tags": "tags"}, words="words")


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("topic", {"text": 5}, "column 'text' is not text but 5"),
        ("topic", {"text": ["a"]}, "column 'text' is not text but [\"a\"]"),
        ("topic", {"label": ["Tech"]}, "column 'label' is no label but [\"Tech\"]"),
        ("topic", {"label": {"a": 1}}, "column 'label' is no label but {\"a\": 1}"),
        ("flags", {"label": {"x": 1}}, "column 'label' is not a list but {\"x\": 1}"),
        ("flags", {"label": "x|w"}, "flags has no label 'w'; it has x, y, z z"),
        ("flags", {"label": ["x", 3]}, "flags has no label '3'; it has x, y, z z"),
        ("spam", {"label": True}, "spam has no label 'true'; it has no, yes"),
    ],
)
def test_a_fault_of_a_row_is_named_with_file_and_line(tmp_path, task, row, message):
    good = {"topic": "Tech", "flags": "x", "spam": "no"}[task]
    file = written(tmp_path, [{"text": "a", "label": good}, {"text": "a", "label": good, **row}])
    assert fault_of(file, {task: "label"}).endswith(f"{file}:2: {message}")


def test_faults_are_told_together_up_to_twenty(tmp_path):
    good, bad = ({"text": "a", "label": label} for label in ("Tech", "tech"))
    file = written(tmp_path, [bad, good] * 19)
    lines = fault_of(file, {"topic": "label"}).splitlines()
    assert [line.partition(": ")[0].strip() for line in lines[1:]] == [
        f"{file}:{n}" for n in range(1, 38, 2)
    ]
    file = written(tmp_path, [bad] * 50)
    lines = fault_of(file, {"topic": "label"}).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[-1] == "  ... (no further rows were looked at)"


def test_without_labels_of_its_own_a_task_takes_what_there_is(tmp_path):
    file = written(tmp_path, [{"text": "a", "label": value} for value in ("q", 7, "ü")])
    assert [row.labels["open"] for row in read(file, {"open": "label"}).rows] == ["q", "7", "ü"]


# -- data sets of the Hub --

CARD = """---
configs:
- config_name: plain
  data_files:
  - split: train
    path: train.jsonl
dataset_info:
- config_name: plain
  features:
  - name: text
    dtype: string
  - name: tokens
    sequence: string
  - name: label
    dtype:
      class_label:
        names:
          '0': Sports
          '1': Tech
  - name: tags
    sequence:
      class_label:
        names:
          '0': O
          '1': I-PER
---
"""
HUB_ROWS = [
    {"text": "a", "tokens": ["Anna", "runs"], "label": 1, "tags": [1, 0]},
    {"text": "b", "tokens": ["b"], "label": -1, "tags": [0]},
    {"text": "c", "tokens": ["c"], "label": None, "tags": None},
    {"text": "d", "tokens": ["d"], "label": 0, "tags": [-1]},
]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> str:
    """A data set with the files of one of the Hub, which the library reads as it reads those."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in HUB_ROWS))
    return str(folder)


def test_numbered_labels_of_the_hub_have_their_names(hub):
    found = read("train", {"topic": "label"}, hub=f"{hub}:plain")
    assert [(row.text, row.labels) for row in found.rows] == [
        ("a", {"topic": "Tech"}),
        ("d", {"topic": "Sports"}),
    ]
    assert found.without_label == 2  # -1, and null
    assert found.rows[1].origin == f"{hub}:plain train, row 4"


@pytest.mark.parametrize("revision", ["0123abc", None])
def test_a_data_set_of_the_hub_is_read_at_its_revision(hub, monkeypatch, revision):
    """A folder has none, so what is asked for is looked at on the way."""
    import datasets

    plain, asked = datasets.load_dataset, []

    def watched(*arguments, **options):
        asked.append(options["revision"])
        return plain(*arguments, **options)

    monkeypatch.setattr(datasets, "load_dataset", watched)
    read("train", {"topic": "label"}, hub=f"{hub}:plain", revision=revision)
    assert asked == [revision]


def test_numbered_tags_of_the_hub_have_their_names(hub):
    column = {"column": "tags", "map": {"": "O"}}
    found = read("train", {"tags": column, "open": "text"}, words="tokens", hub=hub)
    assert [row.labels.get("tags") for row in found.rows] == [("B-PER", "O"), ("O",), None, ("O",)]


def test_a_fault_of_the_hubs_rows_is_named(hub):
    message = fault_of("train", {"tags": "tags"}, words="tokens", hub=hub)
    assert f"{hub} train, row 4: tags has no label ''" in message


@pytest.mark.parametrize(
    ("ending", "split", "message"),
    [("", "nowhere", "nowhere"), (":other", "train", "other"), ("/gone", "train", "gone")],
)
def test_what_the_hub_does_not_have_is_told(hub, ending, split, message):
    found = fault_of(split, {"topic": "label"}, hub=hub + ending)
    assert found.startswith(f"data set {hub}{ending} of the Hub, split {split}: ")
    assert message in found.removeprefix(f"data set {hub}{ending} of the Hub, split {split}: ")
    assert "\n" not in found
