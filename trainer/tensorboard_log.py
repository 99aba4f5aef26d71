"""The history of a run for TensorBoard."""

import shutil
from pathlib import Path
from typing import Any

from .history import Record, StepRecord, ValidationRecord
from .train_recipe import Observer

FOLDER = "tensorboard"


class TensorBoardLog(Observer):
    """Writes event files that `tensorboard --logdir` reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer: Any = None

    def steps(self, total: int, per_epoch: int, resumed_at: int) -> None:  # noqa: ARG002
        """Begin anew, or after the steps that a resumed run keeps."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second

        if not resumed_at:
            shutil.rmtree(self._folder, ignore_errors=True)
        purged = resumed_at + 1 if resumed_at else None
        self._writer = SummaryWriter(self._folder, purge_step=purged)

    def record(self, record: Record) -> None:
        """Write the figures of a record."""
        add = self._writer.add_scalar
        match record:
            case StepRecord():
                add("loss/all", record.loss, record.step)
                for task, loss in record.losses.items():
                    add(f"loss/{task}", loss, record.step)
                for task, weight in record.weights.items():
                    add(f"weight/{task}", weight, record.step)
                add("learning_rate", record.learning_rate, record.step)
                add("rows_per_second", record.rows_per_second, record.step)
            case ValidationRecord():
                add("validation/score", record.score, record.step)
                for task, figures in record.figures.items():
                    for name, value in figures.items():
                        add(f"validation/{task}/{name}", value, record.step)
            case _:
                pass

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
