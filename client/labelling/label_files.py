"""One run of the labeller: opens what it needs, and leaves either the output or the way on."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..errors import FileError
from ..files.file_formats import npy_beside
from ..files.file_place import STANDARD, local_path, told
from ..files.input_files import expand
from ..files.output_file import OutputFile
from ..files.row_reader import open_reader
from ..label_report.label_report import LabelReport
from .bulk_label import LabelOptions, bulk_label
from .label_columns import WORKER_FAILED
from .label_journal import LabelJournal
from .label_progress import LabelProgress
from .label_summary import LabelSummary
from .worker_pool import WorkerPool


@dataclass(frozen=True)
class FileOptions:
    """Where rows come from and go to."""

    input_format: str | None = None
    """None to tell it by the names of the files."""
    output_format: str | None = None
    column: str | None = None
    """The one to label; None to choose by the usual names."""
    encoding: str = "utf-8"
    """Of text formats."""
    header: bool = True
    """Whether CSV and TSV begin with the names of the columns."""
    journal: str | None = None
    """File that keeps answers until the output is complete; None for the usual place, empty for
    none that outlives the run."""
    restart: bool = False
    """Whether to forget what an earlier run has left in the journal."""
    report: str | None = None
    """Page about the run to write."""


def label_files(
    inputs: Sequence[str],
    output_path: str,
    pool: WorkerPool,
    options: LabelOptions,
    files: FileOptions,
    console: Console,
) -> LabelSummary:
    """Label files into one file.

    Args:
        inputs: files, folders and patterns, or `-` for standard input.
        output_path: the file, or `-` for standard output.
        pool: the workers.
        options: what to write.
        files: where from and to.
        console: for people to watch.

    Raises:
        TwinheadError: it cannot be done, or not to the end; then the journal has what is answered.
    """
    paths = [path for place in inputs for path in expand(place, files.input_format)]
    with ExitStack() as opened:
        reader = opened.enter_context(
            open_reader(paths, files.input_format, files.column, files.encoding, files.header)
        )
        place = Path(files.journal) if files.journal else None
        if files.journal is None:
            place = journal_path(output_path)
        _check_places(paths, output_path, place, files.report)
        opened.enter_context(pool)
        model = pool.model()  # workers that are not there are told before anything is written
        journal = LabelJournal(place)
        opened.callback(journal.close)
        found = journal.answered
        if files.restart:
            journal.forget()
        before = journal.answered
        output = report = None
        try:
            output = OutputFile(output_path, files.output_format, paths)
            if files.report is not None:
                tasks = [
                    task for name, task in model.tasks.items() if name in (options.tasks or (name,))
                ]
                report = LabelReport(reader.name, model, tasks, options.prefix)
            with LabelProgress(console, reader.size) as progress:
                summary = bulk_label(
                    pool, model, reader, output, journal, options, progress, report
                )
            output.complete()
            if report is not None and files.report is not None:
                report.write(files.report, summary)
        except BaseException as error:
            if output is not None:
                output.abandon()
            if isinstance(error, FileError) and before and journal.answered == before:
                pass  # what an earlier run has left stays, and the error says what is in the way
            elif journal.answered and place is not None:
                console.print(
                    f"what is answered so far is kept in {place}; the same command goes on there",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
            elif journal.run or not found:  # else it was to begin anew, and has not
                journal.remove()
            raise
        if summary.failed[WORKER_FAILED] and place is not None:
            console.print(
                f"{place} is kept: the same command asks again for what workers failed on",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        else:
            journal.remove()
    return summary


def journal_path(output_path: str) -> Path | None:
    """Where the answers of a run are kept: beside the output, if that is on this machine.

    None for standard output, which nobody can go on from.

    Raises:
        FileError: there is no place for it.
    """
    if output_path == STANDARD:
        return None
    path = local_path(output_path)
    if path is not None:
        return Path(f"{path}.journal")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinhead"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"{cache}: no place for the journal there ({error.strerror}); say --journal FILE"
        ) from error
    name = hashlib.sha256(output_path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache / f"{name}.journal"


def _check_places(
    inputs: Sequence[str], output_path: str, journal: Path | None, report: str | None
) -> None:
    """Look, before there is work that could be lost, whether journal and report have places.

    The journal is removed in the end, and the report takes the place of what was there.

    Raises:
        FileError: one of them is the input or another output, or its folder is not there.
    """
    outputs = (output_path, f"{output_path}.partial", npy_beside(output_path))
    taken = {_real_path(each) for each in (*inputs, *outputs)} - {None}
    places = [(output_path, set[Path | None]())]
    places += [(str(each), taken) for each in (journal, report) if each is not None]
    for place, others in places:
        path = _real_path(place)
        if path is None:
            continue
        if path in others:
            raise FileError(f"{place}: is the input or another output; choose another file")
        with told(place):
            if path.is_dir():
                raise FileError(f"{place}: is a folder; say a file's name")
            if not path.parent.is_dir():
                raise FileError(f"{place}: cannot write there: there is no folder {path.parent}")
        others.add(path)


def _real_path(place: str) -> Path | None:
    path = local_path(place)
    return None if path is None else path.resolve()
