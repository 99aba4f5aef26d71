"""The OpenVINO engine: the same answers as torch's, several passes at once, new weights."""

import threading

import numpy as np
import pytest
import swapped
from debug_model import debug_model
from small_encoders import write_encoder
from twinhead.model.encoder import Encoder
from twinhead.server.engines import openvino_engine
from twinhead.server.engines.engine import EngineError
from twinhead.server.engines.openvino_engine import (
    CompiledEncoder,
    OpenVinoEngine,
    check_same,
    has_bfloat16,
)
from twinhead.server.engines.openvino_graph import export_encoder
from twinhead.server.engines.torch_engine import TorchEngine

IDS = [[2, 6, 7, 3], [2, 5, 3], [2, *range(5, 11), *range(5, 11), 3]]


@pytest.fixture
def base(tmp_path):
    return swapped.write_model(tmp_path / "model")


def assert_same(engine, checkpoint, ids=IDS) -> None:
    tasks = [task.name for task in checkpoint.config.tasks]
    found = engine.encode(ids, tasks)
    expected = TorchEngine(checkpoint.network, "cpu").encode(ids, tasks)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=1e-3, atol=1e-4)
    assert found.logits.keys() == expected.logits.keys()
    for task in tasks:
        np.testing.assert_allclose(found.logits[task], expected.logits[task], rtol=1e-3, atol=1e-4)


def test_answers_are_those_of_torch(base):
    engine = OpenVinoEngine(base)
    assert_same(engine, base)
    assert (engine.name, engine.precision, engine.device) == ("openvino", "float32", "cpu")
    (task, *_) = base.config.tasks
    assert set(engine.encode(IDS, [task.name]).logits) == {task.name}


@pytest.mark.skipif(not has_bfloat16(), reason="the processor has no bfloat16: it was not tried")
def test_bfloat16_is_near(base):
    engine = OpenVinoEngine(base, precision="bfloat16")
    assert engine.precision == "bfloat16"
    found = engine.encode(IDS, ()).embeddings
    expected = OpenVinoEngine(base).encode(IDS, ()).embeddings
    assert 1e-5 < np.abs(found - expected).max() / np.abs(expected).max() < 0.05


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_pass_is_padded_to(base, precision):
    engine = OpenVinoEngine(base, precision="float32")
    engine.precision = precision  # which the shapes depend on, on any processor
    shapes = {engine.padded_shape(n, n) for n in range(1, 41)}
    assert len(shapes) == (40 if precision == "float32" else 17)
    for n in range(1, 200):
        sentences, tokens = engine.padded_shape(n, n)
        assert n <= sentences <= 1.25 * n
        assert n <= tokens <= max(n, base.config.max_tokens)
    assert_same(engine, base, [*IDS, *IDS, *IDS])  # nine are ten, and of 14 tokens


def test_passes_run_at_once_and_keep_apart(base):
    engine = OpenVinoEngine(base, threads=2, streams=2)
    assert (engine.streams, engine.widens) == (2, False)
    together = threading.Barrier(2)
    failures = []

    def work(ids):
        try:
            for _ in range(30):
                together.wait(30)
                assert_same(engine, base, ids)
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=work, args=(ids,)) for ids in (IDS, IDS[:1] * 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("names", [swapped.HEADS, swapped.LAYER, swapped.EVERYTHING])
def test_new_weights_are_run_and_an_encoder_that_is_the_same_is_not_compiled_again(
    base, names, monkeypatch
):
    engine = OpenVinoEngine(base, threads=2, streams=2)
    compiled = []
    monkeypatch.setattr(
        openvino_engine,
        "CompiledEncoder",
        lambda *options: compiled.append(CompiledEncoder(*options)) or compiled[-1],
    )
    new = swapped.changed(base, names)
    renewed = engine.renewed(new)
    assert_same(renewed, new)
    assert_same(engine, base)  # which goes on meanwhile
    assert renewed.streams == 2
    assert len(compiled) == (names != swapped.HEADS)


def test_an_encoder_that_it_would_run_wrongly_is_refused(tmp_path):
    folder = write_encoder(tmp_path / "encoder", "modernbert")
    encoder = Encoder.load(folder)
    with pytest.raises(EngineError, match="OpenVINO runs this encoder wrongly"):
        check_same(CompiledEncoder(export_encoder(encoder).model, 1, 1), encoder)


def test_encoders_that_are_not_of_transformers_are_refused():
    with pytest.raises(EngineError, match="transformers only"):
        OpenVinoEngine(debug_model().checkpoint)
