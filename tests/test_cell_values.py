"""Values as CSV cells and as JSON."""

import json
import math

import pyarrow as pa
import pytest
from twinhead.client.files.cell_values import (
    csv_cells,
    csv_label_cells,
    json_label_values,
    json_text,
    rounded,
)

SCORES = pa.array([0.123456, None, 1.0], pa.float32())
LISTS = pa.array([[0.123456, 0.5], None, []], pa.list_(pa.float32()))
ENTITIES = pa.array([[{"text": "Zürich", "score": 0.98765}], [], None])


@pytest.mark.parametrize(
    ("column", "cells", "values"),
    [
        (SCORES, ["0.1235", "", "1.0000"], [0.1235, None, 1.0]),
        (pa.array([True, None, False]), ["true", "", "false"], [True, None, False]),
        (pa.array(["a", None]), ["a", None], ["a", None]),
        (LISTS, ["[0.1235, 0.5]", None, "[]"], [[0.1235, 0.5], None, []]),
        (
            ENTITIES,
            ['[{"text": "Zürich", "score": 0.9877}]', "[]", None],
            [[{"text": "Zürich", "score": 0.9877}], [], None],
        ),
    ],
)
def test_new_columns_as_cells_and_as_values(column, cells, values):
    assert list(csv_label_cells(column)) == cells
    assert list(json_label_values(column)) == values


def test_only_what_is_nested_becomes_json():
    assert csv_cells(["a", None, 1.23456789]) == ["a", None, 1.23456789]
    assert csv_cells(["a", [1, {"ü": None}], {}]) == ["a", '[1, {"ü": null}]', "{}"]


def test_json_has_no_nan():
    value = {"a": math.nan, "b": [{"c": -math.inf}], "d": 1.5}
    assert json.loads(json_text(value)) == {"a": None, "b": [{"c": None}], "d": 1.5}


def test_scores_are_rounded_however_deep():
    assert rounded([{"a": 0.123456, "b": "0.123456"}, 7]) == [{"a": 0.1235, "b": "0.123456"}, 7]
