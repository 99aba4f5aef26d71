"""The measurements run; what they measure is another matter."""

import re
import runpy
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT


def test_the_labeller_is_measured_against_a_worker_that_computes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    measures = runpy.run_path(str(ROOT / "bench/labelling.py"))
    measures["measure_speed"](["One sentence.", 'Another, with "quotes".'], 3000)
    said = capsys.readouterr().out
    for kind in ("labels only", "with embeddings"):
        assert re.search(rf"{kind}: [\d.]+ s, [\d,]+ rows/s, peak [1-9]\d+ MiB", said)


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    return SimpleNamespace(**runpy.run_path(str(ROOT / "bench/speed.py")))


def test_speeds_are_told_as_medians_and_ratios_of_the_same_round(speed, tmp_path, capsys):
    seconds = {speed.PEER: iter([0.0, 1.0, 2.0, 4.0]), "ours": iter([0.0, 0.5, 0.5, 0.5])}
    ways = {name: lambda _, each=each: next(each) for name, each in seconds.items()}
    report = speed.Report()
    report.table("open.txt", speed.measure(ways, ["a"] * 8, rounds=3))
    report.write(tmp_path / "made")
    said = capsys.readouterr().out
    assert [" ".join(line.split()) for line in said.splitlines()[2:]] == [
        f"| {speed.PEER} | 4 | 2 to 8 | 1.00 |",
        "| ours | 16 | 16 to 16 | 4.00 |",
    ]
    assert (tmp_path / "made" / "speed.md").read_text() == said
    assert (tmp_path / "made" / "speed.png").stat().st_size > 10_000


def test_a_way_runs_in_a_process_of_its_own(speed, capsys):
    command = [sys.executable, str(speed.LOOPS), "twinhead", "torch", "float32"]
    with speed.looping(command, speed.Report()) as encode:
        assert 0 < encode(["One sentence.", "Another one, and longer."]) < 60
        assert 0 < encode(["One sentence."]) < 60
    assert "twinhead torch float32: torch " in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="failed"), speed.looping(command[:-3], speed.Report()):
        pass
