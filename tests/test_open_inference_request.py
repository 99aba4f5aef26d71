"""Requests as tensors: what they mean in our own contract, and every fault that they can have."""

from base64 import b64encode
from urllib.parse import quote

import pytest
from debug_model import debug_model
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest
from hypothesis import given
from hypothesis import strategies as st
from test_open_inference_parameters import parameter
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.server.errors import InvalidRequestError, to_status
from twinhead.server.open_inference_outputs import outputs_of
from twinhead.server.open_inference_request import CheckedRequest, check_model_infer
from twinhead.server.open_inference_tensors import pack
from twinhead.v1 import inference_service_pb2 as pb

MODEL = debug_model()
MOST = 10
TEXTS = ["w1", "ähm 🦊", ""]

Tensor = oip.ModelInferRequest.InferInputTensor
Wanted = oip.ModelInferRequest.InferRequestedOutputTensor


def text_input(shape, **fields) -> Tensor:
    return Tensor(name="text", datatype="BYTES", shape=shape, **fields)


def raw_request(texts=TEXTS, **fields) -> oip.ModelInferRequest:
    """A request as tritonclient sends it."""
    return oip.ModelInferRequest(
        **{
            "model_name": "twinhead",
            "inputs": [text_input([len(texts)])],
            "raw_input_contents": [pack([text.encode() for text in texts])],
        }
        | fields
    )


def typed_request(texts=TEXTS, shape=None, **fields) -> oip.ModelInferRequest:
    contents = oip.InferTensorContents(bytes_contents=[text.encode() for text in texts])
    tensor = text_input(shape or [len(texts)], contents=contents)
    return oip.ModelInferRequest(model_name="twinhead", inputs=[tensor], **fields)


def check(request: oip.ModelInferRequest, most: int = MOST) -> CheckedRequest:
    return check_model_infer(request, MODEL, most)


def violations_of(request: oip.ModelInferRequest) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as caught:
        check(request)
    return caught.value.violations


@pytest.mark.parametrize("columns", [[], [1]])
def test_the_texts_of_a_request_raw_and_typed(columns):
    shape = [len(TEXTS), *columns]
    raw = check(raw_request(inputs=[text_input(shape)]))
    typed = check(typed_request(shape=shape))
    assert (raw.raw, typed.raw) == (True, False)
    assert raw.infer == typed.infer
    assert list(raw.infer.sentences) == TEXTS
    assert raw.infer.model_version == "debug0"


def test_without_choice_everything_is_wanted():
    checked = check(raw_request())
    assert list(checked.outputs) == list(outputs_of(MODEL).values())
    assert checked.infer.outputs == pb.OutputSelection(
        tasks=["parity", "size"],
        embedding=pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_FLOAT32),
        logits=True,
    )
    for name in ("truncation", "service_class"):
        assert getattr(checked.infer, name) == 0  # what our own contract has for it
    assert not checked.infer.repeatable


def test_chosen_outputs_stay_in_their_order():
    names = ["size_score", "embedding", "size_label"]
    checked = check(raw_request(outputs=[Wanted(name=name) for name in names]))
    assert [output.name for output in checked.outputs] == names
    assert list(checked.infer.outputs.tasks) == ["size"]


def test_what_other_clients_add_to_inputs_by_themselves_is_let_be():
    added = {"binary_data_size": parameter(12), "content_type": parameter("str")}
    request = raw_request(inputs=[text_input([3], parameters=added)])
    assert list(check(request).infer.sentences) == TEXTS


