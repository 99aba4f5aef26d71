"""A run of a recipe: everything that the loop's lines need."""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from torch.optim.lr_scheduler import LambdaLR

from ..model.config import TaskKind
from ..model.layers import set_dropout
from ..model.network import Network
from .anchors import compute_anchors, kept_embeddings, read_anchors
from .encoded_rows import EncodedRows
from .errors import DivergedError, RunError
from .freezing import freeze, parts_of, set_modes
from .half_precision import round_where_harmless
from .history import History, Record, StageRecord, StepRecord, ValidationRecord
from .losses import LossWeights, TaskLoss, class_weights
from .multi_task_model import DRIFT, MultiTaskModel
from .optimizer import make_optimizer, rate_course
from .padded_batch import CPU_PASS_TOKENS, GPU_PASS_TOKENS
from .predictions import Predictions, predict, score_of
from .prefix_store import PrefixStore
from .recipe import Recipe, Stage
from .row_batches import RowBatches
from .run_state import STATE, RunState, load_state, save_state, save_tensors
from .step_plan import StepPlan
from .task_metrics import TaskMetrics

# Seconds between two records of steps; each costs a synchronisation and a line of history.
_LOG_SECONDS = 1.0

_BEST = "best-[0-9]*.safetensors"
_ANCHORS_PREFIX = "embeddings-before-"
_ANCHORS = f"{_ANCHORS_PREFIX}*.npy"

Indices = NDArray[np.int64]


