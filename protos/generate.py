"""Generate the Python of the wire contract, or lint the contract with buf.

python protos/generate.py                 write twinhead/v1/*_pb2.py, *_pb2.pyi, *_pb2_grpc.py
python protos/generate.py --output DIR    write them elsewhere (a test compares the two)
python protos/generate.py --lint BUF      run `BUF lint`
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.rpc.status_pb2
import grpc_tools
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
# google/rpc/status.proto comes with googleapis-common-protos, google/protobuf with grpcio-tools.
GOOGLE_RPC = Path(google.rpc.status_pb2.__file__).parent
INCLUDES = [PROTOS, GOOGLE_RPC.parents[1], Path(grpc_tools.__file__).parent / "_proto"]


def sources() -> list[str]:
    """The contract's files, relative to this folder."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def generate(output: Path) -> None:
    """Write messages, type stubs and services into `output`; exits on a fault in the contract."""
    arguments = [f"-I{include}" for include in INCLUDES]
    arguments += [f"--{kind}_out={output}" for kind in ("python", "pyi")]
    code = protoc.main(["protoc", *arguments, *sources()])
    services = [source for source in sources() if source.endswith("_service.proto")]
    code = code or protoc.main(["protoc", *arguments[:3], f"--grpc_python_out={output}", *services])
    if code:
        sys.exit(code)


def lint(buf: str) -> int:
    """Lint the contract with the buf executable at `buf`; returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        # buf would fetch imports from its registry; a workspace that holds them needs no network.
        shutil.copytree(PROTOS / "twinhead", Path(folder, "twinhead"))
        shutil.copy(PROTOS / "buf.yaml", folder)
        Path(folder, "google/rpc").mkdir(parents=True)
        shutil.copy(GOOGLE_RPC / "status.proto", Path(folder, "google/rpc"))
        return subprocess.run([str(Path(buf).resolve()), "lint"], cwd=folder, check=False).returncode  # noqa: S603


def main() -> None:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=PROTOS)
    parser.add_argument("--lint", metavar="BUF")
    arguments = parser.parse_args()
    if arguments.lint:
        sys.exit(lint(arguments.lint))
    generate(arguments.output)


if __name__ == "__main__":
    main()
