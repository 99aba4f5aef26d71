"""Labels files on a Ray cluster: read, label in actors that each hold a model, write part files."""

import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import FileError, WorkerFailedError
from ..files.file_formats import OUTPUT_FORMATS
from ..files.file_place import STANDARD, local_path
from ..files.parquet_writer import ParquetWriter
from ..files.part_files import PartFiles, PartSummary
from ..files.part_folder import PartFolder
from ..files.row_batch import RowBatch
from ..files.row_writer import Layout
from ..results import ModelInfo
from .label_columns import LabelColumns, check_names
from .ray_cluster import TASK_CPUS, Room, check_nodes, cluster, room_in
from .ray_labeller import LabellerOptions, RayLabeller, WorkerStart, describe
from .ray_rows import InputFiles, InputRows

# Ray moves rows in blocks; one of some thousand rows is labelled in seconds.
_BLOCK_BYTES = 1024 * 1024
# When nothing has come out of any actor for so long, nothing will.
_STANDSTILL_SECONDS = 3600.0


@dataclass(frozen=True)
class RayOptions:
    """How files are labelled on Ray."""

    input_format: str | None = None
    """None to tell it by the names of the files."""
    column: str | None = None
    """The one to label; None to choose by the usual names."""
    encoding: str = "utf-8"
    """Of text formats."""
    header: bool = True
    """Whether CSV and TSV begin with the names of the columns."""
    output_format: str = "parquet"
    tasks: Sequence[str] | None = None
    """Tasks wanted; None for all of the model's."""
    embeddings: bool = False
    scores: bool = False
    """Whether there is a column for the probability of each label."""
    truncate: bool = True
    prefix: str = ""
    """Before the names of the new columns."""
    dedupe: bool = True
    """Whether texts that are identical in a block of some thousand rows are encoded once."""
    restart: bool = False
    """Whether to remove what an interrupted run has left."""
    model: str = "starter"
    """Checkpoint folder, the same on every node, or `starter`."""
    serve_options: Sequence[str] = ()
    """More options of `twinhead serve`, for the workers."""
    address: str | None = None
    """Of a cluster, `auto` for the one that this machine is part of; None to start one of this
    machine alone."""
    actors: int | None = None
    """Each has a worker of its own; None for as many as there is room for."""
    cpus_per_actor: int | None = None
    """CPUs of each, which are its worker's threads; None for four, or fewer on smaller nodes."""


@dataclass(frozen=True)
class RayResult:
    """What a run did."""

    summary: PartSummary
    """Rows, labels, failures by reason."""
    parts: int
    """Files written."""
    actors: int
    cpus_per_actor: int
    model: ModelInfo


def ray_label(places: Sequence[str], output: str, options: RayOptions) -> RayResult:
    """Label all rows of some files into a folder of part files; rows stay in their order.

    The folder has its name when it is complete, or in an object store a file `_SUCCESS`. When the
    run fails, it leaves nothing.

    Args:
        places: paths or URIs of files with the same columns, which every node can read.
        output: path or URI of the folder, which every node can write to.
        options: how.

    Raises:
        FileError: the input or the output cannot be used, or Ray is not installed.
        InvalidRequestError: the model has no such task, or two columns would have one name.
        WorkerFailedError: the cluster has no room, or lacks something, or a worker failed.
    """
    started = time.monotonic()
    if options.output_format not in OUTPUT_FORMATS:
        raise FileError(f"cannot write {options.output_format}; choose {', '.join(OUTPUT_FORMATS)}")
    source = _look_at(places, options)
    folder = PartFolder(_absolute(output), restart=options.restart)
    with cluster(options.address) as ray:
        room = room_in(
            ray.nodes(), ray.available_resources(), options.actors, options.cpus_per_actor
        )
        folder.begin()
        try:
            seen = (source.files.places[0], folder.staging)
            check_nodes(ray, [place for place in seen if local_path(place) is not None])
            start = WorkerStart(options.model, room.cpus, options.serve_options)
            model: ModelInfo = ray.get(ray.remote(num_cpus=room.cpus)(describe).remote(start))
            columns = LabelColumns.of(
                model,
                options.tasks,
                embeddings=options.embeddings,
                prefix=options.prefix,
                scores=options.scores,
            )
            check_names(source.files.places[0], source.columns.intersection(columns.schema.names))
            parts = PartFiles(folder.staging, options.output_format, source.written, columns)
            about = LabellerOptions(
                start, model.version, columns, source.column, options.truncate, options.dedupe
            )
            summary = PartSummary(columns.tasks, options.prefix, started)
            written = _run(source, about, parts, summary, room)
            if len(summary.versions) > 1:  # each actor has looked, but when it began
                raise WorkerFailedError(
                    f"the model changed in mid-run: {', '.join(summary.versions)}; begin anew"
                )
            folder.complete(
                {
                    "rows": summary.rows,
                    "failed": dict(summary.failed),
                    "model_version": model.version,
                    "parts": written,
                }
            )
        except BaseException:
            folder.abandon()
            raise
    return RayResult(summary, written, room.actors, room.cpus, model)