TWO = pack([b"w1", b"w2"])
FLOATS = oip.InferTensorContents(fp32_contents=[1.0, 2.0])
SHM = {"shared_memory_region": parameter("r")}
FAULTS = {
    "no input": (raw_request(inputs=[], raw_input_contents=[]), ["inputs"]),
    "raw bytes for no input": (raw_request(inputs=[]), ["raw_input_contents", "inputs"]),
    "another input": (
        raw_request(inputs=[Tensor(name="txt", datatype="BYTES", shape=[3])]),
        ["inputs[0].name", "inputs"],
    ),
    "one input more": (
        raw_request(
            inputs=[Tensor(name="mask"), text_input([3])],
            raw_input_contents=[b"", *raw_request().raw_input_contents],
        ),
        ["inputs[0].name"],
    ),
    "the input twice": (
        raw_request(inputs=[text_input([2])] * 2, raw_input_contents=[TWO] * 2),
        ["inputs[1].name"],
    ),
    "raw bytes for one of two": (
        raw_request(inputs=[text_input([2])] * 2, raw_input_contents=[TWO]),
        ["raw_input_contents", "inputs[1].name"],
    ),
    "raw bytes for the other of two": (
        raw_request(inputs=[Tensor(name="mask"), text_input([2])], raw_input_contents=[TWO]),
        ["raw_input_contents", "inputs[0].name"],
    ),
    "raw bytes twice": (
        raw_request(raw_input_contents=[TWO] * 2, inputs=[text_input([2])]),
        ["raw_input_contents"],
    ),
    "raw and typed": (
        raw_request(inputs=[text_input([3], contents=oip.InferTensorContents())]),
        ["inputs[0].contents"],
    ),
    "neither raw nor typed": (raw_request(raw_input_contents=[]), ["inputs[0].contents"]),
    "typed as floats": (
        oip.ModelInferRequest(inputs=[text_input([2], contents=FLOATS)]),
        ["inputs[0].contents"],
    ),
    "too few": (typed_request(shape=[4]), ["inputs[0].contents"]),
    "too many": (typed_request(shape=[2]), ["inputs[0].contents"]),
    "raw, too few": (raw_request(inputs=[text_input([4])]), ["raw_input_contents[0]"]),
    "raw, too many": (raw_request(inputs=[text_input([2])]), ["raw_input_contents[0]"]),
    "raw, cut off": (
        raw_request(inputs=[text_input([2])], raw_input_contents=[TWO[:-1]]),
        ["raw_input_contents[0]"],
    ),
    "raw, without lengths": (
        raw_request(inputs=[text_input([1])], raw_input_contents=[b"What a match!"]),
        ["raw_input_contents[0]"],
    ),
    "another type": (
        raw_request(inputs=[Tensor(name="text", datatype="FP32", shape=[3])]),
        ["inputs[0].datatype"],
    ),
    "another type, and its elements": (
        raw_request(
            inputs=[Tensor(name="text", datatype="FP32", shape=[3])], raw_input_contents=[b"8" * 12]
        ),
        ["inputs[0].datatype"],
    ),
    "no type": (raw_request(inputs=[Tensor(name="text", shape=[3])]), ["inputs[0].datatype"]),
    "no shape": (raw_request(inputs=[text_input([])]), ["inputs[0].shape"]),
    "no rows": (raw_request([]), ["inputs[0].shape"]),
    "two columns": (raw_request(inputs=[text_input([1, 3])]), ["inputs[0].shape"]),
    "no columns": (raw_request(inputs=[text_input([3, 0])]), ["inputs[0].shape"]),
    "three dimensions": (raw_request(inputs=[text_input([3, 1, 1])]), ["inputs[0].shape"]),
    "very many dimensions": (raw_request(inputs=[text_input([1] * 9999)]), ["inputs[0].shape"]),
    "negative": (raw_request(inputs=[text_input([-1])]), ["inputs[0].shape"]),
    "both negative": (raw_request(inputs=[text_input([-3, -1])]), ["inputs[0].shape"]),
    "huge": (raw_request(inputs=[text_input([2**62])]), ["inputs[0].shape"]),
    "huge both ways": (raw_request(inputs=[text_input([2**62, 2**62])]), ["inputs[0].shape"]),
    "overflowing": (raw_request(inputs=[text_input([2**63 - 1, 1])]), ["inputs[0].shape"]),
    "over the limit": (raw_request(["w1"] * (MOST + 1)), ["inputs[0].shape"]),
    "not UTF-8": (
        raw_request(inputs=[text_input([3])], raw_input_contents=[pack([b"\xff", b"w1", b"\xc3"])]),
        ["raw_input_contents[0]"] * 2,
    ),
    "a lone surrogate": (
        oip.ModelInferRequest(
            inputs=[
                text_input([1], contents=oip.InferTensorContents(bytes_contents=[b"\xed\xa0\x80"]))
            ]
        ),
        ["inputs[0].contents"],
    ),
    "input in shared memory": (
        raw_request(inputs=[text_input([3], parameters=SHM)], raw_input_contents=[]),
        ["inputs[0].parameters.shared_memory_region", "inputs[0].contents"],
    ),
    "unknown output": (raw_request(outputs=[Wanted(name="sise_label")]), ["outputs[0].name"]),
    "output of another kind": (
        raw_request(outputs=[Wanted(name="size")]),
        ["outputs[0].name"],
    ),
    "output twice": (
        raw_request(outputs=[Wanted(name="status"), Wanted(name="status")]),
        ["outputs[1].name"],
    ),
    "classification": (
        raw_request(outputs=[Wanted(name="status", parameters={"classification": parameter(3)})]),
        ["outputs[0].parameters.classification"],
    ),
    "everything": (
        raw_request(
            inputs=[Tensor(name="text", datatype="INT8", shape=[0])],
            outputs=[Wanted(name="x")],
            parameters={"y": parameter(1)},
        ),
        ["inputs[0].shape", "inputs[0].datatype", "outputs[0].name", "parameters.y"],
    ),
}


