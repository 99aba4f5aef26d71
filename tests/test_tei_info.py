"""What `tei.v1.Info` says of the worker."""

from importlib.metadata import version

import grpc
import pytest
from debug_model import MAX_TOKENS
from tei_calls import LENGTH, VARINT, parsed, raw, refused, stubs
from twinhead.protocols import tei_service_pb2 as tei


@pytest.fixture
def worker(start_debug_worker):
    return start_debug_worker(tei=True, concurrent_calls=7, queue_tokens=900)


def test_the_bytes_are_those_of_text_embeddings_inference(worker):
    with grpc.insecure_channel(worker.target) as channel:
        answer = parsed(raw(channel, "/tei.v1.Info/Info", b""))
    # 2 sha, 3 docker_label and 11 max_batch_requests are optional; 7 model_type is 0 (embedding),
    # which is not sent.
    assert answer == [
        (1, LENGTH, version("twinhead").encode()),
        (4, LENGTH, b"debug"),
        (5, LENGTH, b"debug0"),
        (6, LENGTH, b"float32"),
        (8, VARINT, 7),
        (9, VARINT, MAX_TOKENS),
        (10, VARINT, 900),
        (12, VARINT, 1024),
        (13, VARINT, 2),
    ]


def test_it_describes_the_live_version(worker):
    with stubs(worker.target) as call:
        info = call.info.Info(tei.InfoRequest())
        assert (info.model_id, info.model_sha) == ("debug", "debug0")
        worker.worker._serving.drain()
        assert refused(lambda: call.info.Info(tei.InfoRequest()))[:2] == ("UNAVAILABLE", "DRAINING")
