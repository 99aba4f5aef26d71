"""A recipe as the TOML that it could be read from again."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .recipe import Recipe


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe with its defaults, as TOML."""
    data = recipe.model_dump(mode="json", exclude_none=True)
    if recipe.model.checkpoint is not None:  # beside which no other key may stand
        data["model"] = {"checkpoint": recipe.model.checkpoint}
    return "\n".join(line for key, value in data.items() for line in _table(key, value)).strip()


def _table(path: str, value: Any) -> Iterator[str]:
    if path == "limitations":  # the one key outside of all tables, so it is the first
        yield f"{path} = {_value(value)}"
    elif isinstance(value, list):
        for item in value:
            yield from _lines(f"[[{path}]]", path, item)
    else:
        yield from _lines(f"[{path}]", path, value)


def _lines(heading: str, path: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n{heading}"
    later: list[str] = []
    for key, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            later += _table(f"{path}.{key}", value)
        else:
            yield f"{_key(key)} = {_value(value)}"
    yield from later


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # TOML's strings are JSON's, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)