@pytest.mark.parametrize(("request_", "fields"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_named(request_, fields):
    assert [field for field, _ in violations_of(request_)] == fields


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("another type", "'FP32'; it is BYTES"),
        ("another input", "unknown input 'txt'; the model takes 'text'"),
        ("unknown output", "there are embedding, parity_logits, parity_label, parity_score"),
        ("over the limit", "11 are more than the 10 sentences"),
        ("not UTF-8", "row 0 is not UTF-8 at byte 0"),
        ("not UTF-8", "row 2 is not UTF-8 at byte 0"),
        ("two columns", "[1, 3]; it is [sentences] or [sentences, 1]"),
        ("very many dimensions", "[1, 1, 1, ...]"),
        ("raw, without lengths", "4 bytes, little-endian"),
        ("typed as floats", "BYTES are in bytes_contents"),
    ],
)
def test_a_fault_says_what_is_wanted(case, text):
    assert any(text in each for _, each in violations_of(FAULTS[case][0]))


LONG = "🦊" * 300
MANY = {
    "inputs": raw_request(inputs=[Tensor(name=LONG)] * 1000),
    "outputs": raw_request(outputs=[Wanted(name=LONG)] * 1000),
    "rows": raw_request(inputs=[text_input([MOST])], raw_input_contents=[pack([b"\xff"] * MOST)]),
    "parameters": raw_request(parameters={f"{n}{LONG}": parameter(1) for n in range(30)}),
}


@pytest.mark.parametrize("request_", MANY.values(), ids=MANY)
def test_very_many_faults_fit_into_a_status(request_):
    with pytest.raises(InvalidRequestError) as caught:
        check(request_)
    assert 1 <= len(caught.value.violations) <= 8
    status = to_status(caught.value)
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert len(bad.field_violations) == len(caught.value.violations)
    # Clients take 8 KiB of headers: the details in base64, and the message in percents.
    assert len(b64encode(status.SerializeToString())) + len(quote(status.message)) < 7500


ROWS = st.lists(st.text(max_size=20), min_size=1, max_size=MOST)
SHAPES = st.lists(
    st.one_of(st.integers(-2, MOST + 2), st.integers(-(2**63), 2**63 - 1)), max_size=4
)


@given(
    st.one_of(st.binary(max_size=200), ROWS.map(lambda r: pack([t.encode() for t in r]))), SHAPES
)
def test_any_raw_bytes_of_any_shape_are_read_or_refused(raw, shape):
    request = raw_request(inputs=[text_input(shape)], raw_input_contents=[raw])
    try:
        checked = check(request)
    except InvalidRequestError:
        return
    sentences = list(checked.infer.sentences)
    assert shape in ([len(sentences)], [len(sentences), 1])
    assert pack([sentence.encode() for sentence in sentences]) == raw


@given(st.lists(st.binary(max_size=20), max_size=MOST + 1), SHAPES)
def test_any_typed_bytes_of_any_shape_are_read_or_refused(elements, shape):
    contents = oip.InferTensorContents(bytes_contents=elements)
    request = oip.ModelInferRequest(inputs=[text_input(shape, contents=contents)])
    try:
        checked = check(request)
    except InvalidRequestError:
        return
    assert [sentence.encode() for sentence in checked.infer.sentences] == elements


@given(ROWS)
def test_right_requests_are_read(texts):
    assert list(check(raw_request(texts)).infer.sentences) == texts
    assert list(check(typed_request(texts)).infer.sentences) == texts


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_messages_are_read_or_refused(damage, place):
    whole = raw_request(
        outputs=[Wanted(name="status")], parameters={"normalize": parameter(True)}
    ).SerializeToString()
    place %= len(whole)
    try:
        request = oip.ModelInferRequest.FromString(
            whole[:place] + damage + whole[place + len(damage) :]
        )
        check(request)
    except (DecodeError, InvalidRequestError):
        pass
