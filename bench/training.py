"""Training, measured: what it reaches, how fast, and beside Hugging Face's Trainer.

    python bench/training.py speed DATA      rows a second, beside Trainer with the same layers
                                             frozen
    python bench/training.py quality DATA    one joint model under five schedules, beside two
                                             separate full fine-tunes
    python bench/training.py small DATA      review_sentences to a checkpoint, heads only; the cache
                                             of the frozen layers, on and off
    python bench/training.py tokens DATA     snips: intent and slots in one model

DATA is a folder with ag_news_clean, sst2_sentences, review_sentences and snips, each with
train.jsonl and validation.jsonl. All is measured in one run on one machine; only ratios travel.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

HERE = Path(__file__).parent
JOINT = HERE / "joint.toml"
BATCH = 32
# Steps of Trainer that are timed, after as many as it takes to be warm.
TIMED, WARM = 25, 5

EVERYTHING = "freezing.freeze=[]"
ENCODER = 'freezing.freeze=["encoder"]'
SCHEDULES = {
    "heads only": [ENCODER, "training.epochs=10"],
    "top two": ['freezing.freeze=["top:2"]', "training.epochs=2"],
    "gradual": [
        ENCODER,
        'freezing.stages=[{epoch=1,freeze=["top:2"]},{epoch=2,freeze=[]}]',
        "training.epochs=3",
    ],
    "all": [EVERYTHING, "training.epochs=1"],
    "top four": ['freezing.freeze=["top:4"]', "training.epochs=1"],
}


def train(recipe: Path, data: Path, output: Path, settings: list[str]) -> float:
    """Run `twinhead train`; returns the seconds of the whole command."""
    options = [part for setting in settings for part in ("--set", setting)]
    started = time.monotonic()
    command = [sys.executable, "-m", "twinhead.client", "train", str(recipe)]
    places = ["--data", str(data), "-o", str(output), "--force", "--no-tensorboard"]
    subprocess.run(
        [*command, *places, *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - started


def records(output: Path, kind: str) -> list[dict]:
    """The records of one kind in a run's history."""
    lines = (output / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["record"] == kind]


def best_of(output: Path) -> tuple[dict, float]:
    """Figures at the best step, and the seconds of the whole training."""
    validations = records(output, "validation")
    best = [record for record in validations if record["best"]][-1]
    return best["figures"], validations[-1]["seconds"]


def recipe_of(folder: Path, name: str, task: str, dataset: str, column: str = "label") -> Path:
    """A recipe of one task."""
    file = folder / f"{name}.toml"
    file.write_text(
        f"""
[model]
encoder = "all-MiniLM-L6-v2"
max_tokens = 128
tasks = [{{ name = "{task}" }}]
[[data]]
name = "{name}"
train = "{dataset}/train.jsonl"
validation = "{dataset}/validation.jsonl"
tasks = {{ {task} = "{column}" }}
limit = 8000
[sampling]
batch_size = {BATCH}
[training]
head_learning_rate = 2e-3
learning_rate = 1e-4
"""
    )
    return file


@click.group(help=__doc__)
def main() -> None:
    """Measure training."""


DATA = click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))


@main.command()
@DATA
@click.option("--rows", default=2000, help="Training rows.")
def speed(data: Path, rows: int) -> None:
    """Rows a second beside Trainer, which runs just before."""
    click.echo("rows/s; twinhead's from the second epoch on (all layers: of the whole run)")
    click.echo(f"{'':26} {'Trainer':>8} {'twinhead':>9} {'ratio':>7}")
    sets = {
        "sst2_sentences": ("sentiment", ["encoder"], ["top:2"], []),
        "ag_news_clean": ("topic", []),
    }
    with tempfile.TemporaryDirectory() as folder:
        for dataset, (task, *frozen) in sets.items():
            recipe = recipe_of(Path(folder), "rows", task, dataset)
            for rules in frozen:
                theirs = trainer_rate(data / dataset / "train.jsonl", rules)
                settings = [f"freezing.freeze={json.dumps(rules)}", f"data.rows.limit={rows}"]
                epochs = {"encoder": 40, "top:2": 3}.get("".join(rules), 1)
                output = Path(folder) / "run"
                train(recipe, data, output, [*settings, f"training.epochs={epochs}"])
                later = [r for r in records(output, "step") if r["epoch"] > 1 or epochs == 1]
                ours = statistics.mean(record["rows_per_second"] for record in later)
                name = f"{dataset}, {rules[0] if rules else 'all layers'}"
                click.echo(f"{name:26} {theirs:8.1f} {ours:9.1f} {ours / theirs:6.1f}x")


