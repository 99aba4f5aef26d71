"""The service `tei.v1.Embed`: text to vectors."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from twinhead.protocols import tei_service_pb2 as tei
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc
from twinhead.v1 import inference_service_pb2 as pb
from typing_extensions import override

from .errors import Context, InvalidRequestError
from .job import Job
from .live_model import LiveModel
from .pipeline import Pipeline
from .reply import normalize
from .tei_errors import refusing
from .tei_question import Question, is_left, refuse_prompt
from .tei_stream import TextStream
from .tensor_wire import packed_floats


@dataclass(frozen=True)
class EmbedQuestion(Question[tei.EmbedResponse]):
    """Asks for a text's vector."""

    normalize: bool
    dimensions: int | None
    """How many of its dimensions; None for all."""

    @override
    def outputs(self, model: LiveModel) -> pb.OutputSelection:
        if self.dimensions is not None and not 0 < self.dimensions <= model.dimensions:
            raise InvalidRequestError(
                [("dimensions", f"{self.dimensions} is not between 1 and {model.dimensions}")]
            )
        return pb.OutputSelection(
            skip_tasks=True,
            embedding=pb.EmbeddingOptions(
                normalize=self.normalize, dimensions=self.dimensions or 0
            ),
        )

    @override
    def rows(self, job: Job) -> Iterator[tei.EmbedResponse]:
        vectors = job.embeddings[:, : self.dimensions]
        for row in normalize(vectors) if self.normalize else vectors:
            answer = tei.EmbedResponse()
            packed_floats(answer, tei.EmbedResponse.EMBEDDINGS_FIELD_NUMBER, row)
            yield answer


class EmbedService(tei_grpc.EmbedServicer):
    """Answers with vectors, one by one or on a stream."""

    EmbedSparse = EmbedSparseStream = refusing("sparse embeddings")
    EmbedAll = EmbedAllStream = refusing("embeddings of tokens")

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Embed(self, request: tei.EmbedRequest, context: Context) -> tei.EmbedResponse:  # noqa: ARG002
        """Answer one text; fails at once when the worker is full."""
        text, question = _read(request)
        return await question.ask(self._pipeline, text)

    async def EmbedStream(
        self, request_iterator: AsyncIterator[tei.EmbedRequest], context: Context
    ) -> None:
        """Answer texts in their order."""
        await TextStream(self._pipeline, _read).answer(request_iterator, context.write)


def _read(request: tei.EmbedRequest) -> tuple[str, EmbedQuestion]:
    refuse_prompt(request.prompt_name)
    question = EmbedQuestion(
        truncate=request.truncate,
        left=is_left(request.truncation_direction),
        normalize=request.normalize if request.HasField("normalize") else True,
        dimensions=request.dimensions if request.HasField("dimensions") else None,
    )
    return request.inputs, question
