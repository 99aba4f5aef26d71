"""The network as it is trained: batches in, one loss for each task out."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..model.network import Network
from .anchors import distances
from .losses import LossWeights, TaskLoss
from .padded_batch import PaddedBatch
from .task_logits import encode, task_logits

DRIFT = "embedding drift"
"""Stands among the tasks for how far the embeddings have moved; no task can be called so."""


class MultiTaskModel(nn.Module):
    """A network with the losses of its tasks; what data-parallel training wraps."""

    def __init__(
        self,
        network: Network,
        losses: Mapping[str, TaskLoss],
        weights: LossWeights,
        keep_embeddings: float = 0.0,
    ) -> None:
        """Put a network and its losses together.

        Args:
            network: what is trained.
            losses: task name to its loss.
            weights: of these losses.
            keep_embeddings: weight of the loss that keeps embeddings at their anchors.
        """
        super().__init__()
        self._keep_embeddings = keep_embeddings
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
                others are left out. That of `DRIFT` is the rows of the step; without it,
                embeddings are not kept.
            share: of the step that this is.

        Returns:
            The weighted loss, and the loss of each task that has rows here (and of `DRIFT`).
        """
        sums: dict[str, torch.Tensor] = {}

        def add(name: str, loss: torch.Tensor) -> None:
            sums[name] = sums[name] + loss if name in sums else loss

        for batch in batches:
            hidden = encode(self.network, batch)
            for task, logits in task_logits(self.network, batch, hidden):
                if task.name in sizes:
                    add(task.name, self._loss_of[task.name](logits, batch.targets[task.name]))
            if DRIFT in sizes and batch.anchors is not None:
                add(DRIFT, distances(self.network, batch, hidden, batch.anchors).sum())
        losses = {name: total / sizes[name] for name, total in sums.items()}
        if losses:
            of_tasks = {name: loss for name, loss in losses.items() if name != DRIFT}
            loss = self.weights(of_tasks, [name for name in sizes if name != DRIFT], share)
            if DRIFT in losses:
                loss = loss + self._keep_embeddings * losses[DRIFT]
            return loss, losses
        # A process of several without rows takes part with a loss of nothing.
        trained = next(parameter for parameter in self.parameters() if parameter.requires_grad)
        return trained.sum() * 0, {}
