"""The trainer of the starter heads, end to end on a few invented rows."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from twinhead.model import starter
from twinhead.model.checkpoint import Checkpoint
from twinhead.trainer import starter_heads
from twinhead.trainer.starter_heads import TASKS, embed, main, read_rows

TOPIC, SENTIMENT = TASKS
STARTER = Path(starter.__file__).parent
PARTS = {
    "World": (
        ["The president", "The minister", "The rebels", "The embassy", "The parliament"],
        ["met envoys about the war", "called for peace talks", "condemned the attack"],
    ),
    "Sports": (
        ["The striker", "The home team", "The tennis champion", "The coach", "The goalkeeper"],
        ["won the final match", "lost in extra time", "set a season record"],
    ),
    "Business": (
        ["The bank", "The retailer", "The oil company", "The airline", "The shareholder"],
        ["reported higher profits", "cut its forecast", "bought a rival for cash"],
    ),
    "Sci/Tech": (
        ["The software firm", "The telescope", "The new chip", "The web browser", "The robot"],
        ["got a security update", "will study distant planets", "runs faster than before"],
    ),
    "negative": (
        ["This film", "My phone", "The hotel", "That song", "The dinner"],
        ["was awful and boring", "made me angry", "is the worst I know"],
    ),
    "neutral": (
        ["This film", "My phone", "The hotel", "That song", "The dinner"],
        ["is on Tuesday", "was mentioned in the list", "has a number and a name"],
    ),
    "positive": (
        ["This film", "My phone", "The hotel", "That song", "The dinner"],
        ["was wonderful and fun", "made me happy", "is the best I know"],
    ),
}
SOURCES = {
    "ag_news_clean": list(TOPIC.labels),
    "tweet_sentiment": list(SENTIMENT.labels),
    "sst2_sentences": ["negative", "positive"],
}


def rows_of(labels: list[str], split: str) -> list[dict[str, str]]:
    """Rows with the labels in turn; those of the two splits are different sentences."""
    rows: list[dict[str, str]] = []
    for subject in range(5):
        for predicate in range(3):
            for label in labels:
                subjects, predicates = PARTS[label]
                if (split == "validation") == ((subject + predicate) % 3 == 0):
                    text = f"{subjects[subject]} {predicates[predicate]}."
                    rows.append({"text": text, "label": label})
    return rows


def write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_data(folder: Path) -> Path:
    for source, labels in SOURCES.items():
        for split in ("train", "validation"):
            write_rows(folder / source / f"{split}.jsonl", rows_of(labels, split))
    # Here the head would say neutral, which this source does not have.
    neutral = [{**row, "label": "positive"} for row in rows_of(["neutral"], "validation")]
    file = folder / "sst2_sentences" / "validation.jsonl"
    write_rows(file, rows_of(SOURCES["sst2_sentences"], "validation") + neutral)
    return folder


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("trained") / "heads"
    result = train(data, output, "--seed", 11)
    assert result.exit_code == 0, result.output
    return output, result


@pytest.fixture(scope="module")
def checkpoint(trained: tuple[Path, Result]) -> Checkpoint:
    return Checkpoint.load(trained[0])


@torch.inference_mode()
def logits_of(checkpoint: Checkpoint, task: str, texts: list[str]) -> np.ndarray:
    """One sentence at a time, without the trainer's batches."""
    found: list[np.ndarray] = []
    for sentence in checkpoint.tokenizer(texts):
        ids = torch.tensor([sentence.ids])
        output = checkpoint.network(ids, torch.ones_like(ids), [task])
        found.append(output.logits[task][0].numpy())
    return np.stack(found)


def test_what_is_written(trained, checkpoint):
    output, result = trained
    assert {path.name for path in output.iterdir()} == {
        "twinhead.json",
        "manifest.json",
        "heads.safetensors",
        "probes.json",
    }
    assert [path.name for path in output.parent.iterdir()] == ["heads"]
    assert f"version {checkpoint.version}" in result.output
    assert checkpoint.config == Checkpoint.load(STARTER).config
    assert checkpoint.provenance["seed"] == 11
    assert checkpoint.provenance["row_limit"] is None
    assert checkpoint.provenance["data"] == starter_heads.SOURCES


