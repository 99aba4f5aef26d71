"""A worker that answers at once and computes nothing: what is left is the client.

python bench/echo_worker.py PORT_FILE
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import grpc
import numpy as np
from twinhead.server.tensor_wire import float32_tensor
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_service_pb2, task_kind_pb2
from twinhead.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from twinhead.v1.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)

DIMENSIONS = 384
TASKS = {
    "topic": ["World", "Sports", "Business", "Sci/Tech"],
    "sentiment": ["negative", "neutral", "positive"],
}
VERSION = "echo000000000000"


@lru_cache
def response_for(count: int, with_embeddings: bool) -> pb.InferResponse:
    """The same answer for every batch of `count` sentences."""
    rng = np.random.default_rng(count)
    response = pb.InferResponse(model_version=VERSION)
    for name, labels in TASKS.items():
        result = response.tasks.add(
            name=name, kind=task_kind_pb2.TASK_KIND_SINGLE_LABEL, labels=labels
        )
        result.single_label.label_indices.extend(rng.integers(0, len(labels), count).tolist())
        result.single_label.scores.extend(rng.uniform(0.3, 1, count).tolist())
    if with_embeddings:
        vectors = rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
        response.embeddings.CopyFrom(float32_tensor(vectors))
    for _ in range(count):
        response.statuses.add(code=pb.SENTENCE_CODE_OK, tokens=20, tokens_used=20)
    return response


class Echo(InferenceServiceServicer, ModelServiceServicer):
    """Answers without a model."""

    def StreamInfer(self, request_iterator, context):
        """Answer each batch of a stream."""
        for item in request_iterator:
            wanted = item.request.outputs.embedding.format != pb.EMBEDDING_FORMAT_NONE
            yield pb.StreamInferResponse(
                batch_id=item.batch_id, response=response_for(len(item.request.sentences), wanted)
            )

    def GetModel(self, request, context):
        """Describe the model that is not there."""
        return model_service_pb2.GetModelResponse(
            model_version=VERSION,
            tasks=[
                model_service_pb2.TaskInfo(
                    name=name, kind=task_kind_pb2.TASK_KIND_SINGLE_LABEL, labels=labels
                )
                for name, labels in TASKS.items()
            ],
            embedding_dimensions=DIMENSIONS,
            limits=model_service_pb2.ModelLimits(
                sentences_per_request=1024,
                request_bytes=16 * 1024 * 1024,
                tokens_per_sentence=256,
                characters_per_sentence=100_000,
            ),
        )


def main() -> None:
    """Serve until killed."""
    server = grpc.server(ThreadPoolExecutor(4))
    echo = Echo()
    add_InferenceServiceServicer_to_server(echo, server)
    add_ModelServiceServicer_to_server(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    Path(sys.argv[1]).write_text(str(port))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
