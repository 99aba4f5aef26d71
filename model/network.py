"""The multi-head network: one encoder pass, an embedding and the logits of every task."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import torch
from torch import nn

from .config import ModelConfig, Pooling, TaskConfig, TaskKind
from .heads import Head
from .pooling import as_embedding, pool


@dataclass(frozen=True)
class NetworkOutput:
    """What one pass gives."""

    embeddings: torch.Tensor
    """Pooled sentence vectors, not normalised, [batch, dimensions]."""
    logits: Mapping[str, torch.Tensor]
    """Logits of each task asked for, [batch, logits]; of a token task [batch, tokens, labels]."""


class _Heads(nn.ModuleDict):
    """Heads by task name; unlike in its base, a task may be called `type`, `values` or `train`."""

    def __setitem__(self, key: str, module: nn.Module) -> None:
        # The base refuses names of its own attributes; heads are only ever looked up as items.
        self._modules[key] = module

    def train(self, mode: bool = True) -> Self:
        # Past the base's assignment, which would be one to a head called `training`.
        object.__setattr__(self, "training", mode)
        for head in self.values():
            head.train(mode)
        return self


class Network(nn.Module):
    """A shared encoder and one head for each task of a config.

    `encoder` is any module that maps (input_ids, attention_mask) to token vectors
    [batch, tokens, dimensions].
    """

    def __init__(self, config: ModelConfig, encoder: nn.Module, dimensions: int) -> None:
        super().__init__()
        self.config = config
        self.dimensions = dimensions
        self.encoder = encoder
        self.heads = _Heads({task.name: Head(task, dimensions) for task in config.tasks})

    def with_tensors(self, config: ModelConfig, tensors: Mapping[str, torch.Tensor]) -> Self:
        """The same network with some tensors in place of its own; it shares all others.

        Args:
            config: of the new network; the architecture that it describes must be this one's.
            tensors: by their names in `state_dict()`, of the same shapes and types.

        Raises:
            KeyError: a tensor that this network does not have.
            RuntimeError: one of another shape.
        """
        unknown = tensors.keys() - self.state_dict().keys()
        if unknown:
            raise KeyError(min(unknown))
        # What is in the memo is taken as its own copy.
        shared = {id(tensor): tensor for tensor in chain(self.parameters(), self.buffers())}
        twin = copy.deepcopy(self, dict[int, Any](shared))
        twin.load_state_dict(tensors, strict=False, assign=True)
        twin.config = config
        return twin

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        tasks: Iterable[str] | None = None,
    ) -> NetworkOutput:
        """Encode a padded batch once, and run the heads on it.

        Args:
            input_ids: token ids, int64 [batch, tokens].
            attention_mask: 1 for tokens, 0 for padding, int64 [batch, tokens].
            tasks: names of the heads to run; None for all of them.

        Raises:
            KeyError: a task that the model does not have.
        """
        return self.read(self.encoder(input_ids, attention_mask), attention_mask, tasks)

    def read(
        self,
        hidden: torch.Tensor,
        attention_mask: torch.Tensor,
        tasks: Iterable[str] | None = None,
    ) -> NetworkOutput:
        """Pool token vectors, and run the heads on them.

        Args:
            hidden: what the encoder gives, [batch, tokens, dimensions].
            attention_mask: 1 for tokens, 0 for padding, int64 [batch, tokens].
            tasks: names of the heads to run; None for all of them.

        Raises:
            KeyError: a task that the model does not have.
        """
        pooled: dict[Pooling, torch.Tensor] = {}

        def pooled_by(pooling: Pooling) -> torch.Tensor:
            if pooling not in pooled:
                pooled[pooling] = pool(hidden, attention_mask, pooling)
            return pooled[pooling]

        def read_by(task: TaskConfig) -> torch.Tensor:
            return hidden if task.kind is TaskKind.TOKEN else pooled_by(task.pooling)

        embedding_pooling = self.config.embedding_pooling
        names = [task.name for task in self.config.tasks] if tasks is None else tasks
        return NetworkOutput(
            embeddings=as_embedding(pooled_by(embedding_pooling), embedding_pooling),
            logits={name: self.heads[name](read_by(self.config.task(name))) for name in names},
        )
