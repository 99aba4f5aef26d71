"""The engine that the settings ask for, or the best that is to be had."""

import os

import pytest
import swapped
from debug_model import debug_model
from twinhead.server.engines import choose_engine as module
from twinhead.server.engines import openvino_engine
from twinhead.server.engines.choose_engine import choose_engine, usable_threads
from twinhead.server.engines.engine import EngineError
from twinhead.server.settings import WorkerSettings


@pytest.fixture
def base(tmp_path):
    return swapped.write_model(tmp_path / "model")


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)


def test_usable_threads_are_those_of_the_process():
    assert usable_threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_the_engine_that_is_asked_for(base, name):
    assert choose_engine(WorkerSettings(engine=name, device="cpu"), base).name == name


def test_auto_takes_openvino_where_it_is_installed(base):
    engine = choose_engine(WorkerSettings(device="cpu"), base)
    assert (engine.name, engine.precision) == ("openvino", "float32")


def test_auto_takes_torch_where_it_is_not(base, without_openvino):
    assert choose_engine(WorkerSettings(device="cpu"), base).name == "torch"


def test_auto_takes_torch_for_what_openvino_cannot_run(caplog):
    caplog.set_level("INFO")
    checkpoint = debug_model().checkpoint
    assert choose_engine(WorkerSettings(device="cpu"), checkpoint).name == "torch"
    assert "taking torch: OpenVINO runs encoders of transformers only" in caplog.text


@pytest.mark.skipif(not openvino_engine.has_bfloat16(), reason="the processor has no bfloat16")
def test_auto_takes_openvino_for_narrow_numbers(base):
    engine = choose_engine(WorkerSettings(device="cpu", precision="bfloat16"), base)
    assert (engine.name, engine.precision) == ("openvino", "bfloat16")


def test_an_engine_that_is_asked_for_and_cannot_be_had_is_an_error(base, without_openvino):
    with pytest.raises(EngineError, match=r"pip install .*twinhead\[openvino\]"):
        choose_engine(WorkerSettings(engine="openvino", device="cpu"), base)


def test_an_engine_that_cannot_run_the_model_is_an_error_if_it_was_asked_for():
    with pytest.raises(EngineError, match="transformers only"):
        choose_engine(WorkerSettings(engine="openvino", device="cpu"), debug_model().checkpoint)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_narrow_numbers_need_openvino_and_a_cpu(base, precision, monkeypatch):
    settings = WorkerSettings(engine="torch", precision=precision, device="cpu")
    with pytest.raises(EngineError, match=f"{precision} needs --engine openvino"):
        choose_engine(settings, base)
    monkeypatch.setattr(module, "choose_device", lambda _: "cuda:0")
    with pytest.raises(EngineError, match="runs on the CPU, not on cuda:0"):
        choose_engine(WorkerSettings(precision=precision), base)


def test_bfloat16_is_refused_where_the_processor_has_none(base, monkeypatch):
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: False)
    with pytest.raises(EngineError, match="no instructions for it"):
        choose_engine(WorkerSettings(precision="bfloat16", device="cpu"), base)


@pytest.mark.parametrize("text", [None, "\n", "one line\n"])
def test_int8_of_what_the_settings_say(base, tmp_path, text):
    settings = {"precision": "int8", "device": "cpu", "state": str(tmp_path / "state")}
    if text is not None:
        (tmp_path / "text").write_text(text)
        settings["calibration"] = str(tmp_path / "text")
        with pytest.raises(EngineError, match="lines with text"):
            choose_engine(WorkerSettings(**settings), base)
        return
    # Random weights of a tiny encoder lose much.
    floors = {"int8_min_cosine": 0, "int8_min_agreement": 0}
    engine = choose_engine(WorkerSettings(**settings, **floors), base)
    assert (engine.name, engine.precision) == ("openvino", "int8")
    assert len(list((tmp_path / "state" / "engines").iterdir())) == 1


@pytest.mark.parametrize("engine", ["auto", "torch", "openvino"])
def test_a_device_that_is_not_there_is_an_error(base, engine):
    with pytest.raises(EngineError, match="cuda:99 is not there"):
        choose_engine(WorkerSettings(engine=engine, device="cuda:99"), base)


@pytest.mark.parametrize(
    ("threads", "streams", "expected"), [(1, 0, 1), (4, 0, 4), (4, 2, 2), (2, 9, 2), (32, 0, 8)]
)
def test_streams_share_the_threads(base, threads, streams, expected):
    settings = WorkerSettings(engine="torch", device="cpu", threads=threads, streams=streams)
    assert choose_engine(settings, base).streams == expected
