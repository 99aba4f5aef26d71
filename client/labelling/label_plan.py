"""Which sentences are sent, in which requests: decided by the rows alone.

So the same file makes the same requests whenever it is labelled, and what was answered before an
interruption need not be asked again.
"""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..files.row_batch import RowBatch

# Short sentences by the number, so that answers with embeddings stay small; long ones by what they
# cost: some twenty passes of the encoder, which a worker that is lost has computed in vain.
REQUEST_ROWS = 256
REQUEST_CHARACTERS = 32_768
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class LabelRequest:
    """Sentences that are sent together."""

    number: int
    """Counted from 0 over the run."""
    texts: Sequence[str]
    rows: int
    """Rows of its batch that it answers: a sentence may stand in several."""

    @cached_property
    def digest(self) -> bytes:
        """Tells these sentences from others."""
        whole = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for text in self.texts:
            data = text.encode("utf-8", "surrogatepass")
            whole.update(len(data).to_bytes(4, "little"))
            whole.update(data)
        return whole.digest()


@dataclass(frozen=True)
class PlannedBatch:
    """Rows, and where the answer to each will be."""

    batch: RowBatch
    requests: Sequence[LabelRequest]
    """For what was not asked before."""
    answers: NDArray[np.int64]
    """For each row the number of its sentence, counted from 0 over all requests."""


class LabelPlan:
    """Cuts batches of rows into requests; identical sentences are sent once."""

    def __init__(self, request_rows: int, characters: int, *, known_texts: int) -> None:
        """Begin a run.

        Args:
            request_rows: sentences that the worker takes in one request.
            characters: of a sentence that it reads; what is beyond is not sent.
            known_texts: how many different sentences, at least, are known when they come again
                (150 bytes each); up to twice as many are. 0: each is sent whenever it comes.
        """
        self._request_rows = min(request_rows, REQUEST_ROWS)
        # One more tells the worker that there are more.
        self._characters = characters + 1
        self._known_texts = known_texts
        # Two generations: when the younger is full it takes the elder's place, and what is asked
        # for again is young again. So memory is bounded, and what is frequent stays known.
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._starts = array("q")  # of each request, the number of its first sentence
        self._sentences = 0

    @property
    def requests(self) -> int:
        """Requests so far."""
        return len(self._starts)

    def add(self, batch: RowBatch) -> PlannedBatch:
        """Plan the next rows of the input."""
        texts = [text[: self._characters] for text in batch.texts]
        answers = np.empty(len(texts), dtype=np.int64)
        places = self._new_texts(texts, answers)
        # Like lengths together: then a request pads little.
        places.sort(key=lambda place: len(texts[place[1][0]]))
        requests: list[LabelRequest] = []
        for part in self._cut([(len(texts[rows[0]]), rows) for _, rows in places]):
            self._starts.append(self._sentences)
            for offset, rows in enumerate(part):
                answers[rows] = self._sentences + offset
            requests.append(
                LabelRequest(
                    len(self._starts) - 1, [texts[rows[0]] for rows in part], sum(map(len, part))
                )
            )
            self._sentences += len(part)
        if self._known_texts:
            self._remember(places, answers)
        return PlannedBatch(batch, requests, answers)

    def places(self, answers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The request of each sentence, and its place in that; sentences by their numbers."""
        starts = np.frombuffer(self._starts, dtype=np.int64)
        requests = np.searchsorted(starts, answers, side="right") - 1
        return requests, answers - starts[requests]

    def _new_texts(
        self, texts: Sequence[str], answers: NDArray[np.int64]
    ) -> list[tuple[bytes, list[int]]]:
        """Key and rows of each text that is new; for the others, the answer."""
        if not self._known_texts:
            return [(b"", [row]) for row in range(len(texts))]
        rows_of: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            rows_of.setdefault(text, []).append(row)
        new: list[tuple[bytes, list[int]]] = []
        for text, rows in rows_of.items():
            key = _key(text)
            known = self._known(key)
            if known is None:
                new.append((key, rows))
            else:
                answers[rows] = known
        return new

    def _known(self, key: bytes) -> int | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self._young[key] = found
        return found

    def _remember(
        self, places: Sequence[tuple[bytes, list[int]]], answers: NDArray[np.int64]
    ) -> None:
        for key, rows in places:
            self._young[key] = int(answers[rows[0]])
        if len(self._young) >= self._known_texts:
            self._old, self._young = self._young, {}

    def _cut(self, sized: Sequence[tuple[int, list[int]]]) -> list[list[list[int]]]:
        parts: list[list[list[int]]] = []
        characters = 0
        for size, rows in sized:
            if (
                not parts
                or len(parts[-1]) == self._request_rows
                or characters + size > REQUEST_CHARACTERS
            ):
                parts.append([])
                characters = 0
            parts[-1].append(rows)
            characters += size
        return parts


def _key(text: str) -> bytes:
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
    ).digest()
