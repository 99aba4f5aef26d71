"""What a file's name says of its format."""

import pytest
from twinhead.client.files.file_formats import compression_of, format_of, npy_beside


@pytest.mark.parametrize(
    ("name", "expected", "compression"),
    [
        ("a.csv", "csv", None),
        ("a.TXT", "txt", None),
        ("a.tab", "tsv", None),
        ("a.jsonl.gz", "jsonl", "gzip"),
        ("a.TSV.ZST", "tsv", "zstd"),
        ("a.ndjson", "jsonl", None),
        ("a.pq", "parquet", None),
        ("a.feather", "arrow", None),
        ("a.arrows", "arrow", None),
        ("s3://bucket/folder.csv/a.parquet", "parquet", None),
        ("folder.csv/a", None, None),
        ("a.gz", None, "gzip"),
        ("a.csv.bz2", "bz2", None),
    ],
)
def test_the_name_tells_the_format(name, expected, compression):
    assert (format_of(name), compression_of(name)) == (expected, compression)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("out.csv", "out.npy"),
        ("a.b/out.jsonl.zst", "a.b/out.npy"),
        ("out.2024.tsv", "out.2024.npy"),
        ("out.dat", "out.dat.npy"),  # its format was said
        ("memory://a/out.csv.gz", "memory://a/out.npy"),
    ],
)
def test_embeddings_have_a_file_beside_the_output(name, expected):
    assert npy_beside(name) == expected
