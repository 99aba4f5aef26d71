"""A result as a table: the columns that `twinhead label` writes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from .errors import InvalidRequestError
from .labelling.label_columns import LabelColumns
from .results import InferResult
from .sentences import sentence_list

if TYPE_CHECKING:
    from pandas import DataFrame

_SENTENCE = "sentence"


def arrow_table(result: InferResult, sentences: Iterable[str] | None) -> pa.Table:
    """See `InferResult.to_arrow`."""
    columns = LabelColumns.of_answers(result)
    if sentences is None:
        return pa.table(columns.of_result(result, [None] * len(result)), schema=columns.schema)
    texts: Sequence[str] = sentence_list(sentences)
    if len(texts) != len(result):
        raise ValueError(f"{len(texts)} sentences do not go with a result of {len(result)}")
    if _SENTENCE in columns.schema.names:
        raise InvalidRequestError(
            f"a task is called {_SENTENCE!r}, too; leave the sentences out and add them yourself"
        )
    arrays = {_SENTENCE: pa.array(texts, pa.string()), **columns.of_result(result, texts)}
    return pa.table(arrays, schema=columns.schema.insert(0, pa.field(_SENTENCE, pa.string())))


def pandas_frame(result: InferResult, sentences: Iterable[str] | None) -> "DataFrame":
    """See `InferResult.to_pandas`."""
    try:
        from pandas import BooleanDtype
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'twinhead[pandas]'") from error
    # As numpy has them, columns with missing values would be objects.
    types = {pa.bool_(): BooleanDtype()}
    return arrow_table(result, sentences).to_pandas(types_mapper=types.get)
