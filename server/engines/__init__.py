"""What runs a model."""

import sys

# OpenVINO and its tools tell a server of their makers that they were imported and used, unless the
# package that does so is missing. A worker tells nobody.
sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
