"""Responses read as numpy arrays."""

import numpy as np
import pytest
from twinhead.client.results import TaskAnswer, read_model, read_result, read_tensor
from twinhead.server.tensor_wire import float16_tensor, float32_tensor
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_service_pb2, task_kind_pb2


def test_tensors_survive_the_wire_to_the_bit():
    array = np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    read = read_tensor(pb.Tensor.FromString(float32_tensor(array).SerializeToString()))
    assert read.dtype == np.float32
    assert read.tobytes() == array.tobytes()
    half = array.astype(np.float16)
    read = read_tensor(pb.Tensor.FromString(float16_tensor(half).SerializeToString()))
    assert read.tobytes() == half.tobytes()


def test_an_unknown_element_type_is_told():
    with pytest.raises(ValueError, match="older than the worker"):
        read_tensor(pb.Tensor(shape=[1], dtype=99))


def test_what_a_newer_worker_sends_does_not_break_an_older_client():
    response = pb.InferResponse(
        tasks=[pb.TaskResult(name="t", kind=99, labels=["a"])],
        statuses=[pb.SentenceStatus(code=42, message="new")],
    )
    result = read_result(response)
    assert type(result["t"]) is TaskAnswer
    assert result["t"].label_names == ("a",)
    assert result.statuses[0].code == "code_42"
    assert not result.statuses[0].ok


def test_labels_are_named():
    response = pb.InferResponse(
        model_version="v",
        tasks=[
            pb.TaskResult(
                name="t",
                kind=task_kind_pb2.TASK_KIND_SINGLE_LABEL,
                labels=["no", "yes"],
                single_label=pb.SingleLabelAnswer(label_indices=[1, -1, 0], scores=[0.9, 0, 0.6]),
            )
        ],
        statuses=[
            pb.SentenceStatus(code=pb.SENTENCE_CODE_OK),
            pb.SentenceStatus(code=pb.SENTENCE_CODE_EMPTY, message="the sentence is empty"),
            pb.SentenceStatus(code=pb.SENTENCE_CODE_OK, truncated=True, tokens=9, tokens_used=4),
        ],
    )
    result = read_result(response)
    assert result["t"].labels == ["yes", None, "no"]
    assert [status.code for status in result.statuses] == ["ok", "empty", "ok"]
    assert result.statuses[2].truncated
    assert result.embeddings is None
    assert result["t"].logits is None


def test_what_an_older_worker_does_not_say_of_a_task_is_that_it_has_no_temperature():
    response = model_service_pb2.GetModelResponse(
        tasks=[
            model_service_pb2.TaskInfo(name="old"),
            model_service_pb2.TaskInfo(name="new", temperature=2.5),
        ]
    )
    tasks = read_model(response).tasks
    assert {name: task.temperature for name, task in tasks.items()} == {"old": 1.0, "new": 2.5}
