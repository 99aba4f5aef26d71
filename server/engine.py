"""What runs a model: the interface that every engine has."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it imports torch
    from ..model.network import Network

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class EngineOutput:
    """What one encoder pass gives, one row a sentence."""

    embeddings: FloatArray
    """Not normalised, [batch, dimensions]."""
    logits: Mapping[str, FloatArray]
    """For each task asked for, [batch, logits]; of a token task [batch, tokens, labels]."""


class Engine(Protocol):
    """Something that runs a model; used from one thread at a time."""

    name: str
    precision: str
    device: str

    def encode(self, ids: Sequence[Sequence[int]], tasks: Collection[str]) -> EngineOutput:
        """Encode sentences (token ids, any lengths) in one pass and run the heads of `tasks`."""
        ...

    def renewed(self, network: "Network") -> "Engine":
        """An engine with the same settings for another network; may be called from any thread."""
        ...
