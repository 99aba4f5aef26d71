"""Small runs for the tests of the trainer: a tiny encoder, a recipe, rows that can be learned."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from small_encoders import write_encoder

TOPICS = {"animals": ["fox", "dog"], "places": ["Paris", "Berlin"]}
MOODS = {"good": ["quick", "won"], "bad": ["lazy", "lost"]}
FILLERS = ["the", "a", "and", "in", "over", "home", "winter", "said"]


def write_rows(file: Path, count: int, seed: int, *, tags: bool = False) -> Path:
    """Rows of topic and mood (and tagged words), in random words among which the labels show."""
    rng = np.random.default_rng(seed)
    with file.open("w", encoding="utf-8") as stream:
        for _ in range(count):
            topic, mood = rng.choice(list(TOPICS)), rng.choice(list(MOODS))
            words = [str(word) for word in rng.choice(FILLERS, size=rng.integers(2, 9))]
            marked = str(rng.choice(TOPICS[topic]))
            words.insert(int(rng.integers(0, len(words))), marked)
            words.insert(int(rng.integers(0, len(words))), str(rng.choice(MOODS[mood])))
            row = {"text": " ".join(words), "topic": str(topic), "mood": str(mood)}
            if tags:
                named = {"Paris": "B-place", "Berlin": "B-place"}
                row |= {"words": words, "tags": [named.get(word, "O") for word in words]}
            stream.write(json.dumps(row) + "\n")
    return file


def write_recipe(folder: Path, *, family: str = "bert", rows: int = 96, extra: str = "") -> Path:
    """A recipe of two data sets over a tiny encoder; `extra` follows its [training] keys."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = write_encoder(folder / "encoder", family)
    write_rows(folder / "topics.jsonl", rows, 1)
    write_rows(folder / "moods.jsonl", rows // 2, 2)
    write_rows(folder / "topics_validation.jsonl", 24, 3)
    write_rows(folder / "moods_validation.jsonl", 24, 4)
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f"""
[model]
encoder = "{encoder}"
max_tokens = 32
tasks = [
    {{ name = "topic", labels = ["animals", "places"] }},
    {{ name = "mood", labels = ["bad", "good"] }},
]

[[data]]
name = "topics"
train = "topics.jsonl"
validation = "topics_validation.jsonl"
tasks = {{ topic = "topic" }}

[[data]]
name = "moods"
train = "moods.jsonl"
validation = "moods_validation.jsonl"
tasks = {{ mood = "mood" }}

[sampling]
batch_size = 16

[training]
epochs = 3
learning_rate = 2e-3
head_learning_rate = 1e-2
save_minutes = 0
{extra}
""",
        encoding="utf-8",
    )
    return recipe


def onward(recipe: Path, checkpoint: Path) -> Path:
    """The recipe, to go on from a checkpoint; beside it, because of its data."""
    text = recipe.read_text(encoding="utf-8")
    file = recipe.with_name("onward.toml")
    begin = f'[model]\ncheckpoint = "{checkpoint}"\n\n'
    file.write_text(begin + text[text.index("[[data]]") :], encoding="utf-8")
    return file


def command(recipe: Path, output: Path, *options: str) -> list[str]:
    """`twinhead train` as it would be typed."""
    start = [sys.executable, "-m", "twinhead.client", "train", str(recipe)]
    return [*start, "-o", str(output), "--no-tensorboard", *options]


def run(recipe: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, to the end."""
    return subprocess.run(
        command(recipe, output, *options), capture_output=True, text=True, env=environment()
    )


def environment() -> dict[str, str]:
    """One thread: tiny matrices gain nothing from more, and sums keep their order."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def records(output: Path, kind: str) -> list[dict]:
    """The records of one kind in a run's history."""
    lines = (output / "history.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [record for record in found if record["record"] == kind]


def tensors(checkpoint: Path) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint."""
    return load_file(checkpoint / "model.safetensors") | load_file(checkpoint / "heads.safetensors")


def train_here(recipe: Path, output: Path, *settings: str, **options):
    """Train in this process; returns the summary."""
    from twinhead.trainer.read_recipe import read_recipe
    from twinhead.trainer.train_recipe import train_recipe

    return train_recipe(
        read_recipe(recipe, None, settings),
        output,
        title=recipe.stem,
        device="cpu",
        observers=options.pop("observers", lambda _: []),
        **options,
    )
