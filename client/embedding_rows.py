"""The embeddings of many sentences as one array, which comes in parts."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import UnansweredSentencesError
from .results import InferResult

Unanswered = Literal["error", "zeros"]
# So many rows are named; whoever wants more of them has `rows` of the error.
_NAMED_ROWS = 3


class EmbeddingRows:
    """Takes results in the order of the sentences."""

    def __init__(self, sentences: int, unanswered: Unanswered) -> None:
        """Begin.

        Args:
            sentences: how many there will be.
            unanswered: what becomes of those without an answer.

        Raises:
            ValueError: `unanswered` is unknown.
        """
        if unanswered not in ("error", "zeros"):
            raise ValueError(f"unanswered is 'error' or 'zeros', not {unanswered!r}")
        self._sentences = sentences
        self._unanswered = unanswered
        self._filled = 0
        self.array: NDArray[np.float32] = np.empty((sentences, 0), np.float32)
        """[sentences, dimensions], as far as it is filled."""

    def add(self, result: InferResult) -> None:
        """Fill the next rows.

        Raises:
            UnansweredSentencesError: some have no embedding.
        """
        if self._unanswered == "error":
            self._refuse(result)
        vectors = np.asarray(result.embeddings, np.float32)
        if not self._filled:
            self.array = np.empty((self._sentences, vectors.shape[1]), np.float32)
        self.array[self._filled : self._filled + len(vectors)] = vectors
        self._filled += len(vectors)

    def _refuse(self, result: InferResult) -> None:
        rows = {
            self._filled + place: status.message
            for place, status in enumerate(result.statuses)
            if not status.ok
        }
        if not rows:
            return
        named = [f"row {row} ({why})" for row, why in list(rows.items())[:_NAMED_ROWS]]
        if len(rows) > _NAMED_ROWS:
            named.append(f"and {len(rows) - _NAMED_ROWS} more")
        raise UnansweredSentencesError(
            f"sentences have no embedding: {', '.join(named)}; leave them out, or say "
            "unanswered='zeros' to have zeros for them",
            rows,
        )
