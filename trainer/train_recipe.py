"""From a recipe to a checkpoint with its report: what `twinhead train` does."""

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from ..model.checkpoint import Checkpoint, read_description
from ..model.config import TaskConfig
from ..model.tokenizer import Tokenizer
from .encoded_rows import EncodedRows
from .errors import DataError, RecipeError, RunError
from .freezing import freeze
from .history import Record
from .loop import train
from .mistakes import find_mistakes
from .model_card import write_model_card
from .predictions import evaluations_of
from .recipe import SPLITS, Precision, Recipe
from .report import write_report
from .run_state import STATE
from .run_summary import DataSummary, Evaluation, RunSummary
from .start_model import StartModel, calibrated
from .training_data import read_row_sets, truncation_notes, with_labels
from .training_run import TrainingRun

CHECKPOINT = "checkpoint"
REPORT = "report.html"

# Training rows that are measured in the end, beside those that were not seen.
_SEEN_SAMPLE = 2000


class Observer:
    """Is told how a run goes; does nothing unless a method is overridden."""

    def data(self, summaries: Sequence[DataSummary], notes: Sequence[str]) -> None:
        """The data has been read."""

    def steps(self, total: int, per_epoch: int, resumed_at: int) -> None:
        """Training begins."""

    def record(self, record: Record) -> None:
        """Something was added to the history."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Long work beside the steps goes on."""

    def close(self) -> None:
        """Training has ended."""


def train_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    title: str,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    delta: bool = False,
    observers: Callable[[Path], Sequence[Observer]],
) -> RunSummary | None:
    """Train, choose the best weights, calibrate, measure, and write all of it down.

    Args:
        recipe: what to do.
        folder: gets `checkpoint`, `report.html` and `history.jsonl`.
        title: of the report and the model card.
        resume: go on where an interrupted run in the folder was saved.
        force: replace what an earlier run has left in the folder.
        device: auto, cpu or cuda.
        delta: write only the tensors that training changed.
        observers: make those who are told how it goes, from the folder; in the main process.

    Returns:
        What the run tells; None in all processes but the main one.

    Raises:
        TrainerError: recipe, data or folder will not do, or the loss diverged.
        ModelError: encoder or checkpoint will not do.
        OSError: a file cannot be written.
    """
    accelerator = _accelerator(recipe.training.precision, device)
    _check_folder(folder, resume=resume, force=force)
    if delta and recipe.model.checkpoint is not None:
        _check_base_stays(Path(recipe.model.checkpoint), folder)
    start = StartModel.find(recipe)
    start.check(recipe.data)
    rows = read_row_sets(recipe, {task.name: task for task in start.tasks})
    tasks = with_labels(start.tasks, rows)
    network, tokenizer = start.build(tasks, recipe.training.seed)
    # What cannot be saved or frozen is better known now.
    begun_with = Checkpoint.create(network, tokenizer).version
    for rules in recipe.freezing.rules:
        freeze(network, rules)
    summaries = rows.summaries({task.name: task for task in tasks})
    splits = rows.encode(tasks, tokenizer)
    _check_labels(recipe, tasks, splits)
    notes = (*rows.notes, *truncation_notes(splits, tokenizer.max_tokens))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()

    watching = list(observers(folder)) if accelerator.is_main_process else []

    def observed(record: Record) -> None:
        for observer in watching:
            observer.record(record)

    def progressed(what: str, done: int, total: int) -> None:
        for observer in watching:
            observer.progress(what, done, total)

    try:
        for observer in watching:
            observer.data(summaries, notes)
        run = TrainingRun(
            recipe,
            network,
            splits,
            folder,
            accelerator,
            _fingerprint(recipe, begun_with, splits),
            observe=observed,
            progress=progressed,
        )
        run.resume() if resume else run.start(measure=start.checkpoint is not None)
        for observer in watching:
            observer.steps(run.steps, run.plan.steps_per_epoch, run.state.step)
            if resume:
                for record in run.history.stages[-1:]:
                    observer.record(record)
        train(run)
        run.restore_best()
        if not run.is_main:  # nothing is left to do together
            return None
        summary = _finish(run, tokenizer, summaries, title, start, delta=delta)
        run.clean_up()
        return summary
    finally:
        for observer in watching:
            observer.close()


