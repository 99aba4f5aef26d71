"""Generate what is made of the wire contracts: Python, and docs/protocol.md.

python protos/generate.py                 write twinhead/*/*_pb2.py, *_pb2.pyi, *_pb2_grpc.py, and the page
python protos/generate.py --output DIR    write them, and protocol.md, elsewhere (a test compares the two)
"""

import argparse
import sys
import tempfile
from pathlib import Path

import google.rpc.status_pb2
import grpc_tools
from document import document
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
PAGE = PROTOS.parent / "docs/protocol.md"
# google/rpc/status.proto comes with googleapis-common-protos, google/protobuf with grpcio-tools.
GOOGLE_RPC = Path(google.rpc.status_pb2.__file__).parent
INCLUDES = [PROTOS, GOOGLE_RPC.parents[1], Path(grpc_tools.__file__).parent / "_proto"]
# In the order in which they are told of.
_OURS = ("inference_service", "model_service", "model_admin_service", "task_kind")


def sources() -> list[str]:
    """The contracts' files, relative to this folder."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def generate(output: Path) -> None:
    """Write messages, type stubs and services into `output`; exits on a fault in a contract."""
    _run(*(f"--{kind}_out={output}" for kind in ("python", "pyi")), *sources())
    services = [source for source in sources() if source.endswith("_service.proto")]
    _run(f"--grpc_python_out={output}", *services)


def page() -> str:
    """The page about our own contract."""
    files = [f"twinhead/v1/{name}.proto" for name in _OURS]
    with tempfile.NamedTemporaryFile() as made:
        _run("--include_source_info", f"--descriptor_set_out={made.name}", *files)
        read = FileDescriptorSet.FromString(made.read())
    by_name = {file.name: file for file in read.file}
    return document([by_name[name] for name in files])


def _run(*arguments: str) -> None:
    code = protoc.main(["protoc", *(f"-I{include}" for include in INCLUDES), *arguments])
    if code:
        sys.exit(code)


def main() -> None:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path)
    output: Path | None = parser.parse_args().output
    generate(output or PROTOS)
    (output / PAGE.name if output else PAGE).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
