"""The Open Inference Protocol of a real worker: by tritonclient as it is, and by its bytes."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import grpc
import numpy as np
import pytest
from conftest import ROOT, DebugWorker, wait_until
from debug_model import (
    DIMENSIONS,
    MAX_TOKENS,
    TASKS,
    CountingEngine,
    DebugEncoder,
    debug_model,
    debug_tokenizer,
)
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from held_engine import HeldEngine
from held_start import loading_worker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bert import randomize
from test_open_inference_parameters import parameter
from test_open_inference_request import (
    MANY,
    MOST,
    Tensor,
    Wanted,
    raw_request,
    text_input,
    typed_request,
)
from twinhead.client import Client, InferOptions
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig, TaskKind
from twinhead.model.network import Network
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.protocols.open_inference_service_pb2_grpc import GRPCInferenceServiceStub
from twinhead.server.live_model import LiveModel
from twinhead.server.open_inference_tensors import pack
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker

CALLER = "token-that-may-infer"
READER = "token-that-may-read"
ADMIN = "token-that-may-admin"
# One for each word, and of random weights: so that entities are found, and of several types.
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
KINDS = (
    *TASKS,
    TaskConfig(name="urgent", kind=TaskKind.BINARY, labels=("no", "yes")),
    TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("spam", "über", "rude")),
    TaskConfig(name="entities", kind=TaskKind.TOKEN, labels=TAGS),
)


def model_of_every_kind(*_) -> LiveModel:
    config = ModelConfig(encoder="debug", max_tokens=MAX_TOKENS, normalize=True, tasks=KINDS)
    network = Network(config, DebugEncoder(), DIMENSIONS)
    randomize(network.heads, 5)
    checkpoint = Checkpoint.create(network, debug_tokenizer())
    return LiveModel.of(checkpoint, CountingEngine(network))


@pytest.fixture
def stub(debug_worker) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(debug_worker.target) as channel:
        yield GRPCInferenceServiceStub(channel)


def error_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, ErrorInfo]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    info = ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code(), info


# --- tritonclient


def by_triton(worker, model: str = "twinhead", *token: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/triton_calls.py"), worker.target, model, *token],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def of_the_starter(starter_worker) -> dict:
    return by_triton(starter_worker)


def own_answer(worker, sentences: list[str], **options) -> dict[str, list]:
    """What our own client gets, as the output tensors have it."""
    with Client(worker.target) as client:
        result = client.infer(sentences, InferOptions(repeatable=True, **options))
    ok = [status.ok for status in result.statuses]
    outputs = {"embedding": result.embeddings.tolist()}
    for name, task in result.tasks.items():
        match type(task).__name__:
            case "MultiLabelAnswer":
                rows = [
                    [
                        {"label": label, "score": score}
                        for label, score in zip(labels, scores.tolist(), strict=True)
                    ]
                    for labels, scores in zip(task.labels, task.scores, strict=True)
                ]
            case "TokenAnswer":
                rows = [
                    [{**vars(each), "text": text[each.start : each.end]} for each in row]
                    for text, row in zip(sentences, task.entities, strict=True)
                ]
            case _:
                outputs[f"{name}_label"] = [label or "" for label in task.labels]
                outputs[f"{name}_score"] = task.scores.tolist()
                rows = None
        if rows is not None:
            outputs[f"{name}_label"] = [
                row if good else "" for row, good in zip(rows, ok, strict=True)
            ]
        if getattr(task, "logits", None) is not None:
            outputs[f"{name}_logits"] = task.logits.tolist()
    return outputs | {"status": [status.code.upper() for status in result.statuses]}


def decoded(found: dict) -> dict[str, list]:
    """The values of output tensors, their JSON read."""
    return {
        name: [
            json.loads(value) if isinstance(value, str) and value[:1] == "[" else value
            for value in output["values"]
        ]
        for name, output in found["outputs"].items()
    }


def check_answers(found: dict, worker, model: str) -> dict[str, list]:
    """Hold all that tritonclient got against what our own client gets of the same worker."""
    sentences = found["sentences"]
    own = own_answer(worker, sentences)
    with Client(worker.target) as client:
        live = client.model()
    assert own["status"] == ["OK", "EMPTY", "OK", "OK"]
    assert found["all"]["model"] == [model, live.version]
    assert found["all"]["id"] == "a 1"
    for way in ("all", "column", "async", "aio"):
        assert decoded(found[way]) == own, way
        assert found[way]["parameters"] == {"failed_sentences": 1}
    for name, output in found["all"]["outputs"].items():
        widths = [] if name.endswith(("label", "status")) else np.shape(own[name])[1:]
        assert output["shape"] == [len(sentences), *widths]
    assert list(found["chosen"]["outputs"]) == ["status", "embedding"]
    assert decoded(found["chosen"])["embedding"] == own["embedding"]
    short = own_answer(worker, sentences, dimensions=3, normalize=False)
    assert decoded(found["short"]) == {"embedding": short["embedding"]}

    assert (found["live"], found["ready"], found["model ready"]) == (True, True, True)
    assert found["others ready"] == [False, False]
    assert found["aio ready"]
    assert found["server"] == {
        "name": "twinhead",
        "version": version("twinhead"),
        "extensions": ["parameters"],
    }
    assert found["metadata"] == found["aio metadata"]
    metadata = found["metadata"]
    assert metadata["name"] == model
    assert metadata["versions"] == [live.version]
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": ["-1"]}]
    rows = len(sentences)
    for output in metadata["outputs"]:
        shape = found["all"]["outputs"][output["name"]]["shape"]
        assert [int(length) for length in output["shape"]] == [-1, *shape[1:]]
        assert shape[0] == rows
    assert [each["name"] for each in metadata["outputs"]] == list(found["all"]["outputs"])

    for what, code, text in (
        ("unknown model", "NOT_FOUND", f"model 'x' is not served here; {model} is"),
        ("unknown metadata", "NOT_FOUND", f"model 'x' is not served here; {model} is"),
        ("unknown version", "NOT_FOUND", f"version 'x' is not served here; {live.version} is"),
        ("unknown output", "INVALID_ARGUMENT", "outputs[0].name: unknown output 'x'"),
        ("sequence", "INVALID_ARGUMENT", "parameters.sequence_id: there are no sequences"),
        ("wrong shape", "INVALID_ARGUMENT", "inputs[0].shape: [2, 2]; it is [sentences]"),
    ):
        status, message = found[what]
        assert (status, what) == (f"StatusCode.{code}", what)
        assert text in message
    return own


def test_tritonclient_gets_what_our_own_client_gets_of_the_starter(starter_worker, of_the_starter):
    own = check_answers(of_the_starter, starter_worker, "twinhead")
    assert own["topic_label"][3] == "Business"
    assert np.shape(own["embedding"]) == (4, 384)


def test_tritonclient_gets_tasks_of_every_kind_by_a_name_and_with_a_token(
    start_debug_worker, tmp_path
):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{CALLER} infer\n")
    worker = start_debug_worker(
        load=model_of_every_kind,
        model_name="my-model.v2",
        token_file=str(tokens),
        # For our own client, which comes without one.
        anonymous="infer",
    )
    own = check_answers(by_triton(worker, "my-model.v2", CALLER), worker, "my-model.v2")
    # Or it would have shown nothing.
    assert {"urgent_logits", "urgent_score", "flags_logits", "entities_label"} < set(own)
    assert any(own["flags_label"])
    (entity,) = [each for row in own["entities_label"] for each in row if "🦊" in each["text"]]
    assert entity["end"] - entity["start"] == len(entity["text"])


def test_our_messages_are_those_of_tritonclient(of_the_starter):
    theirs = of_the_starter["messages"]
    ours = oip.DESCRIPTOR.message_types_by_name
    assert len(ours) == 14
    for name, message in ours.items():
        for place, each in [
            (name, message),
            *((f"{name}.{inner.name}", inner) for inner in message.nested_types),
        ]:
            fields = {
                field.name: [field.number, field.type, field.is_repeated] for field in each.fields
            }
            assert fields == {field: theirs[place].get(field) for field in fields}, place


def test_the_example_of_the_documentation_runs(starter_worker):
    page = (ROOT / "docs/OTHER_PROTOCOLS.md").read_text()
    section = page.split("## Open Inference Protocol\n")[1].split("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (printed,) = re.findall(r"```\n(\S.*?)```", section, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example.replace("localhost:50051", starter_worker.target)],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == printed


# --- bytes by hand


def field(number: int, payload: bytes) -> bytes:
    """A field of wire type 2: its number, its length, its bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def test_the_bytes_of_a_call_are_those_of_the_specification(debug_worker):
    request = (
        field(1, b"twinhead")  # model_name
        + field(3, b"call 7")  # id
        # parameters: key, and value: a bool (1)
        + field(4, field(1, b"repeatable") + field(2, b"\x08\x01"))
        # inputs: name, datatype, shape
        + field(5, field(1, b"text") + field(2, b"BYTES") + field(3, b"\x02"))
        + field(6, field(1, b"status"))  # outputs: name
        + field(7, b"\x02\0\0\0w1\x01\0\0\0 ")  # raw_input_contents
    )
    response = (
        field(1, b"twinhead")  # model_name
        + field(2, b"debug0")  # model_version
        + field(3, b"call 7")  # id
        # parameters: key, and value: an int64 (2)
        + field(4, field(1, b"failed_sentences") + field(2, b"\x10\x01"))
        # outputs: name, datatype, shape
        + field(5, field(1, b"status") + field(2, b"BYTES") + field(3, b"\x02"))
        + field(6, b"\x02\0\0\0OK\x05\0\0\0EMPTY")  # raw_output_contents
    )
    with grpc.insecure_channel(debug_worker.target) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert call(request) == response


