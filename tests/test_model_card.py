"""The model card."""

import re
from dataclasses import replace

import numpy as np
import pytest
import twinhead.client
import yaml
from small_summary import SCRIPT, TOPICS, empty_summary, evaluation_of, make_summary
from twinhead.client.results import SingleLabelAnswer, TokenAnswer
from twinhead.trainer.model_card import write_model_card
from twinhead.trainer.model_limitations import limitations
from twinhead.trainer.recipe import LabelColumn


def card_of(summary, folder):
    """Front matter and body."""
    write_model_card(summary, folder)
    empty, front, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), body


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    return card_of(make_summary(), tmp_path_factory.mktemp("card"))


def tables_of(body):
    """Rows of cells, the line of dashes included; a `|` in a cell must not be one in Markdown."""
    tables, rows = [], []
    for line in [*body.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            tables.append(rows)
            rows = []
    return tables


def test_what_the_recipe_says_of_data_and_model_is_told(tmp_path):
    summary = make_summary()
    (first, *others) = summary.recipe.data
    (task, *_) = first.tasks
    told = first.model_copy(
        update={
            "about": f"From a shop. {SCRIPT} *Do not* pass on.",
            "tasks": {task: LabelColumn(column="c", choices=("up", "*down*", "on"))},
        }
    )
    recipe = summary.recipe.model_copy(
        update={"data": (told, *others), "limitations": ("It takes irony at its word.",)}
    )
    _, body = card_of(replace(summary, recipe=recipe), tmp_path)
    data = body[body.index("## Training data") : body.index("## Training\n")]
    assert f"- {first.name}: From a shop." in data
    assert f"- {first.name}: {task} could only be up, \\*down\\* or on;" in data
    assert SCRIPT not in data
    assert "*Do not*" not in data
    assert "\n- It takes irony at its word.\n" in body[body.index("## Limitations") :]


def test_what_became_of_embeddings_and_weights_is_told(card, tmp_path):
    assert "mean cosine to those before training is 0.987" in card[1]
    assert "no answer on validation rows: embeddings, layer 0." in card[1]
    _, body = card_of(replace(make_summary(), kept_embeddings=None, rounded=()), tmp_path)
    assert "cosine" not in body
    assert "half precision" not in body


def test_front_matter(card):
    front, _ = card
    assert front["library_name"] == "twinhead"
    assert front["pipeline_tag"] == "text-classification"
    assert front["base_model"] == "bert-base-uncased"
    assert front["datasets"] == ["owner/news"]
    assert {"twinhead", "multi-task", "token-classification"} <= set(front["tags"])
    assert "license" not in front


@pytest.mark.parametrize(
    ("tasks", "pipeline"),
    [([], "feature-extraction"), ([3], "token-classification"), ([0], "text-classification")],
)
def test_the_pipeline_is_that_of_the_tasks(tmp_path, tasks, pipeline):
    summary = make_summary()
    chosen = tuple(summary.config.tasks[index] for index in tasks)
    config = summary.config.model_copy(update={"tasks": chosen})
    front, _ = card_of(replace(summary, config=config), tmp_path)
    assert front["pipeline_tag"] == pipeline
    assert "multi-task" not in front["tags"]


def test_an_encoder_in_a_folder_is_no_base_model(tmp_path, monkeypatch):
    summary = make_summary()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    for encoder in ("/home/ann/private/tiny", "./tiny", "my", 'x"\n- y'):
        config = summary.config.model_copy(update={"encoder": encoder})
        front, body = card_of(replace(summary, config=config), tmp_path)
        assert "base_model" not in front
        assert "private" not in body


def test_tables_are_whole(card):
    _, body = card
    tables = tables_of(body)
    assert len(tables) == 1 + 4 + 4 + 2
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
        assert set(table[1]) == {"---"}
    labels = next(table for table in tables if table[0][0] == "label")
    assert len(labels) == 2 + len(TOPICS)
    assert r"\_\_init\_\_ \`x\`" in [row[0] for row in labels]


def test_names_are_escaped(card):
    _, body = card
    assert "<" not in re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    assert "&lt;script&gt;" in body


def test_no_training_text_and_no_folder_is_told(card):
    _, body = card
    assert "secret" not in body
    assert "reviews\\_train.jsonl" in body
    assert "owner/news\\:plain, train" in body


def test_figures_and_calibration(card):
    _, body = card
    for one in make_summary().evaluations:
        row = f"{one.dataset}, {one.split}" if one.dataset else one.split
        primary = f"| {one.metrics.primary:.3f} |"
        assert any(primary in line and row.split()[0][:5] in line for line in body.splitlines())
    summary = make_summary()
    before = summary.uncalibrated["topic"].figures["ece"]
    after = evaluation_of(summary, "validation", "topic").metrics.figures["ece"]
    assert f"temperature 1.370. Expected calibration error on validation rows {before:.3f}" in body
    assert f"{before:.3f} before, {after:.3f} with it." in body
    assert body.count("Not calibrated") == 1


def test_limitations_close_it(card):
    _, body = card
    told = body.split("## Limitations")[1].strip().splitlines()
    assert told == [f"- {line}" for line in limitations(make_summary())]


def test_next_to_nothing(tmp_path):
    summary = empty_summary()
    _, body = card_of(summary, tmp_path)
    assert "There were no test rows. The weights were chosen on validation rows, so" in body
    assert "Not calibrated" in body
    _, body = card_of(replace(summary, evaluations=()), tmp_path)
    assert "Nothing was measured." in body


def test_long_tables_keep_the_weakest(tmp_path):
    names = tuple(f"intent {number}" for number in range(150))
    _, body = card_of(make_summary(names), tmp_path)
    assert "The 100 weakest of 150 labels, test (unseen):" in body
    assert "and 120 more" in body
    table = next(table for table in tables_of(body) if table[0][0] == "label")
    assert len(table) == 102
    figures = [float(row[3]) for row in table[2:] if row[4] != "0"]
    assert figures == sorted(figures)


def test_a_training_on_a_checkpoint(tmp_path):
    summary = make_summary()
    model = type(summary.recipe.model)(checkpoint="/secret/place/base_7")
    recipe = summary.recipe.model_copy(update={"model": model})
    _, body = card_of(replace(summary, recipe=recipe), tmp_path)
    assert "Training began with the checkpoint base\\_7." in body
    assert "secret" not in body


@pytest.mark.parametrize("index", [0, 3])
def test_the_python_in_it_runs(tmp_path, monkeypatch, capsys, index):
    summary = make_summary()
    task = summary.config.tasks[index]
    config = summary.config.model_copy(update={"tasks": (task,)})
    _, body = card_of(replace(summary, config=config), tmp_path)
    answer = {
        "topic": SingleLabelAnswer("topic", (SCRIPT, "b"), np.array([1, 0]), np.ones(2), None),
        "entities": TokenAnswer("entities", ("O",), [[], []], None),
    }[task.name]

    def infer(_self, sentences):
        assert len(sentences) == 2
        return twinhead.client.InferResult(
            "v", np.zeros((2, 8)), {task.name: answer}, [], twinhead.client.Timing(0, 0, 0)
        )

    monkeypatch.setattr(twinhead.client.Client, "infer", infer)
    exec(re.search(r"```python\n(.*?)```", body, re.DOTALL)[1])
    shown = {"topic": f"(2, 8) ['b', '{SCRIPT}']", "entities": "(2, 8) [[], []]"}
    assert capsys.readouterr().out.strip() == shown[task.name]


def test_the_same_run_gives_the_same_bytes(tmp_path):
    first = card_of(make_summary(), tmp_path)
    assert card_of(make_summary(), tmp_path) == first
