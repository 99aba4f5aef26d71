"""The embedded starter model: it is whole, it is what it says, and it answers sensibly."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from twinhead.model import starter
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.encoder import find_encoder
from twinhead.model.manifest import Manifest
from twinhead.server.engines.torch_engine import TorchEngine
from twinhead.trainer.starter_heads import read_rows

FOLDER = Path(starter.__file__).parent
# Padded tokens of one pass.
PASS_TOKENS = 2048


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(FOLDER)


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return json.loads((FOLDER / "twinhead.json").read_text(encoding="utf-8"))


def answers(checkpoint: Checkpoint, task: str, texts: list[str]) -> list[str]:
    """The label of each text."""
    engine = TorchEngine(checkpoint.network, "cpu")
    ids = [sentence.ids for sentence in checkpoint.tokenizer(texts)]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]), reverse=True)
    labels = checkpoint.config.task(task).labels
    found = [""] * len(texts)
    while order:
        count = max(1, PASS_TOKENS // len(ids[order[0]]))
        chosen, order = order[:count], order[count:]
        logits = engine.encode([ids[index] for index in chosen], [task]).logits[task]
        for index, label in zip(chosen, logits.argmax(axis=1), strict=True):
            found[index] = labels[label]
    return found


def test_tasks_and_labels(checkpoint):
    config = checkpoint.config
    assert {task.name: task.labels for task in config.tasks} == {
        "topic": ("World", "Sports", "Business", "Sci/Tech"),
        "sentiment": ("negative", "neutral", "positive"),
    }
    assert config.encoder == "all-MiniLM-L6-v2"
    assert config.max_tokens == 256
    assert config.normalize
    assert checkpoint.network.dimensions == 384


def test_the_version_is_that_of_its_manifest(checkpoint):
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert checkpoint.version == Manifest.parse(manifest).version
    # Computed anew from what was loaded, not read from the file.
    assert Checkpoint.create(checkpoint.network, checkpoint.tokenizer).version == checkpoint.version


def test_the_manifest_covers_heads_encoder_and_tokenizer():
    """By hashes of what lies in the files, without any code of the package under test."""
    encoder = find_encoder("all-MiniLM-L6-v2")
    stored = {f"heads.{name}": t for name, t in load_file(FOLDER / "heads.safetensors").items()}
    stored |= {
        f"encoder.{name}": tensor
        for name, tensor in load_file(encoder / "model.safetensors").items()
        # A table of the numbers 0 to 511, which transformers makes itself.
        if name != "embeddings.position_ids"
    }
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    assert {name: entry["sha256"] for name, entry in manifest["tensors"].items()} == {
        name: hashlib.sha256(tensor.tobytes()).hexdigest() for name, tensor in stored.items()
    }
    tokenizer = (encoder / "tokenizer.json").read_bytes()
    assert manifest["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()


def test_no_weight_waits_for_an_encoder_that_is_a_little_different(checkpoint):
    """Dimensions that are the same for all texts must not count: another encoder's differ."""
    for name, tensor in checkpoint.network.heads.state_dict().items():
        assert tensor.abs().max() < 100, name


def test_it_carries_no_encoder():
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} <= {
        ".json",
        ".safetensors",
        ".py",
        ".md",
    }
    size = sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    assert size < 200_000


def test_it_says_how_good_it_is_and_where_it_is_from(checkpoint, description):
    assert checkpoint.metrics == description["metrics"]
    assert checkpoint.provenance == description["provenance"]
    assert set(checkpoint.metrics) == {"topic", "sentiment"}
    for figures in checkpoint.metrics.values():
        shares = [value for name, value in figures.items() if name != "train_rows"]
        assert shares
        assert all(0.5 < share < 1 for share in shares)
    assert checkpoint.provenance["data"] == {
        "topic": ["ag_news_clean"],
        "sentiment": ["tweet_sentiment", "sst2_sentences"],
    }


@pytest.mark.parametrize(
    ("task", "label", "text"),
    [
        ("topic", "World", "The two presidents signed a peace treaty to end the border war."),
        ("topic", "World", "Rebels and government troops clashed again near the capital."),
        ("topic", "World", "Voters elected a new parliament after months of street protests."),
        ("topic", "Sports", "The striker scored twice in the second half to win the final."),
        ("topic", "Sports", "She beat the defending champion in straight sets to reach round two."),
        ("topic", "Sports", "The pitcher threw nine innings and struck out eleven batters."),
        ("topic", "Business", "The bank raised its profit forecast and its shares rose 4 percent."),
        ("topic", "Business", "Oil prices fell as traders bet on weaker demand next quarter."),
        ("topic", "Business", "The airline will cut costs and sell assets to avoid bankruptcy."),
        ("topic", "Sci/Tech", "A security flaw in the web browser lets attackers run software."),
        ("topic", "Sci/Tech", "Astronomers using a space telescope found a planet like Earth."),
        ("topic", "Sci/Tech", "The new chip doubles the speed of laptop computers."),
        ("sentiment", "positive", "I love this, it is wonderful and made me so happy!"),
        ("sentiment", "positive", "A brilliant, charming and moving film."),
        ("sentiment", "negative", "This is terrible, I hate it and I want my money back."),
        ("sentiment", "negative", "A dull, tedious and badly acted mess."),
        ("sentiment", "neutral", "The meeting is on Tuesday at the town hall."),
    ],
)
def test_clear_sentences(checkpoint, task, label, text):
    assert answers(checkpoint, task, [text]) == [label]


def test_the_stated_accuracy_on_the_real_validation_rows(checkpoint, description):
    data = os.environ.get("STARTER_DATA")
    if data is None:
        pytest.skip(
            "STARTER_DATA is not set: the topic accuracy that the starter model states was not "
            "measured anew on ag_news_clean/validation.jsonl"
        )
    task = checkpoint.config.task("topic")
    rows = read_rows(Path(data, "ag_news_clean", "validation.jsonl"), task, None)
    found = answers(checkpoint, "topic", rows.texts)
    right = [task.labels[index] == label for index, label in zip(rows.labels, found, strict=True)]
    stated = description["metrics"]["topic"]["ag_news_clean_accuracy"]
    assert float(np.mean(right)) == pytest.approx(stated, abs=0.005)
