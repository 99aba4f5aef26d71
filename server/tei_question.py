"""What callers of `tei.v1` ask of a text: into a request of ours, and its answer back."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from twinhead.protocols import tei_service_pb2 as tei
from twinhead.v1 import inference_service_pb2 as pb

from .errors import InvalidRequestError
from .job import Job
from .live_model import LiveModel
from .pipeline import Accepted, Pipeline


class Answer(Protocol):
    """A message that says what it took."""

    @property
    def metadata(self) -> tei.Metadata:
        """What it took."""
        ...


_DIRECTIONS = frozenset(tei.TruncationDirection.values())

AnswerT = TypeVar("AnswerT", bound=Answer)


@dataclass(frozen=True)
class Question(ABC, Generic[AnswerT]):
    """What is asked of a text; texts that are asked the same can go together."""

    truncate: bool
    """Whether a text that is too long is cut, rather than refused."""
    left: bool
    """Whether its beginning is what goes then."""

    @abstractmethod
    def outputs(self, model: LiveModel) -> pb.OutputSelection:
        """What is wanted of the model.

        Raises:
            ServiceError: it is not to be had.
        """

    @abstractmethod
    def rows(self, job: Job) -> Iterator[AnswerT]:
        """An answer for each text, still without its metadata."""

    async def accept(self, pipeline: Pipeline, texts: Sequence[str], *, wait: bool) -> Accepted:
        """Queue texts; see `Pipeline.accept`."""
        # The same as the pipeline is about to take: nothing is awaited between.
        model = pipeline.serving.model()
        # We cut the end alone. Texts that fit are none the wiser, and others are refused.
        cut = self.truncate and not self.left
        request = pb.InferRequest(
            sentences=texts,
            outputs=self.outputs(model),
            truncation=pb.TRUNCATION_END if cut else pb.TRUNCATION_NONE,
        )
        return await pipeline.accept(request, wait=wait)

    async def ask(self, pipeline: Pipeline, text: str) -> AnswerT:
        """The answer for one text.

        Raises:
            ServiceError: there is none.
        """
        accepted = await self.accept(pipeline, [text], wait=False)
        await pipeline.answer(accepted)
        (answer,) = self.answers(accepted, [len(text)])
        return answer

    def answers(self, accepted: Accepted, characters: Sequence[int]) -> Iterator[AnswerT]:
        """The answers for texts of so many characters that are settled, in their order.

        Raises:
            InvalidRequestError: the next text has none.
        """
        # Of the job itself: of the numbers in the reply each would become an object of Python.
        job = accepted.job
        took = tei.Metadata(
            total_time_ns=int((time.monotonic() - accepted.read) * 1e9),
            tokenization_time_ns=int(job.tokenize_seconds * 1e9),
            queue_time_ns=int(job.queue_seconds * 1e9),
            inference_time_ns=int(job.encode_seconds * 1e9),
        )
        for status, count, answer in zip(
            accepted.statuses, characters, self.rows(job), strict=True
        ):
            self._check(status)
            answer.metadata.CopyFrom(took)
            answer.metadata.compute_chars = count
            answer.metadata.compute_tokens = status.tokens_used
            yield answer

    def _check(self, status: pb.SentenceStatus) -> None:
        if status.code == pb.SENTENCE_CODE_OK:
            return
        text = status.message
        if status.code == pb.SENTENCE_CODE_TOO_LONG:
            text += (
                "; here only the end of a text can be cut (TRUNCATION_DIRECTION_RIGHT)"
                if self.truncate
                else "; with `truncate` its end would be cut"
            )
        raise InvalidRequestError([("inputs", text)])


def is_left(direction: int) -> bool:
    """Whether a direction of truncation is the left.

    Raises:
        InvalidRequestError: it is none that there is.
    """
    if direction not in _DIRECTIONS:
        raise InvalidRequestError([("truncation_direction", f"unknown value {direction}")])
    return direction == tei.TRUNCATION_DIRECTION_LEFT


def refuse_prompt(name: str) -> None:
    """Refuse the name of a prompt.

    Raises:
        InvalidRequestError: there is one.
    """
    if name:
        raise InvalidRequestError(
            [("prompt_name", "the model has no prompts; put the prompt before the text")]
        )