def test_the_encoder_stays_as_it_is(trained):
    def of_encoder(folder: Path) -> dict[str, Any]:
        tensors = json.loads((folder / "manifest.json").read_text())["tensors"]
        return {name: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}

    assert of_encoder(trained[0]) == of_encoder(STARTER)


@pytest.mark.parametrize(
    ("task", "source", "share"),
    [
        (TOPIC, "ag_news_clean", 0.9),
        (SENTIMENT, "tweet_sentiment", 0.9),
        (SENTIMENT, "sst2_sentences", 0.9),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_it_has_learned_its_training_rows(checkpoint, data, task, source, share):
    rows = read_rows(data / source / "train.jsonl", task, None)
    answers = logits_of(checkpoint, task.name, rows.texts).argmax(axis=1)
    assert float((answers == rows.labels).mean()) >= share


def test_a_head_is_a_logistic_regression_on_scaled_vectors(checkpoint, data):
    rows = read_rows(data / "ag_news_clean" / "train.jsonl", TOPIC, None)
    vectors = embed(checkpoint.network, checkpoint.tokenizer, rows.texts)
    # Without the dimensions that are the same for all texts.
    alive, scaled = VarianceThreshold(1e-12), StandardScaler()
    solver = make_pipeline(alive, scaled, LogisticRegression(C=0.1, max_iter=2000))
    expected = solver.fit(vectors, rows.labels).predict_proba(vectors)
    logits = torch.from_numpy(logits_of(checkpoint, "topic", rows.texts))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), expected, atol=1e-3)


def test_the_figures_are_those_of_the_validation_rows(checkpoint, data):
    train_rows = {source: len(rows_of(labels, "train")) for source, labels in SOURCES.items()}
    assert checkpoint.metrics["topic"]["train_rows"] == train_rows["ag_news_clean"]
    assert checkpoint.metrics["sentiment"]["train_rows"] == (
        train_rows["tweet_sentiment"] + train_rows["sst2_sentences"]
    )
    for task, source in [
        (TOPIC, "ag_news_clean"),
        (SENTIMENT, "tweet_sentiment"),
        (SENTIMENT, "sst2_sentences"),
    ]:
        file = data / source / "validation.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        logits = logits_of(checkpoint, task.name, [row["text"] for row in rows])
        # The labels that the source does not have are no choice.
        choices = [task.labels.index(label) for label in SOURCES[source]]
        answers = [SOURCES[source][index] for index in logits[:, choices].argmax(axis=1)]
        truth = [row["label"] for row in rows]
        if source == "sst2_sentences":
            assert task.labels.index("neutral") in logits.argmax(axis=1)
        right = np.mean([a == b for a, b in zip(answers, truth, strict=True)])
        figures = checkpoint.metrics[task.name]
        assert figures[f"{source}_accuracy"] == pytest.approx(float(right), abs=1e-4)
        assert figures[f"{source}_macro_f1"] == pytest.approx(
            float(f1_score(truth, answers, average="macro")), abs=1e-4
        )


def test_limit_and_an_output_folder_that_exists(data, tmp_path):
    output = tmp_path / "heads"
    output.mkdir()
    (output / "__init__.py").write_text("# ours\n")
    (output / "manifest.json").write_text("{}")
    result = train(data, output, "--limit", 12)
    assert result.exit_code == 0, result.output
    loaded = Checkpoint.load(output)
    assert loaded.metrics["topic"]["train_rows"] == 12
    assert loaded.metrics["sentiment"]["train_rows"] == 24
    assert loaded.provenance["row_limit"] == 12
    assert loaded.provenance["seed"] == 7
    assert (output / "__init__.py").read_text() == "# ours\n"
    assert [path.name for path in tmp_path.iterdir()] == ["heads"]


