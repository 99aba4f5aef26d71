"""Responses read as numpy arrays."""

import numpy as np
import pytest
import text_answers
from twinhead.client.results import (
    BinaryAnswer,
    InferResult,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TaskAnswer,
    TokenAnswer,
    read_model,
    read_result,
    read_tensor,
)
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


ODD = [0x7FC00000, 0x7F800001, 0xFFC12345, 0x7F800000, 0xFF800000, 0x80000000, 0x00000001]


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (1, 7), (3, 5), (256, 384), (40, 30, 2)])
def test_floats_of_any_count_are_read_to_the_bit(shape):
    array = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    odd = np.array(ODD, np.uint32).view(np.float32)  # not-a-numbers, infinities, -0, the smallest
    array.reshape(-1)[: len(odd)] = odd[: array.size]
    tensor = float32_tensor(array)
    for sent in (tensor, pb.Tensor.FromString(tensor.SerializeToString())):
        read = read_tensor(sent)
        assert (read.dtype, read.shape) == (np.float32, shape)
        assert read.tobytes() == array.tobytes()
        read[...] = 0  # it is the reader's own
        assert read_tensor(sent).tobytes() == array.tobytes()


def test_what_else_a_tensor_holds_is_not_read_as_floats():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = float32_tensor(array)
    tensor.raw = b"raw bytes"
    tensor.row_scales.extend([1.5, 2.5])
    # Fields of a newer worker, before and behind the others: a number, and eight bytes.
    newer = bytes([0x78, 0x01]) + tensor.SerializeToString() + bytes([0x82, 0x01, 8]) + b"newer..."
    for data in (tensor.SerializeToString(), newer):
        sent = pb.Tensor.FromString(data)
        np.testing.assert_array_equal(read_tensor(sent), array)
        assert sent.SerializeToString() == pb.Tensor.FromString(data).SerializeToString()


def test_floats_that_were_sent_one_by_one_are_read_alike():
    """As an encoder may that knows nothing of packed fields."""
    values = np.array([1.5, -2.25, 3.0], np.float32)
    one_by_one = b"".join(bytes([0x1D]) + value.tobytes() for value in values)
    tensor = pb.Tensor.FromString(one_by_one + pb.Tensor(shape=[3], dtype=1).SerializeToString())
    np.testing.assert_array_equal(read_tensor(tensor), values)


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


@pytest.fixture
def every_kind() -> InferResult:
    return read_result(text_answers.respond(["Ann", ""]))


@pytest.mark.parametrize(
    ("name", "kind", "accessor"),
    [
        ("topic", SingleLabelAnswer, InferResult.single_label),
        ("urgent", BinaryAnswer, InferResult.binary),
        ("tags", MultiLabelAnswer, InferResult.multi_label),
        ("names", TokenAnswer, InferResult.token),
    ],
)
def test_an_answer_is_had_by_its_kind(every_kind, name, kind, accessor):
    answer = accessor(every_kind, name)
    assert type(answer) is kind
    assert answer is every_kind[name] is every_kind.tasks[name]
    for other in {*every_kind.tasks} - {name}:
        with pytest.raises(TypeError, match=f"the answer of '{other}' is a .*Answer"):
            accessor(every_kind, other)
    with pytest.raises(KeyError, match="no answer of a task 'mood'; there are topic, urgent"):
        accessor(every_kind, "mood")


def test_a_task_without_an_answer_is_told_with_those_that_have_one(every_kind):
    with pytest.raises(KeyError, match="'mood'; there are topic, urgent, tags, names"):
        every_kind["mood"]
    with pytest.raises(KeyError, match="there are none"):
        read_result(pb.InferResponse())["topic"]


def test_what_an_older_worker_does_not_say_of_a_task_is_that_it_has_no_temperature():
    response = model_service_pb2.GetModelResponse(
        tasks=[
            model_service_pb2.TaskInfo(name="old"),
            model_service_pb2.TaskInfo(name="new", temperature=2.5),
        ]
    )
    tasks = read_model(response).tasks
    assert {name: task.temperature for name, task in tasks.items()} == {"old": 1.0, "new": 2.5}
