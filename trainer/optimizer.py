"""AdamW with a rate for each layer, and the course of the rate over the steps."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..model.layers import layers_of
from .freezing import parts_of
from .multi_task_model import MultiTaskModel
from .recipe import Decay, TrainingRecipe


def make_optimizer(model: MultiTaskModel, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW over all parameters, those that are frozen at first included: they may thaw later.

    A frozen parameter has no gradient, and AdamW leaves it alone, decay included.
    """
    parts = parts_of(model.network)
    highest = len(layers_of(model.network.encoder))
    groups: list[dict[str, Any]] = []

    def add(parameters: list[nn.Parameter], rate: float, decay: float) -> None:
        if parameters:
            groups.append({"params": parameters, "lr": rate, "weight_decay": decay})

    for part in parts:
        if part.height is None:
            rate = recipe.head_learning_rate
        else:
            rate = recipe.learning_rate * recipe.layer_decay ** max(0, highest - part.height)
        # Norms and biases are vectors; decay would only pull them from their right size.
        add([p for p in part.parameters if p.ndim >= 2], rate, recipe.weight_decay)
        add([p for p in part.parameters if p.ndim < 2], rate, 0.0)
    add(list(model.weights.parameters()), recipe.head_learning_rate, 0.0)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def rate_course(recipe: TrainingRecipe, steps: int) -> Callable[[int], float]:
    """Share of the full rate at each step of `steps`: warm-up, then decay to 0."""
    warmup = round(recipe.warmup * steps)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        left = (steps - step) / max(1, steps - warmup)
        match recipe.decay:
            case Decay.CONSTANT:
                return 1.0
            case Decay.LINEAR:
                return max(0.0, left)
            case Decay.COSINE:
                return 0.5 * (1 + math.cos(math.pi * (1 - max(0.0, left))))

    return share