def test_the_bytes_of_a_call_with_typed_contents(debug_worker):
    contents = field(8, b"w1")  # bytes_contents
    request = field(1, b"twinhead") + field(
        5, field(1, b"text") + field(2, b"BYTES") + field(3, b"\x01\x01") + field(5, contents)
    )
    names = [b"embedding", b"status"]
    request += b"".join(field(6, field(1, name)) for name in names)
    with grpc.insecure_channel(debug_worker.target) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        response = call(request)
    head = field(1, b"twinhead") + field(2, b"debug0")
    status = field(
        5, field(1, b"status") + field(2, b"BYTES") + field(3, b"\x01") + field(5, field(8, b"OK"))
    )
    assert response.startswith(head)
    assert response.endswith(status)
    embedding = response[len(head) : -len(status)]
    values = embedding[-16:]  # the little-endian floats of fp32_contents
    assert embedding == field(
        5,
        field(1, b"embedding")
        + field(2, b"FP32")
        + field(3, b"\x01\x04")
        # contents: fp32_contents
        + field(5, field(6, values)),
    )
    assert np.isclose(np.frombuffer(values, "<f4")[3], 1.0)


# --- versions, outputs, limits


def test_typed_answers_hold_what_raw_answers_hold(start_debug_worker):
    worker = start_debug_worker(load=model_of_every_kind)
    exact = {"repeatable": parameter(True)}
    with grpc.insecure_channel(worker.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        raw = stub.ModelInfer(raw_request(["w1 w2", "", "w77"], parameters=exact))
        typed = stub.ModelInfer(typed_request(["w1 w2", "", "w77"], parameters=exact))
    assert len(raw.raw_output_contents) == len(raw.outputs) == len(typed.outputs) == 14
    assert not typed.raw_output_contents
    for left, right, elements in zip(
        raw.outputs, typed.outputs, raw.raw_output_contents, strict=True
    ):
        assert not left.HasField("contents")
        if right.datatype == "FP32":
            values = np.array(right.contents.fp32_contents, "<f4").tobytes()
        else:
            values = pack(right.contents.bytes_contents)
        assert values == elements
        right.ClearField("contents")
        assert left == right


@pytest.mark.parametrize(
    ("names", "tasks"),
    [(["embedding"], set()), (["size_label", "status"], {"size"}), (["status"], set())],
)
def test_no_head_runs_that_nobody_asked_for(debug_worker, stub, names, tasks):
    response = stub.ModelInfer(raw_request(outputs=[Wanted(name=name) for name in names]))
    assert [output.name for output in response.outputs] == names
    assert debug_worker.engine.tasks == [tasks]


def test_long_texts_are_cut_and_counted_or_refused_one_by_one(stub):
    texts = ["w1 " * 100, "w1"]
    cut = stub.ModelInfer(raw_request(texts, outputs=[Wanted(name="status")]))
    assert cut.raw_output_contents[0] == pack([b"OK", b"OK"])
    assert {name: each.int64_param for name, each in cut.parameters.items()} == {
        "truncated_sentences": 1
    }
    whole = {"truncate": parameter(False)}
    request = raw_request(texts, parameters=whole, outputs=[Wanted(name="status")])
    refused = stub.ModelInfer(request)
    assert refused.raw_output_contents[0] == pack([b"TOO_LONG", b"OK"])
    assert refused.parameters["failed_sentences"].int64_param == 1


def test_versions_are_live_or_previous_or_not_found(debug_worker, stub):
    serving = debug_worker.worker._serving

    async def publish(model):
        serving.publish(model)

    for name in ("debug1", "debug2"):
        debug_worker.run(publish(debug_model(name)))

    def answered_by(wanted: str) -> str:
        return stub.ModelInfer(raw_request(["w1"], model_version=wanted)).model_version

    for wanted, answers in (("", "debug2"), ("debug2", "debug2"), ("debug1", "debug1")):
        assert answered_by(wanted) == answers
    assert stub.ModelMetadata(
        oip.ModelMetadataRequest(name="twinhead", version="debug1")
    ).versions == ["debug2", "debug1"]
    ready = {
        each: stub.ModelReady(oip.ModelReadyRequest(name="twinhead", version=each)).ready
        for each in ("", "debug2", "debug1", "debug0")
    }
    assert ready == {"": True, "debug2": True, "debug1": True, "debug0": False}
    for call in (
        lambda: answered_by("debug0"),
        lambda: stub.ModelMetadata(oip.ModelMetadataRequest(name="twinhead", version="debug0")),
    ):
        code, info = error_of(call)
        assert code is grpc.StatusCode.NOT_FOUND
        assert (info.reason, info.domain) == ("UNKNOWN_MODEL", "twinhead")
        assert dict(info.metadata) == {"version": "debug2"}


@pytest.mark.parametrize("name", ["", "twin", "TWINHEAD", "twinhead ", "🦊" * 500])
def test_another_model_is_not_found(stub, name):
    code, info = error_of(lambda: stub.ModelInfer(raw_request(model_name=name)))
    assert code is grpc.StatusCode.NOT_FOUND
    assert (info.reason, dict(info.metadata)) == ("UNKNOWN_MODEL", {"model": "twinhead"})
    assert not stub.ModelReady(oip.ModelReadyRequest(name=name)).ready


def test_limits_are_those_of_the_worker(start_debug_worker):
    worker = start_debug_worker(sentences_per_request=2, request_bytes=2048)
    with grpc.insecure_channel(worker.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert len(stub.ModelInfer(raw_request(["w1"] * 2)).outputs) == 8
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(raw_request(["w1"] * 3))
        bad = BadRequest()
        assert rpc_status.from_call(caught.value).details[1].Unpack(bad)
        (violation,) = bad.field_violations
        assert violation.field == "inputs[0].shape"
        assert violation.description == "3 are more than the 2 sentences that one request may hold"
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(raw_request(["w" * 3000]))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert worker.engine.passes == [2]


def test_questions_about_models_are_small(stub):
    code, _ = error_of(lambda: stub.ModelReady(oip.ModelReadyRequest(name="x" * 5000)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("request_", MANY.values(), ids=MANY)
def test_callers_are_told_of_very_many_faults(stub, request_):
    request = oip.ModelInferRequest(model_name="twinhead")
    request.MergeFrom(request_)
    code, info = error_of(lambda: stub.ModelInfer(request))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


ANY_SHAPE = st.lists(st.integers(-1, MOST) | st.integers(-(2**63), 2**63 - 1), max_size=3)
ANY_NAME = st.sampled_from(["text", "status", "size_label", "embedding", ""])
REQUESTS = st.builds(
    oip.ModelInferRequest,
    model_name=st.just("twinhead"),
    inputs=st.lists(
        st.builds(
            Tensor,
            name=ANY_NAME,
            datatype=st.sampled_from(["BYTES", "FP32"]),
            shape=ANY_SHAPE,
            contents=st.none()
            | st.builds(
                oip.InferTensorContents, bytes_contents=st.lists(st.binary(max_size=9), max_size=3)
            ),
        ),
        max_size=2,
    )
    | st.just([text_input([2])]),
    outputs=st.lists(st.builds(Wanted, name=ANY_NAME), max_size=2),
    raw_input_contents=st.lists(st.binary(max_size=40), max_size=2)
    | st.lists(st.binary(max_size=9), min_size=2, max_size=2).map(lambda each: [pack(each)]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS)
def test_no_request_is_a_defect(stub, request_):
    call = stub.ModelInfer.future(request_, timeout=60)
    if call.exception() is None:
        (tensor,) = request_.inputs
        assert {output.shape[0] for output in call.result().outputs} == {tensor.shape[0]}
    else:
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT


# --- the way in, and the worker's life


WHO_MAY: dict[str, tuple[Message, set[str]]] = {
    "ServerLive": (oip.ServerLiveRequest(), {"", READER, CALLER, ADMIN}),
    "ServerReady": (oip.ServerReadyRequest(), {"", READER, CALLER, ADMIN}),
    "ModelReady": (oip.ModelReadyRequest(name="twinhead"), {"", READER, CALLER, ADMIN}),
    "ServerMetadata": (oip.ServerMetadataRequest(), {READER, CALLER}),
    "ModelMetadata": (oip.ModelMetadataRequest(name="twinhead"), {READER, CALLER}),
    "ModelInfer": (raw_request(), {CALLER}),
}


def test_who_may_call_what(start_debug_worker, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{READER} read\n{CALLER} infer\n{ADMIN} admin\n")
    worker = start_debug_worker(token_file=str(tokens))
    assert set(WHO_MAY) == {
        method.name for method in oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }
    with grpc.insecure_channel(worker.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for method, (request, allowed) in WHO_MAY.items():
            for token in ("", READER, CALLER, ADMIN):
                metadata = [("authorization", f"Bearer {token}")] if token else []
                call = getattr(stub, method)
                if token in allowed:
                    call(request, metadata=metadata)
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    call(request, metadata=metadata)
                code = grpc.StatusCode.PERMISSION_DENIED
                assert caught.value.code() is (
                    code if token else grpc.StatusCode.UNAUTHENTICATED
                ), (method, token)


def readiness(stub: GRPCInferenceServiceStub) -> tuple[bool, bool, bool]:
    return (
        stub.ServerLive(oip.ServerLiveRequest()).live,
        stub.ServerReady(oip.ServerReadyRequest()).ready,
        stub.ModelReady(oip.ModelReadyRequest(name="twinhead")).ready,
    )


async def test_a_worker_that_starts_lives_and_is_not_ready():
    def before(worker: Worker) -> None:
        with grpc.insecure_channel(f"localhost:{worker.port}") as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert readiness(stub) == (True, False, False)
            assert stub.ServerMetadata(oip.ServerMetadataRequest()).name == "twinhead"
            for call in (
                lambda: stub.ModelInfer(raw_request()),
                lambda: stub.ModelMetadata(oip.ModelMetadataRequest(name="twinhead")),
            ):
                code, info = error_of(call)
                assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")

    async with loading_worker(WorkerSettings(port=0)) as (worker, _):
        await asyncio.to_thread(before, worker)


def test_readiness_is_that_of_health(debug_worker, stub):
    async def tell(ready: bool):
        debug_worker.worker._set_ready(ready)

    for ready in (True, False, True):
        debug_worker.run(tell(ready))
        assert readiness(stub) == (True, ready, ready)


def test_a_worker_that_drains_finishes_and_takes_nothing_new(debug_worker, stub):
    held = HeldEngine(debug_worker)
    with ThreadPoolExecutor(2) as pool:
        accepted = pool.submit(stub.ModelInfer, raw_request(["w1"]))
        held.reached.wait(30)
        drained = pool.submit(debug_worker.drain)
        wait_until(lambda: debug_worker.worker._serving.draining.is_set())
        assert readiness(stub) == (True, False, False)
        code, info = error_of(lambda: stub.ModelInfer(raw_request(["w2"])))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        held.release()
        assert accepted.result(30).model_version == "debug0"
        assert drained.result(30)


def test_a_full_worker_refuses_at_once(start_debug_worker):
    worker = start_debug_worker(queue_tokens=1)
    held = HeldEngine(worker)
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(2) as pool:
        stub = GRPCInferenceServiceStub(channel)
        running = pool.submit(stub.ModelInfer, raw_request(["w1"]))
        held.reached.wait(30)
        queued = pool.submit(stub.ModelInfer, raw_request(["w2"]))
        wait_until(lambda: worker.worker._queue.tokens > 0)
        code, info = error_of(lambda: stub.ModelInfer(raw_request(["w3"])))
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        held.release()
        assert running.result(30).model_version == queued.result(30).model_version


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_work_whose_caller_left_is_never_encoded(debug_worker: DebugWorker, stub, how):
    held = HeldEngine(debug_worker)
    running = stub.ModelInfer.future(raw_request(["w1"]))
    held.reached.wait(30)
    timeout = 0.3 if how == "deadline" else None
    left = stub.ModelInfer.future(raw_request(["w2"] * 5), timeout=timeout)
    wait_until(lambda: debug_worker.worker._queue.tokens > 0)
    if how == "cancel":
        left.cancel()
    wait_until(lambda: debug_worker.worker._queue.tokens == 0)
    held.release()
    assert running.result(30).model_version == "debug0"
    code = grpc.StatusCode.DEADLINE_EXCEEDED if how == "deadline" else grpc.StatusCode.CANCELLED
    assert left.code() is code
    assert debug_worker.engine.passes == [1]
