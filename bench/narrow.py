"""What int8 and bfloat16 cost in quality, on labelled data.

    python bench/narrow.py DATA [--rows 1000]

DATA is a folder with `ag_news_clean` and `tweet_sentiment`, each with `train.jsonl` and
`validation.jsonl` of `text` and `label`. The starter model in each precision, beside itself in
float32 by torch: mean cosine of the embeddings, accuracy of each head on the validation rows of its
own task, and the share of rows with the same label, of all and of those where float32 gives the
label a probability of 0.7 or more. int8 is calibrated with the worker's own sentences, and with 500
training texts of each task.
"""

import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from processes import machine
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder
from twinhead.server.engines.choose_engine import choose_engine
from twinhead.server.engines.engine import EngineOutput
from twinhead.server.length_groups import groups_by_length
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import CPU_TOKEN_BUDGET

SETS = {"topic": "ag_news_clean", "sentiment": "tweet_sentiment"}
SURE = 0.7


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rows", default=1000, show_default=True, help="Of each validation file, at most.")
def main(data: Path, rows: int) -> None:
    """Measure and print."""
    click.echo(machine())
    checkpoint = Checkpoint.load(checkpoint_folder("starter"))
    known = {task: read(data / folder / "validation.jsonl", rows) for task, folder in SETS.items()}
    exact = {task: encode(checkpoint, texts) for task, (texts, _) in known.items()}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "calibration.txt"
        lines = [
            " ".join(line.split())
            for name in SETS.values()
            for line in read(data / name / "train.jsonl", 500)[0]
        ]
        text.write_text("\n".join(lines), encoding="utf-8")
        cache = {"engine_cache": folder}
        for name, settings in {
            "bfloat16": {"precision": "bfloat16"},
            "int8, the worker's own sentences": {"precision": "int8", **cache},
            "int8, 1,000 training texts": {
                "precision": "int8",
                "calibration": str(text),
                **cache,
            },
        }.items():
            found = {
                task: encode(checkpoint, texts, **settings) for task, (texts, _) in known.items()
            }
            click.echo(f"\n{name}: mean cosine {mean_cosine(exact, found):.4f}")
            for task, (_, labels) in known.items():
                tell(checkpoint, task, labels, exact[task], found[task])


def tell(
    checkpoint: Checkpoint,
    task: str,
    labels: Sequence[str],
    exact: EngineOutput,
    found: EngineOutput,
) -> None:
    """What a head says in two precisions."""
    (config,) = [each for each in checkpoint.config.tasks if each.name == task]
    names = np.array(config.labels)
    one, two = exact.logits[task], found.logits[task]
    right = [float((names[each.argmax(1)] == np.array(labels)).mean()) for each in (one, two)]
    scores = np.exp((one - one.max(1, keepdims=True)) / config.temperature)
    sure = (scores.max(1) / scores.sum(1)) >= SURE
    same = one.argmax(1) == two.argmax(1)
    click.echo(
        f"{task:10} accuracy {right[0]:.2%} -> {right[1]:.2%} ({(right[1] - right[0]) * 100:+.2f} "
        f"points); same label {same.mean():.1%} of {len(same):,}, {same[sure].mean():.2%} of the "
        f"{sure.sum():,} where float32 is at least {SURE} sure"
    )


def encode(checkpoint: Checkpoint, texts: Sequence[str], **settings: str) -> EngineOutput:
    """Embeddings and logits of each text; float32 by torch unless the settings say otherwise."""
    asked = WorkerSettings.model_validate({"engine": "auto" if settings else "torch", **settings})
    engine = choose_engine(asked, checkpoint)
    tasks = [task.name for task in checkpoint.config.tasks]
    ids = [sentence.ids for sentence in checkpoint.tokenizer(texts)]
    groups = groups_by_length([len(each) for each in ids], CPU_TOKEN_BUDGET)
    outputs = [engine.encode([ids[place] for place in group], tasks) for group in groups]
    back = np.argsort([place for group in groups for place in group])
    return EngineOutput(
        embeddings=np.concatenate([each.embeddings for each in outputs])[back],
        logits={
            task: np.concatenate([each.logits[task] for each in outputs])[back] for task in tasks
        },
    )


def mean_cosine(exact: dict[str, EngineOutput], found: dict[str, EngineOutput]) -> float:
    """Over the embeddings of all rows."""
    cosines = []
    for task in exact:
        one, two = exact[task].embeddings, found[task].embeddings
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        cosines.append((one * two).sum(1) / lengths)
    return float(np.concatenate(cosines).mean())


def read(file: Path, rows: int) -> tuple[list[str], list[str]]:
    """Texts and labels of some rows."""
    read = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    chosen = random.Random(3).sample(read, min(rows, len(read)))
    return [row["text"] for row in chosen], [row["label"] for row in chosen]


if __name__ == "__main__":
    main()
