"""Train the heads of the embedded starter model: topic and sentiment over all-MiniLM-L6-v2.

The encoder stays as it is; each head is a logistic regression on its mean-pooled vectors.

    python -m twinhead.trainer.starter_heads DATA OUTPUT

DATA holds the folders ag_news_clean, tweet_sentiment and sst2_sentences, each with train.jsonl
and validation.jsonl (one object a line with `text` and `label`).
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler

from ..model.checkpoint import Checkpoint
from ..model.config import ModelConfig, TaskConfig
from ..model.encoder import Encoder, find_encoder
from ..model.network import Network
from ..model.tokenizer import Tokenizer

ENCODER = "all-MiniLM-L6-v2"
# What SentenceTransformer reads of a sentence with this encoder.
MAX_TOKENS = 256
TASKS = (
    TaskConfig(name="topic", labels=("World", "Sports", "Business", "Sci/Tech")),
    TaskConfig(name="sentiment", labels=("negative", "neutral", "positive")),
)
SOURCES = {"topic": ["ag_news_clean"], "sentiment": ["tweet_sentiment", "sst2_sentences"]}
# Padded tokens of one encoder pass; larger passes leave the caches of a CPU.
PASS_TOKENS = 2048


@dataclass(frozen=True)
class Rows:
    """Sentences and the index of each one's label."""

    texts: list[str]
    labels: NDArray[np.int64]


def read_rows(file: Path, task: TaskConfig, limit: int | None) -> Rows:
    """Read the first `limit` rows of a JSONL file.

    Raises:
        click.ClickException: a row whose label the task does not have.
    """
    texts: list[str] = []
    labels: list[int] = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if limit is not None and number > limit:
                break
            row = json.loads(line)
            if row["label"] not in task.labels:
                raise click.ClickException(f"{file}:{number}: unknown label {row['label']!r}")
            texts.append(row["text"])
            labels.append(task.labels.index(row["label"]))
    return Rows(texts, np.array(labels, dtype=np.int64))


def embed(network: Network, tokenizer: Tokenizer, texts: list[str]) -> NDArray[np.float32]:
    """Mean-pooled vectors, not normalised, [texts, dimensions]."""
    ids = [sentence.ids for sentence in tokenizer(texts)]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    vectors = np.empty((len(ids), network.dimensions), dtype=np.float32)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and len(ids[order[end]]) * (end + 1 - start) <= PASS_TOKENS:
            end += 1
        chosen = order[start:end]
        width = len(ids[chosen[-1]])
        input_ids = torch.zeros(len(chosen), width, dtype=torch.int64)
        mask = torch.zeros_like(input_ids)
        for row, index in enumerate(chosen):
            input_ids[row, : len(ids[index])] = torch.tensor(ids[index])
            mask[row, : len(ids[index])] = 1
        with torch.inference_mode():
            vectors[chosen] = network(input_ids, mask, tasks=()).embeddings.numpy()
        start = end
    return vectors


# Standard deviation over many texts; the others have 0.08 and more.
_DEAD_DIMENSION = 1e-6


def train_head(
    task: TaskConfig,
    network: Network,
    tokenizer: Tokenizer,
    data: Path,
    limit: int | None,
    seed: int,
) -> dict[str, float | int]:
    """Fit one head in place; returns its figures on the validation rows.

    Raises:
        click.ClickException: a label is unknown, or no training row has it.
    """

    def read(split: str) -> dict[str, Rows]:
        return {
            source: read_rows(data / source / f"{split}.jsonl", task, limit)
            for source in SOURCES[task.name]
        }

    train = read("train")
    texts = [text for rows in train.values() for text in rows.texts]
    labels = np.concatenate([rows.labels for rows in train.values()])
    unseen = [name for index, name in enumerate(task.labels) if index not in labels]
    if unseen:  # the solver would fit fewer rows of weights than the head has
        raise click.ClickException(f"{task.name}: no training row has the label {unseen[0]!r}")
    started = time.monotonic()
    vectors = embed(network, tokenizer, texts)
    click.echo(
        f"{task.name}: {len(texts)} sentences embedded in {time.monotonic() - started:.0f} s"
    )

    # The vectors are scaled to unit variance for the solver, and the scale folded into the weights.
    scaler = StandardScaler().fit(vectors)
    # The encoder has dimensions that are the same for all texts, to 1e-7 and less. What is left of
    # them must not be scaled up: their weights would be astronomic, and any other encoder's
    # vectors, such as a fine-tuned one's, would make the logits so.
    scale: Any = scaler.scale_
    scale[scale < _DEAD_DIMENSION] = np.inf
    solver = LogisticRegression(C=0.1, max_iter=2000, random_state=seed)
    solver.fit(scaler.transform(vectors), labels)
    weight = solver.coef_ / scale
    bias = solver.intercept_ - weight @ scaler.mean_
    head = network.heads[task.name]
    with torch.no_grad():
        head.get_parameter("output.weight").copy_(torch.from_numpy(weight))
        head.get_parameter("output.bias").copy_(torch.from_numpy(bias))

    figures: dict[str, float | int] = {"train_rows": len(texts)}
    for source, rows in read("validation").items():
        with torch.inference_mode():
            logits = head(torch.from_numpy(embed(network, tokenizer, rows.texts)))
        present = sorted(set(rows.labels.tolist()))
        # A source without some label (SST-2 has no neutral) is asked only about those it has.
        answers = np.array(present)[logits.numpy()[:, present].argmax(axis=1)]
        figures[f"{source}_accuracy"] = round(float(accuracy_score(rows.labels, answers)), 4)
        figures[f"{source}_macro_f1"] = round(
            float(f1_score(rows.labels, answers, average="macro")), 4
        )
    click.echo(f"{task.name}: {figures}")
    return figures


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--limit", type=int, help="Read only so many rows a file (default: all of them).")
@click.option("--seed", type=int, default=7, show_default=True)
def main(data: Path, output: Path, limit: int | None, seed: int) -> None:
    """Train, measure and write the checkpoint's own files into OUTPUT."""
    torch.manual_seed(seed)
    folder = find_encoder(ENCODER)
    encoder = Encoder.load(folder)
    config = ModelConfig(encoder=ENCODER, max_tokens=MAX_TOKENS, tasks=TASKS)
    network = Network(config, encoder, encoder.dimensions).eval()
    tokenizer = Tokenizer.load(folder, config.max_tokens)

    metrics = {
        task.name: train_head(task, network, tokenizer, data, limit, seed) for task in config.tasks
    }
    checkpoint = Checkpoint.create(
        network,
        tokenizer,
        metrics=metrics,
        provenance={
            "method": "logistic regression on frozen mean-pooled vectors",
            "data": SOURCES,
            "seed": seed,
            "row_limit": limit,
        },
    )
    staging = output.with_name(output.name + ".new")
    checkpoint.save(staging, with_encoder=False)
    output.mkdir(parents=True, exist_ok=True)
    for file in staging.iterdir():
        file.replace(output / file.name)
    shutil.rmtree(staging)
    click.echo(f"{output}: version {checkpoint.version}")


if __name__ == "__main__":
    main()
