"""Output tensors: their names, what is computed for them, and what is in them."""

import dataclasses
import json

import numpy as np
import pytest
from debug_model import debug_model
from hypothesis import given
from hypothesis import strategies as st
from twinhead.model.config import ModelConfig, TaskConfig, TaskKind
from twinhead.server.live_model import LiveModel
from twinhead.server.open_inference_outputs import outputs_of, read_outputs, selection
from twinhead.server.tensor_wire import float32_tensor
from twinhead.v1 import inference_service_pb2 as pb

BASE = debug_model()
KINDS = (
    TaskConfig(name="topic", labels=("Sport", "Größe")),
    TaskConfig(name="urgent", kind=TaskKind.BINARY, labels=("no", "yes")),
    TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("spam", "über", "rude")),
    TaskConfig(name="entities", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER")),
)
OK, EMPTY = pb.SENTENCE_CODE_OK, pb.SENTENCE_CODE_EMPTY


def model_with(*tasks: TaskConfig) -> LiveModel:
    return dataclasses.replace(BASE, config=ModelConfig(encoder="x", tasks=tasks))


def test_the_outputs_of_each_kind_of_task():
    outputs = outputs_of(model_with(*KINDS))
    assert [(each.name, each.datatype, each.width) for each in outputs.values()] == [
        ("embedding", "FP32", (4,)),
        ("topic_logits", "FP32", (2,)),
        ("topic_label", "BYTES", ()),
        ("topic_score", "FP32", ()),
        ("urgent_logits", "FP32", (1,)),
        ("urgent_label", "BYTES", ()),
        ("urgent_score", "FP32", ()),
        ("flags_logits", "FP32", (3,)),
        ("flags_label", "BYTES", ()),
        ("entities_label", "BYTES", ()),
        ("status", "BYTES", ()),
    ]


# Words that names of tensors are made of, put together at will.
WORDS = st.lists(
    st.sampled_from(["status", "embedding", "logits", "label", "score", "x", ""]), min_size=1
)
NAMES = WORDS.map("_".join).filter(lambda name: name[:1].isalpha() and len(name) <= 64)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=12), st.sampled_from(TaskKind))
def test_no_two_outputs_have_one_name(names, kind):
    labels = ("no", "yes")
    outputs = outputs_of(
        model_with(*(TaskConfig(name=name, kind=kind, labels=labels) for name in names))
    )
    each = {TaskKind.TOKEN: 1, TaskKind.MULTI_LABEL: 2}.get(kind, 3)
    assert len(outputs) == 2 + each * len(names)
    assert {output.task for output in outputs.values()} == {"", *names}


@pytest.mark.parametrize(
    ("names", "tasks", "embedding", "logits"),
    [
        (["embedding"], [], True, False),
        (["topic_label"], ["topic"], False, False),
        (["flags_logits", "topic_label", "flags_label"], ["flags", "topic"], False, True),
        (["status", "topic_score"], ["topic"], False, False),
        # Something must be asked for.
        (["status"], [], True, False),
    ],
)
def test_nothing_is_computed_that_nobody_asked_for(names, tasks, embedding, logits):
    known = outputs_of(model_with(*KINDS))
    selected = selection([known[name] for name in names])
    assert list(selected.tasks) == tasks
    assert selected.skip_tasks == (not tasks)
    wanted = pb.EMBEDDING_FORMAT_FLOAT32 if embedding else pb.EMBEDDING_FORMAT_NONE
    assert selected.embedding.format == wanted
    assert selected.logits == logits


def test_what_is_in_each_output():
    sentences = ["Ann läuft", " ", "nothing"]
    embeddings = np.arange(12, dtype=np.float32).reshape(3, 4)
    response = pb.InferResponse(
        embeddings=float32_tensor(embeddings),
        statuses=[pb.SentenceStatus(code=code) for code in (OK, EMPTY, OK)],
        tasks=[
            pb.TaskResult(
                name="topic",
                labels=KINDS[0].labels,
                logits=float32_tensor(embeddings[:, :2]),
                single_label=pb.SingleLabelAnswer(
                    label_indices=[1, -1, 0], scores=[0.75, 0.0, 0.5]
                ),
            ),
            pb.TaskResult(
                name="urgent",
                labels=KINDS[1].labels,
                logits=float32_tensor(embeddings[:, :1]),
                binary=pb.BinaryAnswer(label_indices=[0, -1, 1], probabilities=[0.25, 0.0, 1.0]),
            ),
            pb.TaskResult(
                name="flags",
                labels=KINDS[2].labels,
                logits=float32_tensor(embeddings[:, 1:]),
                multi_label=pb.MultiLabelAnswer(
                    sentences=[
                        pb.LabelSet(label_indices=[1, 0], scores=[0.75, 0.625]),
                        pb.LabelSet(),
                        pb.LabelSet(),
                    ]
                ),
            ),
            pb.TaskResult(
                name="entities",
                labels=KINDS[3].labels,
                token=pb.TokenAnswer(
                    sentences=[
                        pb.EntityList(entities=[pb.Entity(label="PER", start=4, end=9, score=0.5)]),
                        pb.EntityList(),
                        pb.EntityList(),
                    ]
                ),
            ),
        ],
    )
    outputs = outputs_of(model_with(*KINDS))
    read = read_outputs(list(outputs.values()), response, sentences)
    values = dict(zip(outputs, read, strict=True))
    assert {each.dtype.str for each in values.values() if isinstance(each, np.ndarray)} == {"<f4"}
    assert values.pop("embedding").tolist() == embeddings.tolist()
    assert values.pop("topic_logits").tolist() == embeddings[:, :2].tolist()
    assert values.pop("urgent_logits").tolist() == embeddings[:, :1].tolist()
    assert values.pop("flags_logits").tolist() == embeddings[:, 1:].tolist()
    assert values.pop("topic_score").tolist() == [0.75, 0.0, 0.5]
    # Of the label that is given, as with all kinds: not of "yes".
    assert values.pop("urgent_score").tolist() == [0.75, 0.0, 1.0]
    # Rows without an answer are empty, which none and an empty list of labels are not.
    flags, entities = values.pop("flags_label"), values.pop("entities_label")
    assert (flags[1:], entities[1:]) == ([b"", b"[]"], [b"", b"[]"])
    assert json.loads(flags[0]) == [
        {"label": "über", "score": 0.75},
        {"label": "spam", "score": 0.625},
    ]
    assert json.loads(entities[0]) == [
        {"label": "PER", "start": 4, "end": 9, "score": 0.5, "text": "läuft"}
    ]
    assert "läuft".encode() in entities[0]  # as UTF-8, not escaped
    assert values == {
        "topic_label": ["Größe".encode(), b"", b"Sport"],
        "urgent_label": [b"no", b"", b"yes"],
        "status": [b"OK", b"EMPTY", b"OK"],
    }
