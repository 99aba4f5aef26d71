"""The service `tei.v1.Info`: what the worker serves."""

from importlib.metadata import version

from twinhead.protocols import tei_service_pb2 as tei
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc

from .errors import Context
from .pipeline import TEXT_THREADS, Pipeline, max_sentences


class InfoService(tei_grpc.InfoServicer):
    """Answers questions about the live model."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._release = version("twinhead")

    async def Info(self, request: tei.InfoRequest, context: Context) -> tei.InfoResponse:  # noqa: ARG002
        """Describe the live model."""
        settings, model = self._pipeline.settings, self._pipeline.serving.model()
        return tei.InfoResponse(
            version=self._release,
            model_id=model.config.encoder,
            model_sha=model.version,
            model_dtype=model.engine.precision,
            # What every model here does; whether it has heads as well has no value of its own.
            model_type=tei.MODEL_TYPE_EMBEDDING,
            max_concurrent_requests=settings.concurrent_calls,
            max_input_length=model.config.max_tokens,
            max_batch_tokens=settings.queue_tokens,
            max_client_batch_size=max_sentences(settings, model),
            tokenization_workers=TEXT_THREADS,
        )
