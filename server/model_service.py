"""Describes what the worker serves."""

from importlib.metadata import version

from twinhead.v1 import model_service_pb2 as pb
from twinhead.v1 import model_service_pb2_grpc as pb_grpc

from .answers import TASK_KINDS
from .errors import Context, abort
from .inference_service import max_sentences
from .live_model import Serving
from .settings import WorkerSettings


class ModelService(pb_grpc.ModelServiceServicer):
    """Answers questions about the live model."""

    def __init__(self, serving: Serving, settings: WorkerSettings) -> None:
        self._serving = serving
        self._settings = settings
        self._release = version("twinhead")

    async def GetModel(
        self,
        request: pb.GetModelRequest,  # noqa: ARG002 (it is empty)
        context: Context,
    ) -> pb.GetModelResponse:
        """Return the live model's description."""
        try:
            model = self._serving.model()
        except Exception as error:
            await abort(context, error)
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
