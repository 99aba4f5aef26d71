"""Columns are fixed by the first rows, where the format wants fixed ones."""

import pytest
from twinhead.client import FileError
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_batch import MAX_ROWS, RowBatch
from twinhead.client.files.row_writer import rows_of
from written_files import load, save, write_rows


@pytest.mark.parametrize("target", ["tsv", "arrow"])
def test_a_later_json_row_with_another_field_is_told(tmp_path, target):
    rows = [{"text": f"word {n}"} for n in range(MAX_ROWS + 5)]
    rows[3]["late"] = 1  # among the first rows, any field is welcome
    rows.append({"text": "odd", "later": 2})
    output = OutputFile(str(tmp_path / f"out.{target}"), None)
    with pytest.raises(FileError) as caught:
        write_rows(save(tmp_path / "in.jsonl", rows), output)
    message = f"row {MAX_ROWS + 6} has the field 'later', which the first rows have not; write JSON"
    assert str(caught.value).startswith(message)
    assert "-o NAME.jsonl" in str(caught.value)
    output.complete()  # with the rows before it
    kept = load(tmp_path / f"out.{target}")
    assert [row["text"] for row in kept] == [f"word {n}" for n in range(MAX_ROWS)]
    assert [row["late"] for row in kept[:5]] == (
        ["", "", "", "1", ""] if target == "tsv" else [None, None, None, 1, None]
    )


def test_rows_are_named_by_their_numbers():
    assert rows_of(RowBatch(7, ["a", "b"], [{}, {}], 0)) == "rows 7 to 8"