def _check_labels(
    recipe: Recipe, tasks: Sequence[TaskConfig], splits: Mapping[str, EncodedRows]
) -> None:
    select = recipe.training.select
    names = [task.name for task in tasks]
    if select not in ("mean", *names):
        raise RecipeError(f"training.select: the model has no task {select}, only {names}")
    trained = [name for name in names if splits["train"].labelled(name).any()]
    for name in names:
        # Of a checkpoint, a head without rows gets no gradient, and stays as it is.
        if name not in trained and recipe.model.checkpoint is None:
            raise DataError(f"no training row has a label of {name}")
    if not trained:
        raise DataError("no training row has a label of any task")
    measured = [name for name in names if splits["validation"].labelled(name).any()]
    if select not in ("mean", *measured):
        raise DataError(f"training.select: no validation row has a label of {select}")
    if not measured:
        raise DataError("no validation row has a label of any task")


def _accelerator(precision: Precision, device: str) -> Accelerator:
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("torch sees no GPU; say --device cpu")
    use_cpu = device == "cpu" or not torch.cuda.is_available()
    bf16 = precision is Precision.BF16 or (
        precision is Precision.AUTO and not use_cpu and torch.cuda.is_bf16_supported()
    )
    # A step need not have rows of every task.
    wrapped = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        cpu=use_cpu, mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[wrapped]
    )


def _check_folder(folder: Path, *, resume: bool, force: bool) -> None:
    if not folder.exists():
        if resume:
            raise RunError(f"{folder} does not exist; there is nothing to resume")
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file")
    checkpoint = folder / CHECKPOINT
    finished, interrupted = checkpoint.exists(), (folder / STATE).exists()
    if resume and finished and not interrupted:
        raise RunError(f"{folder} holds a finished run; there is nothing to resume")
    if finished and not (checkpoint / "twinhead.json").is_file():
        raise RunError(f"{checkpoint} is no checkpoint of Twinhead's, and would be replaced")
    if resume or force:
        return
    if interrupted:
        raise RunError(
            f"{folder} holds an interrupted run; go on with --resume, or start anew with --force"
        )
    if finished or any(folder.iterdir()):
        raise RunError(f"{folder} is not empty; choose another folder, or replace it with --force")


def _check_base_stays(base: Path, folder: Path) -> None:
    """A delta must not be made against what it replaces."""
    replaced = (folder / CHECKPOINT).resolve()
    seen: set[Path] = set()
    while (base := base.resolve()) not in seen and (base / "twinhead.json").is_file():
        if base == replaced:
            raise RunError(
                f"a delta needs the checkpoint that training begins with, and {replaced} would be "
                "replaced; choose another --output, or leave --delta out"
            )
        seen.add(base)
        stated = read_description(base)["base"]
        if stated is not None:
            base /= stated["path"]


