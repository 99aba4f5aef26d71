"""The network as it is trained: batches in, one loss for each task out."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..model.network import Network
from .losses import LossWeights, TaskLoss
from .padded_batch import PaddedBatch
from .task_logits import task_logits


class MultiTaskModel(nn.Module):
    """A network with the losses of its tasks; what data-parallel training wraps."""

    def __init__(
        self, network: Network, losses: Mapping[str, TaskLoss], weights: LossWeights
    ) -> None:
        super().__init__()
        self.network = network
        # A list registers them; a task may be called as an attribute of ModuleDict.
        self.losses = nn.ModuleList(losses.values())
        self._loss_of = dict(losses)
        self.weights = weights

    def forward(
        self, batches: Sequence[PaddedBatch], sizes: Mapping[str, float], share: float = 1.0
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One encoder pass over all rows, each row to the heads of its labels.

        Args:
            batches: the rows, in groups of like length; together they are one pass.
            sizes: by what the sum of each task's losses is divided, of the tasks in the step;
                others are left out.
            share: of the step that this is.

        Returns:
            The weighted loss, and the loss of each task that has rows here.
        """
        sums: dict[str, torch.Tensor] = {}
        for batch in batches:
            for task, logits in task_logits(self.network, batch):
                if task.name not in sizes:
                    continue
                loss = self._loss_of[task.name](logits, batch.targets[task.name])
                sums[task.name] = sums[task.name] + loss if task.name in sums else loss
        losses = {name: total / sizes[name] for name, total in sums.items()}
        if losses:
            return self.weights(losses, list(sizes), share), losses
        # A process of several without rows takes part with a loss of nothing.
        trained = next(parameter for parameter in self.parameters() if parameter.requires_grad)
        return trained.sum() * 0, {}