def trainer_rate(file: Path, rules: list[str]) -> float:
    """Rows a second of Hugging Face's Trainer, with the padding of each batch to its longest."""
    from torch import nn
    from transformers import (
        AutoModel,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from twinhead.model.encoder import find_encoder

    folder = find_encoder("all-MiniLM-L6-v2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    names = sorted({row["label"] for row in rows})

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(folder)
            self.head = nn.Linear(self.encoder.config.hidden_size, len(names))

        def forward(self, input_ids, attention_mask, labels):
            hidden = self.encoder(input_ids, attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1)
            logits = self.head((hidden * mask).sum(1) / mask.sum(1))
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Clock(TrainerCallback):
        started = ended = 0.0

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == WARM:
                Clock.started = time.monotonic()
            Clock.ended = time.monotonic()

    model = Classifier()
    if rules:
        model.encoder.requires_grad_(False)
        if rules == ["top:2"]:
            model.encoder.encoder.layer[-2:].requires_grad_(True)
    features = [
        {**tokenizer(row["text"], truncation=True, max_length=128), "labels": label}
        for row in rows[: (WARM + TIMED) * BATCH]
        for label in [names.index(row["label"])]
    ]
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        Trainer(
            model,
            arguments,
            train_dataset=features,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[Clock()],
        ).train()
    return TIMED * BATCH / (Clock.ended - Clock.started)


@main.command()
@DATA
@click.option("--output", type=click.Path(path_type=Path), help="Keep the runs in this folder.")
@click.option("--only", multiple=True, help="Only these schedules.")
def quality(data: Path, output: Path | None, only: tuple[str, ...]) -> None:
    """One joint model on ag_news_clean (8,000 rows) and sst2_sentences (all 6,920)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        singles = {
            "topic alone, all": (recipe_of(folder, "news", "topic", "ag_news_clean"), "1"),
            "sentiment alone, all": (
                recipe_of(folder, "reviews", "sentiment", "sst2_sentences"),
                "2",
            ),
        }
        click.echo(f"{'':22} {'topic':>7} {'sentiment':>9} {'seconds':>8} {'share':>6}")
        summed = 0.0
        for name, (recipe, epochs) in singles.items():
            if not only or name in only:
                run = folder / name.replace(", ", "-").replace(" ", "-")
                train(recipe, data, run, [EVERYTHING, f"training.epochs={epochs}"])
                figures, seconds = best_of(run)
                summed += seconds
                show(name, figures, seconds, None)
        for name, settings in SCHEDULES.items():
            if not only or name in only:
                run = folder / name.replace(" ", "-")
                train(JOINT, data, run, settings)
                figures, seconds = best_of(run)
                show(f"joint, {name}", figures, seconds, summed or None)


def show(name: str, figures: dict, seconds: float, summed: float | None) -> None:
    """Print a line of the table."""
    topic, sentiment = (
        f"{figures[task]['accuracy']:.4f}" if task in figures else ""
        for task in ("topic", "sentiment")
    )
    share = f"{seconds / summed:.2f}" if summed else ""
    click.echo(f"{name:22} {topic:>7} {sentiment:>9} {seconds:8.0f} {share:>6}")


@main.command()
@DATA
def small(data: Path) -> None:
    """review_sentences: the whole command with heads only, and the cache on and off."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reviews.toml"
        file.write_text(
            """
[model]
encoder = "all-MiniLM-L6-v2"
max_tokens = 128
tasks = [{ name = "topic" }, { name = "sentiment" }]
[[data]]
name = "reviews"
train = "review_sentences/train.jsonl"
validation = "review_sentences/validation.jsonl"
tasks = { topic = "topic", sentiment = "sentiment" }
[training]
head_learning_rate = 5e-3
learning_rate = 2e-4
dropout = 0.0
"""
        )
        seconds = train(file, data, Path(folder) / "heads", [ENCODER, "training.epochs=10"])
        figures, _ = best_of(Path(folder) / "heads")
        click.echo(f"heads only, whole command: {seconds:.1f} s, {accuracies(figures)}")
        for cache in ("true", "false"):
            run = Path(folder) / cache
            train(file, data, run, ['freezing.freeze=["top:2"]', f"freezing.cache={cache}"])
            figures, seconds = best_of(run)
            click.echo(f"top two, cache {cache:5}: {seconds:.1f} s, {accuracies(figures)}")


def accuracies(figures: dict) -> str:
    """The figures of each task in a line."""
    return ", ".join(
        f"{task} accuracy {values['accuracy']:.4f} loss {values['loss']:.6f}"
        for task, values in figures.items()
    )


@main.command()
@DATA
@click.option("--epochs", default=4)
def tokens(data: Path, epochs: int) -> None:
    """Snips: intent and slots in one model, all layers trained."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "snips.toml"
        file.write_text(
            f"""
[model]
encoder = "all-MiniLM-L6-v2"
max_tokens = 64
tasks = [{{ name = "intent" }}, {{ name = "slots", kind = "token" }}]
[[data]]
name = "snips"
train = "snips/train.jsonl"
validation = "snips/validation.jsonl"
words = "tokens"
tasks = {{ intent = "intent", slots = "tags" }}
[training]
epochs = {epochs}
learning_rate = 3e-4
head_learning_rate = 3e-3
"""
        )
        run = Path(folder) / "run"
        train(file, data, run, [])
        figures, seconds = best_of(run)
        click.echo(
            f"slot F1 {figures['slots']['f1']:.4f}, intent accuracy "
            f"{figures['intent']['accuracy']:.4f}, {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
