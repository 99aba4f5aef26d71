"""Values of columns as CSV cells and as JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any, cast

import pyarrow as pa

_encode = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False).encode


def csv_cells(values: Sequence[Any]) -> Sequence[Any]:
    """Values of the input as CSV cells: what is nested becomes JSON."""
    if not {dict, list}.isdisjoint(map(type, values)):
        return [json_text(v) if isinstance(v, (dict, list)) else v for v in values]
    return values


def csv_label_cells(column: pa.Array) -> Sequence[Any]:
    """A new column as CSV cells: scores with four decimals."""
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return ["" if value is None else f"{value:.4f}" for value in values]
    if pa.types.is_boolean(column.type):
        return ["" if value is None else "true" if value else "false" for value in values]
    if pa.types.is_nested(column.type):
        return csv_cells([rounded(value) for value in values])
    return values


def json_label_values(column: pa.Array) -> Sequence[Any]:
    """A new column as JSON values: scores with four decimals."""
    values = column.to_pylist()
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        return [rounded(value) for value in values]
    return values


def json_text(value: Any) -> str:
    """A value as JSON, readable: what is not ASCII stands as it is."""
    try:
        return _encode(value)
    except ValueError:  # JSON has neither NaN nor infinity, Parquet and Python's reader have
        return _encode(_finite(value))


def rounded(value: Any) -> Any:
    """Scores with four decimals, however deep."""
    match value:
        case float():
            return round(value, 4)
        case list():
            return [rounded(each) for each in cast("list[Any]", value)]
        case dict():
            return {key: rounded(each) for key, each in cast("dict[str, Any]", value).items()}
        case _:
            return value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(each) for each in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
