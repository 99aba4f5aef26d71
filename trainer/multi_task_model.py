"""The network as it is trained: batches in, one loss for each task out."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from ..model.config import Pooling, TaskConfig, TaskKind
from ..model.network import Network
from ..model.pooling import pool
from .losses import LossWeights, TaskLoss
from .padded_batch import PaddedBatch
from .split_encoder import SplitEncoder


class MultiTaskModel(nn.Module):
    """A network with the losses of its tasks; what data-parallel training wraps."""

    def __init__(
        self, network: Network, losses: Mapping[str, TaskLoss], weights: LossWeights
    ) -> None:
        super().__init__()
        self.network = network
        # By position: a task may be called as an attribute of ModuleDict.
        self.losses = nn.ModuleList(losses[task.name] for task in network.config.tasks)
        self.weights = weights
        self.split: SplitEncoder | None = None
        """How batches are read that hold the output of the frozen layers."""

    def forward(
        self, batches: Sequence[PaddedBatch], sizes: Mapping[str, float], share: float = 1.0
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One encoder pass over all rows, each row to the heads of its labels.

        Args:
            batches: the rows, in groups of like length; together they are one pass.
            sizes: by what the sum of each task's losses is divided, of the tasks in the step.
            share: of the step that this is.

        Returns:
            The weighted loss, and the loss of each task that has rows here.
        """
        sums: dict[str, torch.Tensor] = {}
        for batch in batches:
            for task, logits in self.logits(batch):
                loss = self._loss_of(task)(logits, batch.targets[task.name])
                sums[task.name] = sums[task.name] + loss if task.name in sums else loss
        losses = {name: total / sizes[name] for name, total in sums.items()}
        if not losses:  # a process of several without rows: it takes part with a loss of nothing
            trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
            return torch.stack([parameter.sum() * 0 for parameter in trained]).sum(), {}
        return self.weights(losses, list(sizes), share), losses

    def logits(self, batch: PaddedBatch) -> Iterator[tuple[TaskConfig, torch.Tensor]]:
        """The logits of each task for the rows that have its label."""
        hidden = self._encode(batch)
        pooled: dict[Pooling, torch.Tensor] = dict(batch.pooled or {})
        for task in self.network.config.tasks:
            rows = batch.labelled[task.name]
            if not len(rows):
                continue
            if task.kind is TaskKind.TOKEN:
                read = hidden
            else:
                if task.pooling not in pooled:
                    pooled[task.pooling] = pool(hidden, batch.mask, task.pooling)
                read = pooled[task.pooling]
            # All of them, most often: then nothing is copied.
            chosen = read if len(rows) == len(read) else read[rows]
            yield task, self.network.heads[task.name](chosen)

    def _loss_of(self, task: TaskConfig) -> nn.Module:
        return self.losses[self.network.config.tasks.index(task)]

    def _encode(self, batch: PaddedBatch) -> torch.Tensor:
        if batch.pooled is not None:
            return batch.input_ids
        if batch.hidden is None:
            return self.network.encoder(batch.input_ids, batch.mask)
        if self.split is None:  # all of the encoder has run
            return batch.hidden
        return self.split.upper(batch.hidden, batch.input_ids, batch.mask)