def _fingerprint(recipe: Recipe, begun_with: str, splits: Mapping[str, EncodedRows]) -> str:
    """Of all that decides the course of training; how often it is saved does not."""
    stated = recipe.model_dump(
        mode="json", exclude={"training": {"save_minutes"}, "limitations": True}
    )
    # Where files are does not matter, only what is in them.
    for source in stated["data"]:
        for key in (*SPLITS, "about"):
            del source[key]
    # The version covers the first weights, the tasks with their labels, and the tokenizer.
    digest = hashlib.sha256(json.dumps([stated, begun_with], sort_keys=True).encode())
    for split in ("train", "validation"):
        rows = splits[split]
        for array in (rows.ids, rows.starts, rows.dataset, *rows.targets.values()):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _finish(
    run: TrainingRun,
    tokenizer: Tokenizer,
    data: Sequence[DataSummary],
    title: str,
    start: StartModel,
    *,
    delta: bool,
) -> RunSummary:
    rounded = run.round_weights()
    rng = np.random.default_rng(run.recipe.training.seed)
    train_rows = len(run.splits["train"])
    sample = np.sort(rng.permutation(train_rows)[:_SEEN_SAMPLE])
    chosen = {split: np.arange(len(run.splits[split])) for split in SPLITS} | {"train": sample}
    predictions = {split: run.predict(split, rows) for split, rows in chosen.items() if len(rows)}
    uncalibrated = predictions["validation"]
    temperatures = {
        name: found.fit_temperature() if found.rows.size else found.task.temperature
        for name, found in uncalibrated.items()
    }
    network = calibrated(run.network.cpu(), temperatures)
    tasks = {task.name: task for task in network.config.tasks}
    datasets = [source.name for source in run.recipe.data]
    evaluations: list[Evaluation] = []
    for split, by_task in predictions.items():
        at_temperature = {name: replace(found, task=tasks[name]) for name, found in by_task.items()}
        evaluations += evaluations_of(split, datasets, run.splits[split].dataset, at_temperature)
    checkpoint = Checkpoint.create(
        network,
        tokenizer,
        metrics=_metrics_of(evaluations),
        provenance=_provenance(run, data, title, start),
    )
    summary = RunSummary(
        title=title,
        recipe=run.recipe,
        config=network.config,
        version=checkpoint.version,
        history=run.history,
        data=tuple(data),
        evaluations=tuple(evaluations),
        mistakes={
            name: find_mistakes(replace(found, task=tasks[name]), run.splits["validation"].rows)
            for name, found in uncalibrated.items()
        },
        temperatures=temperatures,
        uncalibrated={
            name: found.measure() for name, found in uncalibrated.items() if found.rows.size
        },
        best_step=run.state.best_step,
        seconds=run.state.seconds,
        cache=" ".join(run.prefix.notes),
        kept_embeddings=run.kept_embeddings(),
        rounded=rounded,
        environment=_environment(run),
    )
    _write(checkpoint, summary, run.folder, start, delta=delta)
    return summary


def _write(
    checkpoint: Checkpoint, summary: RunSummary, folder: Path, start: StartModel, *, delta: bool
) -> None:
    """The checkpoint first, beside an earlier one, which goes only when the new one is whole."""
    staging = folder / f".{CHECKPOINT}.new"
    shutil.rmtree(staging, ignore_errors=True)
    if delta:
        # On what training began with: a checkpoint, or the encoder by its name.
        checkpoint.save_delta(staging, start.reload())
    else:
        checkpoint.save(staging)
    write_model_card(summary, staging)
    earlier = folder / f".{CHECKPOINT}.old"
    shutil.rmtree(earlier, ignore_errors=True)
    if (folder / CHECKPOINT).exists():
        (folder / CHECKPOINT).replace(earlier)
    staging.replace(folder / CHECKPOINT)
    shutil.rmtree(earlier, ignore_errors=True)
    write_report(summary, folder / REPORT)


def _metrics_of(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, object]]:
    """As they stand in a checkpoint: task, split, figures."""
    metrics: dict[str, dict[str, object]] = {}
    for evaluation in evaluations:
        measured = evaluation.metrics
        name = ":".join(filter(None, (evaluation.split, evaluation.dataset)))
        figures = {key: round(value, 6) for key, value in measured.figures.items()}
        metrics.setdefault(measured.task, {})[name] = {"rows": measured.rows, **figures}
    return metrics


def _provenance(
    run: TrainingRun, data: Sequence[DataSummary], title: str, start: StartModel
) -> dict[str, object]:
    return {
        "recipe": title,
        "trainer": f"twinhead {version('twinhead')}",
        "begun_with": start.checkpoint.version if start.checkpoint else run.network.config.encoder,
        "best_step": run.state.best_step,
        "steps": run.state.step,
        "seed": run.recipe.training.seed,
        "rows": {f"{summary.dataset} {summary.split}": summary.rows for summary in data},
    }


def _environment(run: TrainingRun) -> dict[str, str]:
    accelerator = run.accelerator
    device = accelerator.device
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "twinhead": version("twinhead"),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "python": platform.python_version(),
        "device": f"{device.type} ({where})",
        "threads": str(torch.get_num_threads()),
        "precision": "bf16" if accelerator.mixed_precision == "bf16" else "fp32",
        "processes": str(accelerator.num_processes),
    }
