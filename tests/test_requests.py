"""What a caller wants, as messages."""

import numpy as np
import pandas as pd
import pytest
from twinhead.client.requests import InferOptions, build_request
from twinhead.v1 import inference_service_pb2 as pb


def test_the_defaults_ask_for_everything():
    request = build_request(["a", "b"], InferOptions())
    assert list(request.sentences) == ["a", "b"]
    assert request.outputs.embedding.format == pb.EMBEDDING_FORMAT_FLOAT32
    assert not request.outputs.embedding.HasField("normalize")
    assert not request.outputs.tasks
    assert not request.outputs.skip_tasks
    assert request.outputs.logits
    assert request.truncation == pb.TRUNCATION_END
    assert request.model_version == ""


def test_every_option_is_sent():
    request = build_request(
        ["a"],
        InferOptions(
            tasks=["x"],
            embedding="float16",
            normalize=False,
            dimensions=5,
            logits=False,
            truncate=False,
            model_version="v",
            service_class="bulk",
            repeatable=True,
        ),
    )
    assert list(request.outputs.tasks) == ["x"]
    assert request.outputs.embedding == pb.EmbeddingOptions(
        format=pb.EMBEDDING_FORMAT_FLOAT16, normalize=False, dimensions=5
    )
    assert not request.outputs.logits
    assert request.truncation == pb.TRUNCATION_NONE
    assert request.model_version == "v"
    assert request.service_class == pb.SERVICE_CLASS_BULK
    assert request.repeatable


def test_no_task_and_all_tasks_are_told_apart():
    assert build_request(["a"], InferOptions(tasks=())).outputs.skip_tasks


@pytest.mark.parametrize("asked", [np.array(["a", "b"]), pd.Series(["a", "b"]), ("a", "b")])
def test_sentences_come_in_every_form(asked):
    assert list(build_request(asked, InferOptions()).sentences) == ["a", "b"]


def test_what_is_no_sentence_is_told_with_its_row():
    with pytest.raises(TypeError, match="row 1 is no string but None"):
        build_request(["a", None], InferOptions())


def test_what_cannot_be_sent_is_told_with_its_row():
    torn = b"caf\xe9 au lait".decode(errors="surrogateescape")
    with pytest.raises(ValueError, match=r"row 2 cannot be sent as UTF-8: .* .character 3.*escape"):
        build_request(["a", "b", torn], InferOptions())


def test_one_task_is_not_taken_for_a_list_of_letters():
    with pytest.raises(TypeError, match="tasks must be a list of names, not one str"):
        build_request(["a"], InferOptions(tasks="topic"))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (InferOptions(embedding="float8"), "float16"),
        (InferOptions(dimensions=0), "1 or more"),
        (InferOptions(service_class="fast"), "'interactive', 'bulk'"),
    ],
)
def test_what_cannot_be_asked(options, error):
    with pytest.raises(ValueError, match=error):
        build_request(["a"], options)
