"""The loss of each kind of task, and how the losses of several tasks become one."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ..model.config import TaskConfig, TaskKind
from .encoded_rows import MISSING
from .errors import RecipeError
from .recipe import ClassWeights, LossRecipe, Weighting


class TaskLoss(nn.Module):
    """The loss of one task: the sum over its targets, and by what a mean divides it.

    The two are apart because the targets of one step may come in several batches, on several
    devices, and their mean is over all of them.
    """

    class_weights: torch.Tensor

    def __init__(self, task: TaskConfig, class_weights: NDArray[np.float32], smoothing: float):
        """Make the loss of a task.

        Args:
            task: the task.
            class_weights: one for each label.
            smoothing: of single-label and token tasks.
        """
        super().__init__()
        self._kind = task.kind
        self._smoothing = smoothing
        self._host_weights = class_weights  # sizes are reckoned before anything is on the device
        self.register_buffer("class_weights", torch.from_numpy(class_weights), persistent=False)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum over the targets.

        Args:
            logits: [rows, logits], or of a token task [rows, tokens, labels].
            targets: int64 [rows], [rows, labels] for a multi-label task, or [rows, tokens] with
                -100 where a token has none.
        """
        logits = logits.float()
        match self._kind:
            case TaskKind.BINARY:
                losses = functional.binary_cross_entropy_with_logits(
                    logits[:, 0], targets.float(), reduction="none"
                )
                return (losses * self.class_weights[targets]).sum()
            case TaskKind.MULTI_LABEL:
                return functional.binary_cross_entropy_with_logits(
                    logits, targets.float(), reduction="sum", pos_weight=self.class_weights
                )
            case _:
                return functional.cross_entropy(
                    logits.flatten(0, -2),
                    targets.flatten(),
                    weight=self.class_weights,
                    ignore_index=MISSING,
                    label_smoothing=self._smoothing,
                    reduction="sum",
                )

    def size(self, targets: NDArray[np.int64]) -> float:
        """What the sum over these targets (of the whole data) is divided by for their mean."""
        found = targets[targets != MISSING]
        if self._kind is TaskKind.MULTI_LABEL:
            return float(found.size)
        return float(self._host_weights[found].sum())


class LossWeights(nn.Module):
    """The weight of each task's loss."""

    def __init__(self, recipe: LossRecipe, tasks: Sequence[str]) -> None:
        """Make the weights of some tasks.

        Raises:
            RecipeError: the recipe does not fit them, which a checkpoint's tasks may show only now.
        """
        super().__init__()
        fixed = dict.fromkeys(tasks, 1.0)
        if recipe.weighting is Weighting.ALPHA:
            if len(tasks) != 2:
                raise RecipeError(f"loss.alpha: balances two tasks, but the model has {len(tasks)}")
            fixed = dict(zip(tasks, (recipe.alpha, 1 - recipe.alpha), strict=True))
        elif recipe.weighting is Weighting.FIXED:
            if unknown := sorted(set(recipe.weights) - set(tasks)):
                raise RecipeError(
                    f"loss.weights.{unknown[0]}: the model has no such task, only "
                    f"{', '.join(tasks)}"
                )
            fixed |= recipe.weights
        self._fixed = fixed
        self._index = {task: index for index, task in enumerate(tasks)}
        self.log_variances: nn.Parameter | None = None
        if recipe.weighting is Weighting.UNCERTAINTY:
            self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

    def forward(
        self, losses: Mapping[str, torch.Tensor], tasks: Sequence[str], share: float
    ) -> torch.Tensor:
        """One loss of those of several tasks.

        With learned uncertainty that is the sum of exp(-s) x loss + s / 2 over the tasks, s being
        the logarithm of a task's variance (Kendall, Gal & Cipolla 2018, equation 10).

        Args:
            losses: of the tasks that have rows here.
            tasks: those that have rows in the whole step.
            share: of the step that this is: of s / 2 only so much is counted here.
        """
        if self.log_variances is None:
            return torch.stack([self._fixed[task] * loss for task, loss in losses.items()]).sum()
        penalty = self.log_variances[[self._index[task] for task in tasks]].sum() / 2 * share
        weights = torch.exp(-self.log_variances)
        parts = [weights[self._index[task]] * loss for task, loss in losses.items()]
        return torch.stack([penalty, *parts]).sum()

    @property
    def values(self) -> dict[str, float]:
        """The weights as they are now."""
        if self.log_variances is None:
            return dict(self._fixed)
        weights = torch.exp(-self.log_variances.detach()).tolist()
        return dict(zip(self._index, weights, strict=True))


def class_weights(
    task: TaskConfig, wanted: ClassWeights | None, targets: NDArray[np.int64]
) -> NDArray[np.float32]:
    """One weight for each label.

    Args:
        task: the task.
        wanted: `balanced`: inverse to how often the label stands in `targets`, 1 on average over
            them; weights by label name; or None.
        targets: of all training rows.

    Raises:
        RecipeError: a label that the task does not have.
    """
    weights = np.ones(len(task.labels), dtype=np.float32)
    if wanted is None:
        return weights
    if not isinstance(wanted, str):
        for label, weight in wanted.items():
            if label not in task.labels:
                raise RecipeError(f"loss.class_weights.{task.name}: there is no label {label!r}")
            weights[task.labels.index(label)] = weight
        return weights
    counts = np.bincount(targets[targets != MISSING], minlength=len(task.labels))
    present = counts > 0  # of a label without rows, nothing reads the weight
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
