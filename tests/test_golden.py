"""The bytes of a response for each kind of task, so that an accidental change is seen.

After a change that is meant: python tests/test_golden.py
"""

from pathlib import Path

import numpy as np
import pytest
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.answers import (
    TASK_KINDS,
    binary_answer,
    multi_label_answer,
    single_label_answer,
    token_answer,
)
from twinhead.server.tensor_wire import bit_tensor, float16_tensor, float32_tensor, int8_tensor
from twinhead.v1 import inference_service_pb2 as pb

GOLDEN = Path(__file__).with_name("golden")
ANSWERED = np.array([True, False])
# Values whose softmax and sigmoid are exact, so that the bytes are the same on every processor.
ZEROS = np.zeros((2, 2), dtype=np.float32)
VECTORS = np.array([[1, -0.5, 0.25, 0, 2, -2, 4, 8], [0] * 8], dtype=np.float32)
TENSORS = {
    TaskKind.SINGLE_LABEL: float32_tensor,
    TaskKind.BINARY: float16_tensor,
    TaskKind.MULTI_LABEL: int8_tensor,
    TaskKind.TOKEN: bit_tensor,
}


def response(kind: TaskKind) -> pb.InferResponse:
    """A response with a task of this kind, and with one of the four kinds of tensor."""
    task = TaskConfig(name="task", kind=kind, labels=("B-X", "O"))
    result = pb.TaskResult(name=task.name, kind=TASK_KINDS[kind], labels=task.labels)
    match kind:
        case TaskKind.SINGLE_LABEL:
            result.single_label.CopyFrom(single_label_answer(task, ZEROS, ANSWERED))
        case TaskKind.BINARY:
            result.binary.CopyFrom(binary_answer(task, ZEROS[:, :1], ANSWERED))
        case TaskKind.MULTI_LABEL:
            result.multi_label.CopyFrom(multi_label_answer(task, ZEROS, ANSWERED))
        case TaskKind.TOKEN:
            tokens = TokenizedSentence([1, 2, 3], 3, [(0, 0), (2, 4), (0, 0)])
            logits = [np.zeros((3, 2), np.float32), np.zeros((0, 2), np.float32)]
            result.token.CopyFrom(
                token_answer(task, logits, ["😀 Hé", ""], [tokens, None], with_logits=True)
            )
    if kind is not TaskKind.TOKEN:
        result.logits.CopyFrom(float32_tensor(ZEROS[:, : task.logits]))
    return pb.InferResponse(
        model_version="0123456789abcdef",
        embeddings=TENSORS[kind](VECTORS),
        tasks=[result],
        statuses=[
            pb.SentenceStatus(
                code=pb.SENTENCE_CODE_OK, truncated=True, tokens=300, tokens_used=256
            ),
            pb.SentenceStatus(code=pb.SENTENCE_CODE_EMPTY, message="the sentence is empty"),
        ],
    )


@pytest.mark.parametrize("kind", TaskKind)
def test_the_bytes_are_those_of_the_golden_file(kind):
    golden = (GOLDEN / f"{kind}.binpb").read_bytes()
    made = response(kind)
    assert made == pb.InferResponse.FromString(golden)
    assert made.SerializeToString(deterministic=True) == golden


if __name__ == "__main__":
    for each in TaskKind:
        data = response(each).SerializeToString(deterministic=True)
        (GOLDEN / f"{each}.binpb").write_bytes(data)
