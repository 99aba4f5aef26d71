"""Describes what the worker serves."""

from importlib.metadata import version

from twinhead.v1 import model_service_pb2 as pb
from twinhead.v1 import model_service_pb2_grpc as pb_grpc

from .answers import TASK_KINDS
from .errors import Context, QueueFullError
from .live_model import LiveModel, Serving, Swap
from .pipeline import max_sentences
from .settings import WorkerSettings

# Subscribers that are cut off may soon come again.
_WATCH_RETRY_SECONDS = 1.0


class ModelService(pb_grpc.ModelServiceServicer):
    """Answers questions about the live model."""

    def __init__(self, serving: Serving, settings: WorkerSettings) -> None:
        self._serving = serving
        self._settings = settings
        self._release = version("twinhead")

    async def GetModel(
        self,
        request: pb.GetModelRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> pb.GetModelResponse:
        """Return the live model's description."""
        return self._describe(self._serving.model())

    async def WatchModel(
        self,
        request: pb.WatchModelRequest,  # noqa: ARG002 (it is empty)
        context: Context,
    ) -> None:
        """Tell of the live model, and of each that follows."""
        with self._serving.subscribed() as swaps, self._serving.until_draining() as first:
            swap = Swap(self._serving.model(), "")
            while True:
                await context.write(
                    pb.WatchModelResponse(
                        model=self._describe(swap.model), previous_version=swap.previous
                    )
                )
                swap = await first(swaps.get())
                if not self._serving.keeps_up(swaps) and swaps.empty():
                    raise QueueFullError(_WATCH_RETRY_SECONDS)

    def _describe(self, model: LiveModel) -> pb.GetModelResponse:
        return pb.GetModelResponse(
            model_version=model.version,
            encoder=model.config.encoder,
            tasks=[
                pb.TaskInfo(
                    name=task.name,
                    kind=TASK_KINDS[task.kind],
                    labels=task.labels,
                    thresholds=task.effective_thresholds,
                    temperature=task.temperature,
                )
                for task in model.config.tasks
            ],
            embedding_dimensions=model.dimensions,
            normalize=model.config.normalize,
            limits=pb.ModelLimits(
                sentences_per_request=max_sentences(self._settings, model),
                request_bytes=self._settings.request_bytes,
                tokens_per_sentence=model.config.max_tokens,
                characters_per_sentence=self._settings.characters_per_sentence,
            ),
            engine=model.engine.name,
            precision=model.engine.precision,
            device=model.engine.device,
            worker_release=self._release,
        )