@dataclass(frozen=True)
class _Source:
    """What the first file tells of all."""

    files: InputFiles
    schema: pa.Schema | None
    """Of the columns; None where each row has its own."""
    written: pa.Schema | None
    """The same as the output has them; None where each row keeps its own."""
    column: str
    """The one to label."""

    @property
    def columns(self) -> set[str]:
        return set() if self.schema is None else set(self.schema.names)


def _look_at(places: Sequence[str], options: RayOptions) -> _Source:
    if not places:
        raise FileError("there are no files to label")
    if STANDARD in places:
        raise FileError("--engine ray cannot read standard input; say files")
    files = InputFiles(
        [_absolute(place) for place in places],
        options.input_format,
        options.column,
        options.encoding,
        options.header,
    )
    with files.open(files.places[0]) as reader:
        written = reader.schema
        if written is None:  # then the first rows tell, also which column it is
            batch = next(reader.batches(), None)
            if batch is not None and options.output_format != "jsonl":
                written = _typed(batch)
        return _Source(files, reader.schema, written, reader.column or "")


def _typed(batch: RowBatch) -> pa.Schema:
    """Names and types that rows have together, as a writer tells them."""
    written = io.BytesIO()
    writer = ParquetWriter(written, Layout(None, None, pa.schema([])))
    writer.write(batch, {})
    writer.finish()
    return pq.read_schema(written)


def _run(
    source: _Source,
    about: LabellerOptions,
    parts: PartFiles,
    summary: PartSummary,
    room: Room,
) -> int:
    """Read, label, write; returns how many files were written."""
    import ray.data

    from .ray_files import PartSink, RowSource

    rows = InputRows(source.files, source.schema, frozenset(parts.columns.schema.names))
    sink = PartSink(parts, summary)
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.target_max_block_size = _BLOCK_BYTES
    context.execution_no_progress_timeout_s = _STANDSTILL_SECONDS
    context.enable_progress_bars = sys.stderr.isatty()
    with ray.data.DataContext.current(context):
        (
            ray.data.read_datasource(
                RowSource(rows),
                # One for each file: else Ray cuts what they give out into more.
                override_num_blocks=len(source.files.places),
                # Another share than the actors', or Ray would read inside of them, and then a file
                # would be the work of one.
                num_cpus=TASK_CPUS,
                concurrency=room.readers,
            )
            .map_batches(
                RayLabeller,
                fn_constructor_args=(about,),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=room.cpus,
                compute=ray.data.ActorPoolStrategy(size=room.actors),
            )
            .write_datasink(sink, ray_remote_args={"num_cpus": TASK_CPUS})
        )
    if not sink.written:  # no rows: a file that says which columns there would be
        parts.write(0, [])
    return max(sink.written, 1)


def _absolute(place: str) -> str:
    path = local_path(place)
    return place if path is None else str(path.absolute())
