"""The measurements run; what they measure is another matter."""

import runpy
import sys

from conftest import ROOT


def test_the_clients_memory_is_measured_against_the_echo_worker(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    measures = runpy.run_path(str(ROOT / "bench/first_light.py"))
    measures["measure_memory"](tmp_path, ["One sentence.", 'Another, with "quotes".'], 3000)
    said = capsys.readouterr().out
    assert "3,000 rows, labels only: peak memory" in said
    assert "3,000 rows, with embeddings: speed" in said
