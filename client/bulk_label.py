"""Labels a file: read, send, write in the order of the input."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .client import Client
from .errors import FileError, InvalidRequestError, TwinheadError, VersionNotLiveError
from .label_columns import LabelColumns
from .label_summary import LabelSummary
from .requests import InferOptions
from .results import ModelInfo
from .row_batch import RowBatch
from .row_reader import RowReader
from .row_writer import Layout, OutputFile


@dataclass(frozen=True)
class LabelOptions:
    """How a file is labelled."""

    tasks: Sequence[str] | None = None
    """Tasks wanted; None for all of the model's."""
    embeddings: bool = False
    truncate: bool = True
    prefix: str = ""
    """Before the names of the new columns."""
    in_flight: int = 8
    """Batches on their way at once."""
    reconnect_seconds: float = 60.0
    """How long to wait for a worker that went away."""


def bulk_label(
    client: Client,
    reader: RowReader,
    output: OutputFile,
    options: LabelOptions,
    on_progress: Callable[[int, int], None],
) -> LabelSummary:
    """Label all rows of `reader` into `output`, which the caller completes or abandons.

    Args:
        client: of the worker that labels.
        reader: the input.
        output: the output; rows are written in the order of the input.
        options: what to write.
        on_progress: called with the rows done and the position in the input.

    Raises:
        FileError: the input or the output cannot go on; rows before the fault are written.
        TwinheadError: the worker cannot go on; rows that were answered are written.
    """
    model = client.model()
    columns = LabelColumns.of(
        model,
        _known_tasks(options.tasks, model),
        embeddings=options.embeddings,
        prefix=options.prefix,
    )
    names = set(columns.schema.names)
    if reader.columns is not None:
        _check_names(reader.name, names.intersection(reader.columns))
    output.begin(Layout(reader.columns, reader.schema, columns.schema))
    wanted = InferOptions(
        tasks=[task.name for task in columns.tasks],
        embedding="float32" if options.embeddings else None,
        logits=False,
        truncate=options.truncate,
    )
    sent: deque[RowBatch] = deque()
    # The worker reads so many characters of a sentence; one more tells it that there are more.
    most = model.characters_per_sentence + 1

    def texts() -> Iterator[Sequence[str]]:
        for batch in reader.batches():
            for part in _cut_by_rows(batch, model.sentences_per_request):
                if reader.columns is None:
                    keys = (key for row in part.as_dicts() for key in row)
                    _check_names(reader.name, names.intersection(keys))
                sent.append(part)
                yield [text[:most] for text in part.texts]

    summary = LabelSummary([task.name for task in columns.tasks])
    answers = client.infer_stream(
        texts(), wanted, in_flight=options.in_flight, reconnect_seconds=options.reconnect_seconds
    )
    with closing(answers):
        for answer in answers:
            batch = sent.popleft()
            if isinstance(answer, (InvalidRequestError, VersionNotLiveError)):
                raise answer  # it would be the same for every batch
            if isinstance(answer, TwinheadError):
                output.write(batch, columns.of_failure(len(batch.texts), str(answer)))
                summary.add_failure(len(batch.texts), "worker failed")
            else:
                output.write(batch, columns.of_result(answer, batch.texts))
                summary.add(answer)
            on_progress(summary.rows, batch.position)
    return summary


def _known_tasks(tasks: Sequence[str] | None, model: ModelInfo) -> Sequence[str] | None:
    for name in tasks or ():
        if name not in model.tasks:
            raise InvalidRequestError(
                f"the model has no task {name!r}; it has {', '.join(model.tasks) or 'none'}"
            )
    return tasks


def _check_names(file: str, taken: set[str]) -> None:
    if taken:
        raise FileError(
            f"{file}: has a column {sorted(taken)[0]!r} already; give the new columns other names, "
            "for example --prefix pred_"
        )


def _cut_by_rows(batch: RowBatch, most: int) -> Iterator[RowBatch]:
    for start in range(0, len(batch.texts), most):
        yield batch.slice(start, min(start + most, len(batch.texts)))
