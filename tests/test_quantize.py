"""The program that makes int8 graphs; what it makes is tried in test_int8.py."""

import subprocess
import sys

# Every way in which the worker loads OpenVINO and its tools, with a look at what they would tell
# their makers by: a package that is not to be had gets stubs in its place.
CODE = """
import sys
import twinhead.server.engines.openvino_engine
import twinhead.server.engines.quantize
import nncf
import openvino.tools.ovc as ovc
print(sys.modules["openvino_telemetry"], ovc.telemetry.__class__.__module__)
print(type(nncf.telemetry.telemetry).__name__)
"""


def test_nothing_is_reported_to_anyone():
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.split() == ["None", "openvino.tools.ovc.telemetry_stub", "MagicMock"]
