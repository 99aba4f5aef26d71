"""The formats of input and output, and what a file's name says of them."""

from pathlib import PurePosixPath

INPUT_FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet", "arrow")
OUTPUT_FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")
# A list of numbers has no good place in them.
TEXT_OUTPUT_FORMATS = ("csv", "tsv", "jsonl")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_OTHER_NAMES = {
    "ndjson": "jsonl",
    "pq": "parquet",
    "tab": "tsv",
    "feather": "arrow",
    "arrows": "arrow",
    "ipc": "arrow",
}


def format_of(path: str) -> str | None:
    """The format that a file's name tells, or None; `.gz` and `.zst` are looked through."""
    suffix = PurePosixPath(_uncompressed(path)).suffix.removeprefix(".").lower()
    return _OTHER_NAMES.get(suffix, suffix) if suffix else None


def compression_of(path: str) -> str | None:
    """`gzip` or `zstd`, when a file's name tells that it is compressed."""
    return COMPRESSIONS.get(PurePosixPath(path).suffix.lower())


def npy_beside(path: str) -> str:
    """Name of the `.npy` file with the embeddings of an output: `out.csv.gz` has `out.npy`."""
    plain = _uncompressed(path)
    if format_of(plain) in OUTPUT_FORMATS:
        plain = plain[: -len(PurePosixPath(plain).suffix)]
    return plain + ".npy"


def _uncompressed(path: str) -> str:
    return path if compression_of(path) is None else path[: -len(PurePosixPath(path).suffix)]