def append_unknown(folder: Path) -> str:
    file = folder / "tweet_sentiment" / "train.jsonl"
    line = len(file.read_text().splitlines()) + 1
    with file.open("a") as stream:
        stream.write(json.dumps({"text": "whatever", "label": "meh"}) + "\n")
    return f"{file}:{line}: unknown label 'meh'"


def drop_neutral(folder: Path) -> str:
    rows = [
        row for row in rows_of(SOURCES["tweet_sentiment"], "train") if row["label"] != "neutral"
    ]
    write_rows(folder / "tweet_sentiment" / "train.jsonl", rows)
    return "sentiment: no training row has the label 'neutral'"


@pytest.mark.parametrize("spoil", [append_unknown, drop_neutral])
def test_data_that_will_not_do(tmp_path, spoil: Callable[[Path], str]):
    data = write_data(tmp_path / "data")
    message = spoil(data)
    result = train(data, tmp_path / "heads")
    assert result.exit_code == 1
    assert f"Error: {message}" in result.output
    assert not (tmp_path / "heads").exists()


def test_no_data_folder(tmp_path):
    result = train(tmp_path / "nothing", tmp_path / "heads")
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "twinhead.trainer.starter_heads", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "ag_news_clean, tweet_sentiment and sst2_sentences" in done.stdout


@pytest.mark.parametrize(("limit", "count"), [(None, 3), (0, 0), (2, 2), (9, 3)])
def test_read_rows(tmp_path, limit, count):
    rows = [("Ça va ? 你好", "Sports"), ("line\nbreak", "Sci/Tech"), ("", "World")]
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(
            json.dumps({"text": text, "label": label, "more": 1}, ensure_ascii=False) + "\n"
            for text, label in rows
        ),
        encoding="utf-8",
    )
    read = read_rows(file, TOPIC, limit)
    assert read.texts == [text for text, _ in rows[:count]]
    assert read.labels.tolist() == [TOPIC.labels.index(label) for _, label in rows[:count]]


def test_an_unknown_label_names_file_and_line(tmp_path):
    file = tmp_path / "rows.jsonl"
    write_rows(file, [{"text": "a", "label": "World"}, {"text": "b", "label": "world"}])
    with pytest.raises(click.ClickException, match="unknown label 'world'") as caught:
        read_rows(file, TOPIC, None)
    assert caught.value.message.startswith(f"{file}:2: ")
    assert read_rows(file, TOPIC, 1).texts == ["a"]


@pytest.mark.parametrize("pass_tokens", [1, 64, 2048])
def test_embed(monkeypatch, checkpoint, pass_tokens):
    """Each vector is that of its own text alone, however the texts are batched."""
    texts = ["word " * count for count in (40, 1, 7, 300, 7, 2, 90)] + ["One more.", ""]
    monkeypatch.setattr(starter_heads, "PASS_TOKENS", pass_tokens)
    shapes: list[torch.Size] = []
    hook = checkpoint.network.register_forward_hook(
        lambda _module, inputs, _output: shapes.append(inputs[0].shape)
    )
    vectors = embed(checkpoint.network, checkpoint.tokenizer, texts)
    hook.remove()
    assert vectors.shape == (len(texts), 384)
    assert vectors.dtype == np.float32
    assert sum(shape[0] for shape in shapes) == len(texts)
    assert all(shape[0] == 1 or shape.numel() <= pass_tokens for shape in shapes)
    for text, vector in zip(texts, vectors, strict=True):
        (sentence,) = checkpoint.tokenizer([text])
        ids = torch.tensor([sentence.ids])
        with torch.inference_mode():
            hidden = checkpoint.network.encoder(ids, torch.ones_like(ids))
        np.testing.assert_allclose(vector, hidden[0].mean(dim=0).numpy(), atol=1e-5)


def test_embed_nothing(checkpoint):
    assert embed(checkpoint.network, checkpoint.tokenizer, []).shape == (0, 384)
