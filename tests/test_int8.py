"""Encoders in int8: prepared, kept, measured, refused; with real weights and the real quantiser."""

import csv
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import swapped
from conftest import ROOT
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder
from twinhead.server.engines import int8 as module
from twinhead.server.engines.engine import EngineError
from twinhead.server.engines.int8 import Int8
from twinhead.server.engines.openvino_engine import OpenVinoEngine

with (ROOT / "examples" / "sentences.csv").open(encoding="utf-8") as file:
    EXAMPLES = [row["text"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def starter() -> Checkpoint:
    return Checkpoint.load(checkpoint_folder("starter"))


@pytest.fixture(scope="module")
def prepared(starter, tmp_path_factory) -> Int8:
    """With the starter's encoder in its cache."""
    int8 = Int8(cache=tmp_path_factory.mktemp("cache"), sentences=EXAMPLES)
    int8.graph(starter)
    return int8


@pytest.fixture
def no_quantiser(monkeypatch):
    """From here on nothing can be prepared."""
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)


def entries(int8: Int8) -> list[Path]:
    return sorted(int8.cache.iterdir())


def test_answers_are_close_to_those_of_float32(starter, prepared):
    engine = OpenVinoEngine(starter, int8=prepared, threads=2, streams=2)
    assert engine.precision == "int8"
    loss = prepared.measure(engine, starter)
    assert 0.995 < loss.cosine < 0.99999  # (and it is not float32 under another name)
    assert set(loss.agreement) == {"topic", "sentiment"}
    assert min(loss.agreement.values()) > 0.9


def test_what_was_prepared_is_kept(starter, prepared, no_quantiser):
    assert [path.name for path in (entries(prepared)[0]).iterdir() if path.suffix == ".bin"]
    prepared.graph(starter)


def test_other_heads_have_the_same_encoder(starter, prepared, no_quantiser):
    engine = OpenVinoEngine(starter, int8=prepared)
    new = swapped.changed(starter, swapped.HEADS)
    renewed = engine.renewed(new)
    assert renewed.precision == "int8"
    prepared.measure(renewed, new)


def test_another_encoder_or_text_is_prepared_anew(starter, prepared, no_quantiser):
    new = swapped.changed(starter, ("layer.5.",))
    for int8, checkpoint in (
        (prepared, new),
        (replace(prepared, sentences=EXAMPLES[:100]), starter),
    ):
        with pytest.raises(EngineError, match=r"needs the package nncf: pip install"):
            int8.graph(checkpoint)


@pytest.mark.long
def test_what_is_damaged_on_disk_is_prepared_anew(starter, prepared, tmp_path):
    int8 = replace(prepared, cache=tmp_path / "cache", sentences=EXAMPLES[:40])
    int8.graph(starter)
    (place,) = entries(int8)
    whole = (place / "int8.bin").read_bytes()
    (place / "int8.bin").write_bytes(whole[:-100])
    int8.graph(starter)
    assert entries(int8) == [place]  # and nothing is left beside it
    assert len((place / "int8.bin").read_bytes()) == len(whole)


def test_few_are_kept(prepared, tmp_path):
    places = [tmp_path / str(number) for number in range(6)]
    for age, place in enumerate(reversed(places)):
        shutil.copytree(entries(prepared)[0], place)
        os.utime(place, (1e9 - age, 1e9 - age))
    module._remove_oldest(tmp_path)
    assert sorted(tmp_path.iterdir()) == places[3:]


@pytest.mark.parametrize("floor", [{"min_cosine": 0.99999}, {"min_agreement": 1.0}])
def test_too_much_loss_is_refused_and_told(starter, prepared, floor):
    with pytest.raises(EngineError, match=r"mean cosine 0\.99.*topic 9.*--calibration"):
        OpenVinoEngine(starter, int8=replace(prepared, **floor))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\n \n", "has 0 lines with text"),
        (b"one\ntwo\n", "has 2 lines with text"),
        (b"\xff\xfe\x00", "can't decode"),
    ],
)
def test_calibration_text_that_is_none(tmp_path, content, message):
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    with pytest.raises(EngineError, match=message):
        Int8.calibrated_by(text, cache=tmp_path)


def test_calibration_text_is_read_and_bounded(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"line {number}" for number in range(5000)))
    sentences = Int8.calibrated_by(text, cache=tmp_path).sentences
    assert len(set(sentences)) == 1024
    text.write_text("a line\n\n" * 40)
    assert len(Int8.calibrated_by(text, cache=tmp_path).sentences) == 40


def test_a_cache_that_cannot_be_written_is_told(starter, tmp_path):
    (tmp_path / "file").touch()
    int8 = Int8(cache=tmp_path / "file" / "cache", sentences=EXAMPLES)
    with pytest.raises(EngineError, match="int8 cannot be prepared in"):
        int8.graph(starter)


def test_what_the_quantiser_says_is_told(starter, tmp_path, monkeypatch):
    monkeypatch.setattr(module.np, "savez", lambda path, **_: path.write_bytes(b"not arrays"))
    int8 = Int8(cache=tmp_path, sentences=EXAMPLES[:40])
    with pytest.raises(EngineError, match=r"int8 cannot be prepared: \w*Error"):
        int8.graph(starter)
    assert entries(int8) == []
