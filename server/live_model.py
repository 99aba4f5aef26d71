"""The model that answers, and whether the worker serves at all."""

import asyncio
from dataclasses import dataclass
from functools import cached_property

from ..model.config import ModelConfig
from ..model.tokenizer import Tokenizer
from .engine import Engine
from .errors import NotServingError, VersionNotLiveError

# Answers stay under the 4 MiB that gRPC clients accept by default, with room for the statuses.
_ANSWER_BYTES = 4 * 1024 * 1024 - 128 * 1024
# A status takes about 30 bytes, a label and its score 10.
_ROW_OVERHEAD_BYTES = 64


@dataclass(frozen=True, eq=False)
class LiveModel:
    """A version, whole and unchangeable: whoever holds one answers by it to the end."""

    version: str
    config: ModelConfig
    dimensions: int
    """Length of an embedding."""
    tokenizer: Tokenizer
    engine: Engine

    @cached_property
    def sentences_per_answer(self) -> int:
        """Sentences whose answer stays under the size that clients accept; at least one."""
        labels = [label for task in self.config.tasks for label in task.labels]
        row_bytes = 4 * (self.dimensions + len(labels)) + _ROW_OVERHEAD_BYTES
        # Label names travel once in every answer, with two or three bytes before each.
        fixed_bytes = sum(len(label.encode()) + 3 for label in labels)
        return max(1, (_ANSWER_BYTES - fixed_bytes) // row_bytes)


class Serving:
    """What the worker serves: nothing yet, a model, or nothing any more."""

    def __init__(self) -> None:
        self._model: LiveModel | None = None
        self.draining = asyncio.Event()

    def publish(self, model: LiveModel) -> None:
        """Make a model the live one: one assignment."""
        self._model = model

    def drain(self) -> None:
        """Take no new work from now on."""
        self.draining.set()

    def model(self, version: str = "") -> LiveModel:
        """The live model.

        Args:
            version: the version that it must be; empty for any.

        Raises:
            NotServingError: starting or draining.
            VersionNotLiveError: another version is live.
        """
        if self.draining.is_set() or self._model is None:
            raise NotServingError(draining=self.draining.is_set())
        if version and version != self._model.version:
            raise VersionNotLiveError(version, self._model.version)
        return self._model
