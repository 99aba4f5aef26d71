"""Task heads: a vector to the logits of one task."""

import torch
from torch import nn

from .config import Activation, MlpHead, Pooling, TaskConfig
from .errors import ConfigError

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.RELU: nn.ReLU,
    Activation.GELU: nn.GELU,
    Activation.TANH: nn.Tanh,
}


class Head(nn.Module):
    """The head of one task.

    `combine` (for CLS_MEAN pooling) takes both parts, 2 x dimensions, back to one vector; it begins
    as their average. `hidden` (of an MLP) is one layer with its activation; `output` gives the
    logits.
    """

    def __init__(self, task: TaskConfig, dimensions: int) -> None:
        """Make a freshly initialised head.

        Raises:
            ConfigError: a residual connection around a layer of another width.
        """
        super().__init__()
        self.normalize = task.normalize
        self.combine = _averaging(dimensions) if task.pooling is Pooling.CLS_MEAN else None
        self.dropout = nn.Dropout(task.head.dropout)
        self.hidden = None
        width = dimensions
        if isinstance(task.head, MlpHead):
            self.hidden = _HiddenLayer(task.name, task.head, dimensions)
            width = self.hidden.width
        self.output = nn.Linear(width, task.logits, dtype=torch.float32)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[..., dimensions] (twice that for CLS_MEAN) to [..., logits]."""
        if self.combine is not None:
            vectors = self.combine(vectors)
        if self.normalize:
            vectors = nn.functional.normalize(vectors, dim=-1)
        vectors = self.dropout(vectors)
        if self.hidden is not None:
            vectors = self.hidden(vectors)
        return self.output(vectors)


class _HiddenLayer(nn.Module):
    """Linear, activation, if so configured the input added and normalisation, dropout."""

    def __init__(self, task: str, config: MlpHead, dimensions: int) -> None:
        super().__init__()
        self.width = config.hidden_size or dimensions
        if config.residual and self.width != dimensions:
            raise ConfigError(
                f"task {task}: a residual head needs the encoder's width, {dimensions}, as its "
                f"hidden_size, not {self.width}"
            )
        self.residual = config.residual
        self.linear = nn.Linear(dimensions, self.width, dtype=torch.float32)
        self.activation = _ACTIVATIONS[config.activation]()
        self.norm = nn.LayerNorm(self.width, dtype=torch.float32) if config.layer_norm else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        hidden = self.activation(self.linear(vectors))
        if self.residual:
            hidden = hidden + vectors
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.dropout(hidden)


def _averaging(dimensions: int) -> nn.Linear:
    layer = nn.Linear(2 * dimensions, dimensions, dtype=torch.float32)
    half = torch.eye(dimensions) / 2
    with torch.no_grad():
        layer.weight.copy_(torch.cat([half, half], dim=1))
        layer.bias.zero_()
    return layer
