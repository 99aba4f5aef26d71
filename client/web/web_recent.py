"""The sentences that were asked about of late, and which of them mean nearly the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# With 384 dimensions they take 1.5 MB, and a request with as many is compared in milliseconds.
LIMIT = 1_000
NEIGHBOURS = 3
# A neighbour is shown in a line or two. And what one request may hold is a mebibyte: a thousand
# sentences of that size would be a gigabyte.
_LONGEST = 2_000


@dataclass(frozen=True)
class Neighbour:
    """A sentence that is near to another."""

    text: str
    similarity: float
    """Cosine of the two embeddings."""
    example: bool
    """Whether nobody asked about it: it is there to begin with."""


@dataclass
class _Known:
    example: bool
    version: str = ""
    vector: Vectors | None = None


class RecentSentences:
    """At most `LIMIT` different sentences, each with its embedding; the oldest go first.

    Embeddings of two versions do not compare, so each has the version that it is of, and only
    those of the version asked about are neighbours. `stale` tells which are to be embedded again.
    """

    def __init__(self, examples: Sequence[str] = ()) -> None:
        self._known = {text: _Known(example=True) for text in examples}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, texts: Sequence[str], version: str, vectors: Vectors) -> None:
        """Remember sentences; those that are known become the newest.

        Args:
            texts: the sentences; those of more than 2,000 characters are passed over.
            version: of the model that embedded them.
            vectors: of unit length, [sentences, dimensions].
        """
        for text, vector in zip(texts, vectors, strict=True):
            if len(text) <= _LONGEST:
                self._known.pop(text, None)
                self._known[text] = _Known(False, version, vector)
        while len(self._known) > LIMIT:
            del self._known[next(iter(self._known))]

    def renew(self, texts: Sequence[str], version: str, vectors: Vectors) -> None:
        """Replace the embeddings of sentences that are still remembered; see `add`."""
        for text, vector in zip(texts, vectors, strict=True):
            known = self._known.get(text)
            if known is not None:
                known.version, known.vector = version, vector

    def stale(self, version: str) -> list[str]:
        """Sentences without an embedding of this version, the newest first."""
        return [text for text, known in reversed(self._known.items()) if known.version != version]

    def nearest(
        self, texts: Sequence[str], version: str, vectors: Vectors
    ) -> list[list[Neighbour]]:
        """The nearest sentences to each of some others, itself excluded.

        Args:
            texts: the sentences.
            version: of the model that embedded them.
            vectors: of unit length, [sentences, dimensions]; zero for those without an answer.
        """
        # A vector of zeros is of a sentence that has no answer, and near to nothing.
        same = [
            (text, known, known.vector)
            for text, known in self._known.items()
            if known.version == version and known.vector is not None and known.vector.any()
        ]
        if not same:
            return [[] for _ in texts]
        cosines = vectors @ np.stack([vector for _, _, vector in same]).T
        found: list[list[Neighbour]] = []
        for text, vector, row in zip(texts, vectors, cosines, strict=True):
            # One more, for the sentence itself may be among them.
            order = np.argsort(-row, kind="stable")[: NEIGHBOURS + 1] if vector.any() else []
            others = [
                Neighbour(same[place][0], float(row[place]), same[place][1].example)
                for place in order
                if same[place][0] != text
            ]
            found.append(others[:NEIGHBOURS])
        return found
