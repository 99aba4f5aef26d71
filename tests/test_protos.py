"""The generated code is what the contract generates."""

import subprocess
import sys
from pathlib import Path

from conftest import ROOT


def test_generated_code_is_up_to_date(tmp_path: Path):
    subprocess.run(
        [sys.executable, str(ROOT / "protos/generate.py"), "--output", str(tmp_path)], check=True
    )
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*")}
    kept = {path.relative_to(ROOT / "protos") for path in (ROOT / "protos").rglob("*_pb2*.py*")}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    assert made == kept
    for path in made:
        committed = (ROOT / "protos" / path).read_text()
        assert (tmp_path / path).read_text() == committed, f"{path}: run `make protos`"
