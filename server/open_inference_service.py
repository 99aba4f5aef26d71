"""The Open Inference Protocol: callers that know models by name, and data as tensors."""

from collections.abc import Callable
from importlib.metadata import version

from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.protocols import open_inference_service_pb2_grpc as oip_grpc
from twinhead.v1 import inference_service_pb2 as pb

from .errors import Context, UnknownModelError, VersionNotLiveError
from .live_model import LiveModel
from .open_inference_outputs import outputs_of, read_outputs
from .open_inference_request import INPUT, CheckedRequest, check_model_infer
from .open_inference_tensors import fill, pack, shape_of
from .pipeline import Pipeline, max_sentences

# Made as the specification makes its own: who runs it, and what its weights are in.
_PLATFORM = "twinhead_safetensors"
# The one of Triton's extensions that is spoken: requests may carry parameters.
_EXTENSIONS = ("parameters",)


class OpenInferenceService(oip_grpc.GRPCInferenceServiceServicer):
    """Answers batches that come as tensors, and questions about the model."""

    def __init__(self, pipeline: Pipeline, ready: Callable[[], bool]) -> None:
        """Serve what a pipeline answers.

        Args:
            pipeline: the way of each batch.
            ready: tells whether the worker serves.
        """
        self._pipeline = pipeline
        self._serving = pipeline.serving
        self._name = pipeline.settings.model_name
        self._ready = ready
        self._release = version("twinhead")

    async def ServerLive(
        self,
        request: oip.ServerLiveRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> oip.ServerLiveResponse:
        """Say that the process answers."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(
        self,
        request: oip.ServerReadyRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> oip.ServerReadyResponse:
        """Say whether the worker serves."""
        return oip.ServerReadyResponse(ready=self._ready())

    async def ModelReady(
        self,
        request: oip.ModelReadyRequest,
        context: Context,  # noqa: ARG002
    ) -> oip.ModelReadyResponse:
        """Say whether a model answers; of one that is not here that it does not, as Triton does."""
        known = request.name == self._name and request.version in ("", *self._versions())
        return oip.ModelReadyResponse(ready=known and self._ready())

    async def ServerMetadata(
        self,
        request: oip.ServerMetadataRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> oip.ServerMetadataResponse:
        """Describe the worker."""
        return oip.ServerMetadataResponse(
            name="twinhead", version=self._release, extensions=_EXTENSIONS
        )

    async def ModelMetadata(
        self,
        request: oip.ModelMetadataRequest,
        context: Context,  # noqa: ARG002
    ) -> oip.ModelMetadataResponse:
        """Describe a version of the model."""
        model = self._model(request.name, request.version)
        tensor = oip.ModelMetadataResponse.TensorMetadata
        return oip.ModelMetadataResponse(
            name=self._name,
            versions=self._versions(),
            platform=_PLATFORM,
            inputs=[tensor(name=INPUT, datatype="BYTES", shape=[-1])],
            outputs=[
                tensor(name=output.name, datatype=output.datatype, shape=[-1, *output.width])
                for output in outputs_of(model).values()
            ],
        )

    async def ModelInfer(
        self,
        request: oip.ModelInferRequest,
        context: Context,  # noqa: ARG002
    ) -> oip.ModelInferResponse:
        """Answer one batch; fails at once when the worker is full."""
        model = self._model(request.model_name, request.model_version)
        most = max_sentences(self._pipeline.settings, model)
        checked = check_model_infer(request, model, most)
        answer = await self._pipeline.infer(checked.infer)
        response = oip.ModelInferResponse(
            model_name=self._name, model_version=answer.model_version, id=request.id
        )
        if any(task.HasField("token") or task.HasField("multi_label") for task in answer.tasks):
            # They are written as JSON, object by object: it would hold up the event loop.
            await self._pipeline.in_thread(lambda: _add_outputs(response, checked, answer))
        else:
            _add_outputs(response, checked, answer)
        return response

    def _versions(self) -> list[str]:
        """Ids of the versions that may be asked for."""
        models = (self._serving.live, self._serving.previous)
        return [model.version for model in models if model is not None]

    def _model(self, name: str, wanted: str) -> LiveModel:
        if name != self._name:
            raise UnknownModelError("model", name, self._name)
        try:
            return self._serving.model(wanted)
        except VersionNotLiveError as error:
            raise UnknownModelError("version", wanted, self._versions()[0]) from error


def _add_outputs(
    response: oip.ModelInferResponse, checked: CheckedRequest, answer: pb.InferResponse
) -> None:
    sentences = checked.infer.sentences
    for output, values in zip(
        checked.outputs, read_outputs(checked.outputs, answer, sentences), strict=True
    ):
        tensor = response.outputs.add(
            name=output.name, datatype=output.datatype, shape=shape_of(values)
        )
        if checked.raw:
            response.raw_output_contents.append(pack(values))
        else:
            fill(tensor.contents, values)
    for name, count in (
        ("failed_sentences", sum(each.code != pb.SENTENCE_CODE_OK for each in answer.statuses)),
        ("truncated_sentences", sum(each.truncated for each in answer.statuses)),
    ):
        if count:
            response.parameters[name].int64_param = count
