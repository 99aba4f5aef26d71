"""What runs a model: the interface that every engine has."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it imports torch
    from ...model.checkpoint import Checkpoint

FloatArray = NDArray[np.float32]


class EngineError(Exception):
    """An engine, a device or a precision that is not to be had here; the text says what to do."""


@dataclass(frozen=True)
class EngineOutput:
    """What one encoder pass gives, one row a sentence."""

    embeddings: FloatArray
    """Not normalised, [batch, dimensions]."""
    logits: Mapping[str, FloatArray]
    """For each task asked for, [batch, logits]; of a token task [batch, tokens, labels]."""


class Engine(Protocol):
    """Something that runs a model."""

    name: str
    precision: str
    device: str
    streams: int
    """Passes that may run at once, each from a thread of its own."""
    widens: bool
    """Whether a pass that runs alone can take the processor's share of the other streams, too."""
    pass_tokens: int
    """What a pass takes beside the work on its tokens, as a number of tokens."""

    def padded_shape(self, sentences: int, tokens: int) -> tuple[int, int]:
        """What so many sentences, the longest of so many tokens, are padded to for a pass."""
        ...

    def encode(
        self, ids: Sequence[Sequence[int]], tasks: Collection[str], *, alone: bool = False
    ) -> EngineOutput:
        """Encode sentences (token ids, any lengths) in one pass and run the heads of `tasks`.

        No other pass runs beside it if it is `alone`.
        """
        ...

    def renewed(self, checkpoint: "Checkpoint") -> "Engine":
        """An engine with the same settings for another model; may be called from any thread.

        Raises:
            EngineError: it cannot run that one.
        """
        ...


def padded(
    ids: Sequence[Sequence[int]], shape: tuple[int, int] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids as one array, and which of its places are tokens, both [batch, tokens].

    Args:
        ids: of each sentence.
        shape: of the arrays, if they are to be larger than the sentences are. Sentences that are
            not there are one token each, since some encoders make no finite numbers of none.
    """
    input_ids = np.zeros(shape or (len(ids), max(map(len, ids))), dtype=np.int64)
    mask = np.zeros_like(input_ids)
    mask[len(ids) :, 0] = 1
    for row, sentence in enumerate(ids):
        input_ids[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    return input_ids, mask