class TrainingRun:
    """One run: its model, data, optimizer and state."""

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        splits: dict[str, EncodedRows],
        folder: Path,
        accelerator: Accelerator,
        fingerprint: str,
        *,
        observe: Callable[[Record], None],
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Set a run up at its first step.

        Args:
            recipe: what to do.
            network: the network to train.
            splits: train, validation and test rows.
            folder: where state and history are kept.
            accelerator: device, precision, processes.
            fingerprint: digest of the recipe and the data.
            observe: is shown each record of the history, in the main process.
            progress: is told how far long work is: what, rows done, rows in all.
        """
        self.recipe = recipe
        self.folder = folder
        self.accelerator = accelerator
        self.processes: int = accelerator.num_processes
        self.network = network
        self.splits = splits
        self.state = RunState(fingerprint)
        self.history = History()
        self._observe = observe

        if recipe.training.dropout is not None:
            set_dropout(network.encoder, recipe.training.dropout)
        tasks = network.config.tasks
        train = splits["train"]
        self._loss_of = {
            task.name: TaskLoss(
                task,
                class_weights(
                    task, recipe.loss.class_weights.get(task.name), train.targets[task.name]
                ),
                recipe.loss.label_smoothing,
            )
            for task in tasks
        }
        weights = LossWeights(recipe.loss, [task.name for task in tasks])
        self.bare_model = MultiTaskModel(
            network, self._loss_of, weights, recipe.loss.keep_embeddings
        ).to(accelerator.device)
        self.model: Any = self.bare_model
        """The model as the loop calls it: wrapped, when there are several processes."""
        self._ever_trained: set[str] = set()
        for rules in recipe.freezing.rules:
            freeze(network, rules)
            named = network.named_parameters()
            self._ever_trained |= {name for name, parameter in named if parameter.requires_grad}
        sets = [np.flatnonzero(train.dataset == index) for index in range(len(recipe.data))]
        self.plan = StepPlan(sets, recipe.sampling, recipe.training.seed)
        self.steps = self.plan.steps_per_epoch * recipe.training.epochs
        self.optimizer = make_optimizer(self.bare_model, recipe.training)
        self._course = rate_course(recipe.training, self.steps)
        self.rates = LambdaLR(self.optimizer, self._course)
        self.train_batches = self._row_batches(train)
        self._validation_batches = self._row_batches(splits["validation"])
        self._cached_splits = (self.train_batches, self._validation_batches)
        self.prefix = PrefixStore(
            folder, int(recipe.freezing.cache_gigabytes * 1e9), accelerator, progress
        )
        self._progress = progress
        self._taught: set[str] = set()
        self._losses: list[tuple[torch.Tensor, dict[str, torch.Tensor], int]] = []
        self._steps_with: Counter[str] = Counter()
        self._logged_step = 0
        self._logged = self._saved = self._ticked = time.monotonic()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.accelerator.is_main_process

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.state.step / self.plan.steps_per_epoch

    # -- the loop's lines, in its order --

    def begin_stages_that_are_due(self) -> None:
        """Freeze and thaw what the recipe says for this point."""
        if self.state.stage == 0:
            self._begin_stage("start")
        while (stage := self._next_stage()) is not None and stage.epoch is not None:
            if self.state.step < stage.epoch * self.plan.steps_per_epoch:
                break
            self._begin_stage(f"epoch {stage.epoch}")

    def seed_step(self) -> None:
        """Every step has random numbers of its own, so that a resumed run has the same ones."""
        process = self.accelerator.process_index
        seeds = np.random.SeedSequence([self.recipe.training.seed, self.state.step, process])
        seed = int(seeds.generate_state(1)[0])
        # Not torch.manual_seed: without a GPU it remembers each call, with its traceback.
        torch.default_generator.manual_seed(seed)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def sizes(self, batches: Sequence[Indices]) -> dict[str, float]:
        """By what the losses of each task in a step are divided, over all processes.

        Tasks whose rows teach nothing, as encoder and head are frozen, are not in it.
        """
        rows = self.splits["train"]
        together = np.concatenate(batches)
        sizes: dict[str, float] = {}
        for task in self.network.config.tasks:
            targets = rows.targets[task.name]
            if task.kind is TaskKind.TOKEN:
                found = np.concatenate(
                    [targets[rows.starts[index] : rows.starts[index + 1]] for index in together]
                )
            else:
                found = targets[together]
            size = self._loss_of[task.name].size(found)
            if size > 0 and task.name in self._taught:
                sizes[task.name] = size
        if sizes and self.train_batches.anchors is not None:
            sizes[DRIFT] = float(len(together))
        self._steps_with.update(sizes.keys())
        return sizes

    @contextmanager
    def gradients(self, *, last: bool) -> Generator[None]:
        """Where several batches make a step, processes wait for each other in the last only."""
        with self.accelerator.autocast():
            if last or self.processes == 1:
                yield
            else:
                with self.model.no_sync():
                    yield

    def own_share(self, batch: Indices) -> Indices:
        """The rows of a batch that this process works on."""
        return batch[self.accelerator.process_index :: self.processes]

    def check_finite(self, norm: torch.Tensor, batches: Sequence[Indices]) -> None:
        """Stop before the weights are spoilt, with the step's rows written down.

        A loss that is not finite has such gradients, and some finite ones have, too.
        """
        if bool(torch.isfinite(norm)):
            return
        step = self.state.step + 1
        file = self.folder / f"diverged-step-{step}.jsonl"
        if self.is_main:
            with file.open("w", encoding="utf-8") as stream:
                for index in np.concatenate(batches):
                    row = self.splits["train"].rows[index]
                    data = {"text": row.text, "labels": row.labels, "origin": row.origin}
                    stream.write(json.dumps(data, ensure_ascii=False) + "\n")
        losses = [f"{float(loss):.4g}" for loss, _, _ in self._losses[-len(batches) :]]
        raise DivergedError(
            f"the gradients of step {step} are not finite (loss {', '.join(losses)}); its rows are "
            f"in {file}. A lower learning_rate or clip_norm may help"
        )

    def note_losses(self, loss: torch.Tensor, losses: dict[str, torch.Tensor], rows: int) -> None:
        """Keep losses until they are logged, without waiting for the device.

        Each is a part of its step's; of several processes' parts, this one's stands for all.
        """
        kept: dict[str, torch.Tensor] = {
            name: value.detach() * self.processes for name, value in losses.items()
        }
        self._losses.append((loss.detach() * self.processes, kept, rows))

    def clip_gradients(self) -> torch.Tensor:
        """Scale the gradients down to the norm of the recipe; returns what it was."""
        groups = self.optimizer.param_groups
        trained = [p for group in groups for p in group["params"] if p.grad is not None]
        largest = self.recipe.training.clip_norm or math.inf
        norm = self.accelerator.clip_grad_norm_(trained, largest)
        return torch.zeros(()) if norm is None else norm

    def log_step_if_due(self) -> None:
        """Add a record of the steps since the last one: every second, and before a validation."""
        now = time.monotonic()
        self.state.seconds += now - self._ticked
        self._ticked = now
        if now - self._logged < _LOG_SECONDS and not self.validation_is_due():
            return
        # The batches of a step have parts of its loss, and not every step has rows of every task.
        steps = self.state.step - self._logged_step
        by_task: dict[str, float] = {}
        for _, losses, _ in self._losses:
            for name, value in losses.items():
                by_task[name] = by_task.get(name, 0.0) + float(value)
        rate = self.rates.get_last_lr()
        highest = max(
            group_rate
            for group_rate, group in zip(rate, self.optimizer.param_groups, strict=True)
            if group["initial_lr"] <= self.recipe.training.learning_rate
        )
        self._record(
            StepRecord(
                step=self.state.step,
                epoch=self.epoch,
                loss=sum(float(loss) for loss, _, _ in self._losses) / steps,
                losses={name: total / self._steps_with[name] for name, total in by_task.items()},
                weights=self.bare_model.weights.values,
                learning_rate=float(highest),
                rows_per_second=sum(rows for _, _, rows in self._losses)
                / max(now - self._logged, 1e-9),
            )
        )
        self._losses.clear()
        self._steps_with.clear()
        self._logged, self._logged_step = now, self.state.step

    def validation_is_due(self) -> bool:
        """After each epoch, or as often as the recipe says; and in the end."""
        every = self.recipe.training.validate_every or self.plan.steps_per_epoch
        return self.state.step % every == 0 or self.state.step == self.steps

    def validate(self) -> dict[str, TaskMetrics]:
        """Figures of each task that has validation rows."""
        rows = np.arange(len(self.splits["validation"]))
        with self.accelerator.autocast():
            predictions = predict(self.network, self._validation_batches, rows)
        set_modes(self.network)
        return {
            name: predicted.measure()
            for name, predicted in predictions.items()
            if predicted.rows.size
        }

    def keep_if_best(self, metrics: dict[str, TaskMetrics]) -> None:
        """Write the trained weights down if they are the best so far."""
        # The last bit may differ between processes, and they must decide alike.
        (score,) = broadcast_object_list([score_of(metrics, self.recipe.training.select)])
        best = self.state.best_score is None or score > self.state.best_score
        if best:
            self.state.best_score, self.state.best_step = score, self.state.step
            self.state.stalled = 0
            if self.is_main:
                save_tensors(self._best_file(self.state.step), self._trained_tensors())
        else:
            self.state.stalled += 1
        self._record_validation(metrics, score, best=best)

    def _record_validation(
        self, metrics: dict[str, TaskMetrics], score: float, *, best: bool
    ) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._ticked
        self._ticked = self._logged = now
        self._record(
            ValidationRecord(
                step=self.state.step,
                epoch=self.epoch,
                seconds=self.state.seconds,
                score=score,
                best=best,
                figures={name: dict(measured.figures) for name, measured in metrics.items()},
            )
        )

    def react_to_stall(self) -> None:
        """Thaw the next part, or stop, when validation has not become better for long enough."""
        stage = self._next_stage()
        stalled, patience = self.state.stalled, self.recipe.training.patience
        if stage is not None:
            if stage.epoch is None and stalled >= self.recipe.freezing.stalled_after:
                self._begin_stage("validation stalled")
        elif patience is not None and stalled >= patience:
            self.state.stopped = f"no better score in {stalled} validations"

    def save_if_due(self) -> None:
        """Save the state after each validation, and every few minutes."""
        minutes = (time.monotonic() - self._saved) / 60
        if self.is_main and (
            self.validation_is_due() or minutes >= self.recipe.training.save_minutes
        ):
            save_state(self._state_file, self.state, self.bare_model, self.optimizer)
            for file in self.folder.glob(_BEST):
                if file != self._best_file(self.state.best_step):
                    file.unlink()
            self._saved = time.monotonic()

    # -- what surrounds the loop --

    def resume(self) -> None:
        """Go on where the run was saved.

        Raises:
            RunError: there is nothing to resume, or it does not fit.
        """
        if not self._state_file.is_file():
            raise RunError(f"{self.folder} has no run that can be resumed")
        self.state = load_state(
            self._state_file, self.state.fingerprint, self.bare_model, self.optimizer
        )
        self.rates = LambdaLR(self.optimizer, self._course, last_epoch=self.state.step - 1)
        if self.is_main:
            file = self.folder / "history.jsonl"
            self.history = History.read(file, self.state.step, self.state.stage)
        if self.state.stage:
            self._apply_stage(self.state.stage - 1)
        self._logged_step = self.state.step
        self._ticked = self._logged = self._saved = time.monotonic()

    def start(self, *, measure: bool = False) -> None:
        """Begin anew: leftovers of an earlier run in the folder go.

        Args:
            measure: validate before the first step, for comparison; the best weights are always
                trained ones.
        """
        if self.is_main:
            for file in [*self.folder.glob(_BEST), *self.folder.glob(_ANCHORS), self._state_file]:
                file.unlink(missing_ok=True)
            self.history = History.read(self.folder / "history.jsonl", -1, 0)
        self.accelerator.wait_for_everyone()
        if measure:
            self.begin_stages_that_are_due()
            metrics = self.validate()
            score = score_of(metrics, self.recipe.training.select)
            self._record_validation(metrics, score, best=False)

    def restore_best(self) -> None:
        """Put the best weights into the network."""
        from safetensors.torch import load_file

        self.accelerator.wait_for_everyone()
        best = load_file(self._best_file(self.state.best_step))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name in best:
                    parameter.copy_(best[name])
        self.prefix.drop_if_stale(self._cached_splits)

    def round_weights(self) -> tuple[str, ...]:
        """Round what was trained to half precision, where no answer changes.

        Returns:
            The parts of which something was rounded; none where the recipe does not ask for it.
        """
        if not self.recipe.training.round_weights:
            return ()
        trained = [
            (name, parameter)
            for name, parameter in self.network.named_parameters()
            if name in self._ever_trained
        ]
        all_rows = np.arange(len(self._validation_batches.rows))
        before = self._decisions(all_rows)

        def changed(rows: Indices | None) -> Indices:
            now = self._decisions(all_rows if rows is None else rows)
            others = {
                row for task, row in now if not np.array_equal(now[task, row], before[task, row])
            }
            return np.array(sorted(others), dtype=np.int64)

        rounded = set(round_where_harmless(trained, changed))
        names = {id(parameter): name for name, parameter in trained}
        told: list[str] = []
        for part in parts_of(self.network):
            of_part = [names[id(one)] for one in part.parameters if id(one) in names]
            count = len(rounded & set(of_part))
            if count:
                share = "" if count == len(of_part) else f" ({count} of {len(of_part)} tensors)"
                told.append(part.name + share)
        return tuple(told)

    def _decisions(self, chosen: Indices) -> dict[tuple[str, int], Indices]:
        """What is decided of validation rows in float32, as a worker does; by task and row."""
        batches = self._validation_batches
        batches = replace(batches, rows=replace(batches.rows, offered={}))  # it offers all labels
        if self.accelerator.mixed_precision != "no":  # which the cached part was computed in
            batches = replace(batches, prefix=None)
        found = predict(self.network, batches, chosen)
        return {
            (name, int(row)): decided
            for name, predicted in found.items()
            for row, decided in zip(predicted.rows, predicted.decided(), strict=True)
        }

    def predict(self, split: str, chosen: Indices) -> dict[str, Predictions]:
        """Predictions of each task for some rows of a split."""
        cached = {"train": self.train_batches, "validation": self._validation_batches}
        batches = cached.get(split) or self._row_batches(self.splits[split])
        with self.accelerator.autocast():
            return predict(self.network, batches, chosen)

    def kept_embeddings(self) -> float | None:
        """Mean cosine of the validation rows' embeddings to those before training.

        None where the recipe does not keep them.
        """
        if not self.recipe.loss.keep_embeddings:
            return None
        anchors = read_anchors(self._anchors_file("validation"))
        batches = replace(_with_tokens(self._validation_batches), anchors=anchors)
        with self.accelerator.autocast():
            return kept_embeddings(self.network, batches)

    def clean_up(self) -> None:
        """Remove what only resuming needs."""
        for file in [*self.folder.glob(_BEST), *self.folder.glob(_ANCHORS), self._state_file]:
            file.unlink(missing_ok=True)
        self.prefix.remove()

    @property
    def _state_file(self) -> Path:
        return self.folder / STATE

    def _best_file(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"

    def _record(self, record: Record) -> None:
        if self.is_main:
            self.history.add(record)
            self._observe(record)

    def _row_batches(self, rows: EncodedRows) -> RowBatches:
        device = self.accelerator.device
        budget = CPU_PASS_TOKENS if device.type == "cpu" else GPU_PASS_TOKENS
        return RowBatches(rows, self.network.config.tasks, device, budget)

    def _trained_tensors(self) -> dict[str, torch.Tensor]:
        """All that any stage trains: what a later one changes must come back with the best."""
        named = self.network.named_parameters()
        return {name: parameter.detach() for name, parameter in named if name in self._ever_trained}

    def _next_stage(self) -> Stage | None:
        stages = self.recipe.freezing.stages
        begun = self.state.stage - 1
        return stages[begun] if begun < len(stages) else None

    def _begin_stage(self, reason: str) -> None:
        self.state.stage += 1
        self.state.stage_step = self.state.step
        self.state.stalled = 0
        parts = self._apply_stage(self.state.stage - 1)
        rules = self.recipe.freezing.rules[self.state.stage - 1]
        self._record(StageRecord(self.state.step, self.epoch, reason, rules, parts))

    def _apply_stage(self, stage: int) -> Any:
        parts = freeze(self.network, self.recipe.freezing.rules[stage])
        trained = {part.name for part in parts if part.trained}
        heads = {f"head {task.name}" for task in self.network.config.tasks}
        taught = heads if trained - heads else trained
        self._taught = {name.removeprefix("head ") for name in taught}
        if self.processes > 1:
            # Anew for each stage: the wrapper remembers which parameters have gradients.
            self.model = self.accelerator.prepare_model(self.bare_model)
        if self.recipe.freezing.cache:
            # Counted from where the stage began, so that a resumed run decides alike.
            following = self.recipe.freezing.stages[stage:]
            ends = [later.epoch for later in following if later.epoch is not None]
            until = min([*ends, self.recipe.training.epochs])
            passes = until - self.state.stage_step / self.plan.steps_per_epoch
            self.prefix.renew(self.network, self._cached_splits, passes)
        if self.recipe.loss.keep_embeddings:
            self._hold_embeddings()
        set_modes(self.network)
        return parts

    def _hold_embeddings(self) -> None:
        """Give the rows the embeddings that they had before training, while these can move."""
        moves = any(parameter.requires_grad for parameter in self.network.encoder.parameters())
        for split, batches in zip(("train", "validation"), self._cached_splits, strict=True):
            file = self._anchors_file(split)
            if self.accelerator.is_local_main_process and not file.is_file():
                if self.state.step:
                    raise RunError(
                        f"{file} is gone: where the embeddings were before training is not known; "
                        "start anew with --force"
                    )
                with self.accelerator.autocast():
                    compute_anchors(
                        self.network,
                        _with_tokens(batches),
                        file,
                        lambda done, total: self._progress("embeddings as they are", done, total),
                    )
            self.accelerator.wait_for_everyone()
            batches.anchors = read_anchors(file) if moves else None

    def _anchors_file(self, split: str) -> Path:
        # Processes of one machine share it, those of others have their own.
        return self.folder / f"{_ANCHORS_PREFIX}{os.environ.get('GROUP_RANK', '0')}-{split}.npy"


def _with_tokens(batches: RowBatches) -> RowBatches:
    """The same rows, with token vectors also where all of the encoder is computed beforehand."""
    pooled = batches.prefix is not None and batches.prefix.prefix.poolings
    return replace(batches, prefix=None) if pooled else batches
