"""Requests are checked whole, and every fault is named."""

import pytest
from debug_model import DIMENSIONS, debug_model
from twinhead.server.errors import InvalidRequestError, to_status
from twinhead.server.request_check import EmbeddingPlan, check_request
from twinhead.server.service_class import ServiceClass
from twinhead.v1 import inference_service_pb2 as pb

CONFIG = debug_model().config


def check(request: pb.InferRequest):
    return check_request(request, CONFIG, DIMENSIONS, max_sentences=3)


def test_a_bare_request_wants_everything():
    plan = check(pb.InferRequest(sentences=["w1"]))
    assert [task.name for task in plan.tasks] == ["parity", "size"]
    assert plan.embedding is not None
    assert (plan.embedding.dimensions, plan.embedding.normalize) == (DIMENSIONS, CONFIG.normalize)
    assert plan.logits
    assert plan.truncate


def test_what_is_asked_for_is_planned():
    plan = check(
        pb.InferRequest(
            sentences=["w1"],
            outputs=pb.OutputSelection(
                tasks=["size"],
                embedding=pb.EmbeddingOptions(
                    format=pb.EMBEDDING_FORMAT_FLOAT16, normalize=True, dimensions=2
                ),
                logits=False,
            ),
            truncation=pb.TRUNCATION_NONE,
        )
    )
    assert [task.name for task in plan.tasks] == ["size"]
    assert plan.embedding is not None
    assert plan.embedding == EmbeddingPlan(pb.EMBEDDING_FORMAT_FLOAT16, True, 2)
    assert not plan.logits
    assert not plan.truncate


def test_embedding_and_tasks_can_be_left_out():
    none = pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_NONE)
    assert (
        check(
            pb.InferRequest(sentences=["w1"], outputs=pb.OutputSelection(embedding=none))
        ).embedding
        is None
    )
    assert not check(
        pb.InferRequest(sentences=["w1"], outputs=pb.OutputSelection(skip_tasks=True))
    ).tasks


def test_binary_embeddings_need_dimensions_in_eights():
    binary = pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_BINARY)
    with pytest.raises(InvalidRequestError, match="multiple of 8"):
        check(pb.InferRequest(sentences=["w1"], outputs=pb.OutputSelection(embedding=binary)))


def test_a_caller_may_say_which_class_of_service():
    request = pb.InferRequest(sentences=["w1"])
    assert check(request).service_class is ServiceClass.INTERACTIVE
    request.service_class = pb.SERVICE_CLASS_BULK
    assert check(request).service_class is ServiceClass.BULK
    request.service_class = pb.SERVICE_CLASS_INTERACTIVE
    plan = check_request(request, CONFIG, DIMENSIONS, 3, ServiceClass.BULK)
    assert plan.service_class is ServiceClass.INTERACTIVE
    assert not plan.repeatable
    request.repeatable = True
    assert check(request).repeatable


def test_a_flood_of_wrong_names_stays_a_small_error():
    names = [f"task{n}" * 20 for n in range(100_000)]
    with pytest.raises(InvalidRequestError) as caught:
        check(pb.InferRequest(sentences=["w1"], outputs=pb.OutputSelection(tasks=names)))
    assert len(to_status(caught.value).SerializeToString()) < 8000
    assert "100000 names" in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.InferRequest(), ["sentences"]),
        (pb.InferRequest(sentences=["w1"] * 4), ["sentences"]),
        (
            pb.InferRequest(
                sentences=["w1"], outputs=pb.OutputSelection(tasks=["size", "no", "size"])
            ),
            ["outputs.tasks[1]", "outputs.tasks[2]"],
        ),
        (
            pb.InferRequest(
                sentences=["w1"], outputs=pb.OutputSelection(tasks=["size"], skip_tasks=True)
            ),
            ["outputs.skip_tasks"],
        ),
        (
            pb.InferRequest(
                sentences=["w1"],
                outputs=pb.OutputSelection(
                    embedding=pb.EmbeddingOptions(format=99, dimensions=DIMENSIONS + 1)
                ),
                truncation=77,
                service_class=5,
            ),
            [
                "outputs.embedding.format",
                "outputs.embedding.dimensions",
                "truncation",
                "service_class",
            ],
        ),
        (
            pb.InferRequest(
                sentences=["w1"],
                outputs=pb.OutputSelection(
                    skip_tasks=True,
                    embedding=pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_NONE),
                ),
            ),
            ["outputs"],
        ),
        (
            pb.InferRequest(truncation=9, outputs=pb.OutputSelection(tasks=["no"])),
            ["sentences", "outputs.tasks[0]", "truncation"],
        ),
    ],
)
def test_every_violated_field_is_named(request_, fields):
    with pytest.raises(InvalidRequestError) as caught:
        check(request_)
    assert [field for field, _ in caught.value.violations] == fields
