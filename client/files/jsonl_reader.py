"""Reads JSON lines: one object a line, each with columns of its own."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from typing_extensions import override

from .file_reader import NO_COLUMN
from .text_reader import TextReader, TextRow


class JsonlReader(TextReader):
    """Reads one file; blank lines are no rows."""

    @property
    @override
    def schema(self) -> None:
        return None

    @override
    def _rows(self) -> Iterator[TextRow]:
        number = 0
        for line_number, line in enumerate(self._lines, 1):
            if line.isspace():
                continue
            number += 1
            where = f"row {number} (line {line_number})"
            row = self._parsed(line, where)
            if number == 1:
                self._choose_column(list(row))
            text = None if self.column == NO_COLUMN else row.get(cast("str", self.column))
            if text is not None and not isinstance(text, str):
                raise self._fail(
                    f"{where}: {self.column!r} is not text but {json.dumps(text)[:40]}"
                )
            yield (text or "", row), line_number, len(line)

    @override
    def _texts_and_rows(
        self, values: Sequence[Any]
    ) -> tuple[Sequence[str], Sequence[dict[str, Any]]]:
        return [text for text, _ in values], [row for _, row in values]

    def _parsed(self, line: str, where: str) -> dict[str, Any]:
        try:
            row: Any = json.loads(line.rstrip())  # else columns count from the line's end
            if (
                "\\ud" in line or "\\uD" in line
            ):  # the only way for half of a surrogate pair to get in
                json.dumps(row, ensure_ascii=False).encode()
        except json.JSONDecodeError as error:
            raise self._fail(
                f"{where} is not valid JSON: {error.msg} at column {error.colno}"
            ) from error
        except UnicodeEncodeError as error:
            raise self._fail(f"{where} holds half of a surrogate pair (\\ud8xx)") from error
        except ValueError as error:  # Python bounds the digits of an integer
            raise self._fail(f"{where} holds a number of too many digits") from error
        except RecursionError as error:
            raise self._fail(f"{where} is nested too deeply") from error
        if not isinstance(row, dict):
            raise self._fail(f"{where} is not a JSON object")
        return cast("dict[str, Any]", row)
