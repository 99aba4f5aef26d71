"""One run of the labeller in this process: its places, and what it leaves behind."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import DebugWorker
from debug_model import expected_embedding
from rich.console import Console
from twinhead.client import FileError, InvalidRequestError, WorkerUnavailableError
from twinhead.client.channel import Access
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.client.labelling.bulk_label import LabelOptions, RowFailedError
from twinhead.client.labelling.label_files import FileOptions, journal_path, label_files
from twinhead.client.labelling.label_journal import LabelJournal
from twinhead.client.labelling.label_summary import LabelSummary
from twinhead.client.labelling.worker_pool import WorkerPool


def words(count: int) -> list[str]:
    return [f"w{number} w{number % 7}" for number in range(count)]


class Labeller:
    """Runs in a folder of its own, with a debug worker."""

    def __init__(self, folder: Path, worker: DebugWorker) -> None:
        self.folder = folder
        self.worker = worker
        self.said = io.StringIO()

    def __call__(
        self,
        *inputs: str,
        output: str = "out.csv",
        options: LabelOptions | None = None,
        **files,
    ) -> LabelSummary:
        console = Console(file=self.said, width=200)
        pool = WorkerPool([self.worker.target], Access(), reconnect_seconds=0)
        return label_files(
            inputs, output, pool, options or LabelOptions(), FileOptions(**files), console
        )

    def sent(self) -> int:
        """Sentences encoded since the last look."""
        count = sum(self.worker.engine.passes)
        self.worker.engine.passes.clear()
        return count

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def label(tmp_path, debug_worker, monkeypatch) -> Labeller:
    monkeypatch.chdir(tmp_path)
    return Labeller(tmp_path, debug_worker)


def write(path: str, texts: list[str]) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("text\n" + "".join(f"{text}\n" for text in texts))


def texts_of(path: str) -> list[str]:
    return [line.split(",")[0] for line in Path(path).read_text().splitlines()[1:]]


@pytest.fixture
def interrupted(label) -> Labeller:
    """A run over `in.csv` that answered all of 1,000 rows but was ended by the one after them."""
    write("in.csv", [*words(1000), "one,cell,too,many"])
    with pytest.raises(FileError, match="has 4 cells"):
        label("in.csv")
    assert label.sent() == 1000
    assert label.names() == ["in.csv", "out.csv.journal"]
    return label


# Places.


@pytest.mark.parametrize(
    "inputs", [["a.csv", "in/b.csv"], ["a.csv", "in"], ["a.csv", "in/*.csv"], ["a.csv", "in/?.csv"]]
)
def test_several_inputs_become_one_output(label, inputs):
    write("a.csv", words(5))
    write("in/b.csv", words(9)[5:])
    Path("in/_log.csv").write_text("not mine")
    summary = label(*inputs)
    assert texts_of("out.csv") == words(9)
    assert (summary.rows, summary.labelled) == (9, 9)


def test_only_the_output_is_left(label):
    write("in.csv", words(50))
    label("in.csv", options=LabelOptions(embeddings=True), report="report.html")
    assert label.names() == ["in.csv", "out.csv", "out.npy", "report.html"]
    expected = np.stack([expected_embedding(text) for text in words(50)])
    np.testing.assert_allclose(np.load("out.npy"), expected, atol=1e-5)
    assert "w49" in Path("report.html").read_text()


def test_an_output_of_before_is_replaced_in_the_end(label):
    write("in.csv", words(5))
    Path("out.csv").write_text("of yesterday")
    Path("out.csv.partial").write_text("of a run that was killed")
    with pytest.raises(InvalidRequestError):
        label("in.csv", options=LabelOptions(tasks=["mood"]))
    assert Path("out.csv").read_text() == "of yesterday"
    label("in.csv")
    assert texts_of("out.csv") == words(5)
    assert label.names() == ["in.csv", "out.csv"]


def test_the_journal_may_be_elsewhere(label):
    write("in.csv", [*words(9), "one,cell,too,many"])
    Path("elsewhere").mkdir()
    with pytest.raises(FileError, match="cells"):
        label("in.csv", journal="elsewhere/answers")
    assert label.names() == ["elsewhere", "in.csv"]
    assert "kept in elsewhere/answers; the same command goes on there" in label.said.getvalue()
    write("in.csv", words(9))
    label("in.csv", journal="elsewhere/answers", options=LabelOptions(allow_changed=True))
    assert label.sent() == 9
    assert list(Path("elsewhere").iterdir()) == []


def test_the_journal_of_a_place_that_is_not_here_is_in_the_cache(
    label, memory, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write("in.csv", [*words(9), "one,cell,too,many"])
    with pytest.raises(FileError, match="cells"):
        label("in.csv", output="memory://bucket/out.csv.gz")
    (journal,) = (tmp_path / "cache" / "twinhead").iterdir()
    assert f"kept in {journal};" in label.said.getvalue()
    write("in.csv", words(9))
    options = LabelOptions(allow_changed=True)
    label("in.csv", output="memory://bucket/out.csv.gz", options=options)
    assert label.sent() == 9
    assert list((tmp_path / "cache" / "twinhead").iterdir()) == []
    data = memory.cat_file("/bucket/out.csv.gz")
    assert gzip.decompress(data).decode().splitlines()[1].startswith("w0 w0,")


def test_without_a_place_for_the_journal_it_says_what_to_do(label, memory, tmp_path, monkeypatch):
    write("in.csv", words(9))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "in.csv"))
    with pytest.raises(FileError, match=r"no place for the journal there .* --journal FILE"):
        label("in.csv", output="memory://bucket/other.csv")


def test_standard_output_has_no_journal():
    assert journal_path("-") is None
    assert journal_path("a/out.csv.gz") == Path("a/out.csv.gz.journal")
    assert journal_path("file:///a/out.csv") == Path("/a/out.csv.journal")


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"journal": "in.csv"}, "in.csv"),
        ({"journal": "out.csv"}, "out.csv"),
        ({"journal": "out.csv.partial"}, "out.csv.partial"),
        ({"report": "in.csv"}, "in.csv"),
        ({"report": "link.html"}, "link.html"),  # to the input
        ({"report": "./out.csv"}, "./out.csv"),
        ({"report": "out.npy"}, "out.npy"),
        ({"report": "out.csv.journal"}, "out.csv.journal"),
        ({"report": "page", "journal": "page"}, "page"),
    ],
)
def test_no_file_is_taken_for_two_things(label, files, named):
    write("in.csv", words(9))
    before = Path("in.csv").read_bytes()
    Path("link.html").symlink_to("in.csv")
    with pytest.raises(FileError) as caught:
        label("in.csv", options=LabelOptions(embeddings=True), **files)
    assert str(caught.value) == f"{named}: is the input or another output; choose another file"
    assert label.names() == ["in.csv", "link.html"]
    assert Path("in.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("output", "files", "message"),
    [
        ("nowhere/out.csv", {}, "nowhere/out.csv: cannot write there: there is no folder "),
        ("out.csv", {"report": "nowhere/r.html"}, "nowhere/r.html: cannot write there: "),
        ("out.csv", {"journal": "nowhere/j"}, "nowhere/j: cannot write there: "),
        (".", {}, ".: is a folder; say a file's name"),
        ("/", {"output_format": "csv"}, "/: is a folder; say a file's name"),
        ("out.csv", {"report": "/"}, "/: is a folder; say a file's name"),
        (f"{'x' * 300}.csv", {}, f"{'x' * 300}.csv: File name too long"),
        ("out.xlsx", {}, "out.xlsx: cannot write the format xlsx; say --output-format"),
        ("in.csv", {}, "in.csv: is the input; choose another output"),
    ],
)
def test_places_that_cannot_be_are_told_before_any_work(label, output, files, message):
    write("in.csv", words(9))
    with pytest.raises(FileError) as caught:
        label("in.csv", output=output, **files)
    assert str(caught.value).startswith(message)
    assert label.sent() == 0
    assert label.names() == ["in.csv"]
    assert not Path("..journal").exists()


def test_without_a_worker_nothing_is_touched(label):
    write("in.csv", words(9))
    Path("out.csv.partial").write_text("of yesterday")
    label.worker.drain()
    with pytest.raises(WorkerUnavailableError):
        label("in.csv")
    assert label.names() == ["in.csv", "out.csv.partial"]
    assert Path("out.csv.partial").read_text() == "of yesterday"


# Going on.


def test_the_same_command_goes_on(interrupted):
    assert interrupted.said.getvalue() == (
        "what is answered so far is kept in out.csv.journal; the same command goes on there\n"
    )
    with pytest.raises(FileError, match="has 4 cells"):
        interrupted("in.csv")
    assert interrupted.sent() == 0
    write("in.csv", words(1001))
    summary = interrupted("in.csv", options=LabelOptions(allow_changed=True))
    assert 1 <= interrupted.sent() <= 256
    assert summary.before >= 1000 - 255
    assert texts_of("out.csv") == words(1001)
    assert interrupted.names() == ["in.csv", "out.csv"]


def test_what_is_refused_is_not_said_to_go_on(interrupted):
    interrupted.said.truncate(0)
    write("in.csv", words(1001))
    with pytest.raises(FileError, match="the input has changed"):
        interrupted("in.csv")
    assert interrupted.said.getvalue() == ""
    assert interrupted.names() == ["in.csv", "out.csv.journal"]


def test_restart_begins_anew(interrupted):
    write("in.csv", words(1001))
    assert interrupted("in.csv", restart=True).before == 0
    assert interrupted.sent() == 1001
    assert interrupted.names() == ["in.csv", "out.csv"]


def test_a_restart_that_cannot_begin_loses_nothing(interrupted):
    with pytest.raises(InvalidRequestError):
        interrupted("in.csv", restart=True, options=LabelOptions(tasks=["mood"]))
    with pytest.raises(FileError, match="has 4 cells"):
        interrupted("in.csv")
    assert interrupted.sent() == 0


def test_a_second_run_for_the_same_output_is_refused(label):
    write("in.csv", words(9))
    Path("out.csv.partial").write_text("of the first")
    first = LabelJournal(Path("out.csv.journal"))
    for restart in (False, True):
        with pytest.raises(FileError) as caught:
            label("in.csv", restart=restart)
        assert str(caught.value) == ("another run writes out.csv.journal; wait for it, or end it")
    assert label.names() == ["in.csv", "out.csv.journal", "out.csv.partial"]
    assert Path("out.csv.partial").read_text() == "of the first"
    first.close()
    label("in.csv")
    assert label.names() == ["in.csv", "out.csv"]


def test_what_is_no_journal_is_left_alone(label):
    write("in.csv", words(9))
    Path("out.csv.journal").write_text("my diary")
    for restart in (False, True):
        with pytest.raises(FileError, match=r"out\.csv\.journal is in the way"):
            label("in.csv", restart=restart)
    assert Path("out.csv.journal").read_text() == "my diary"


def test_fail_fast_keeps_what_is_answered(label):
    write("in.csv", [*words(20), '" "'])
    with pytest.raises(RowFailedError, match=r"in.csv: row 21: the sentence is empty"):
        label("in.csv", options=LabelOptions(fail_fast=True))
    assert label.names() == ["in.csv", "out.csv.journal"]
    summary = label("in.csv")
    assert summary.failed == {"empty": 1}
    assert summary.before == 21
    assert label.names() == ["in.csv", "out.csv"]


def test_a_run_that_answered_nothing_leaves_nothing(label):
    write("in.csv", ["one,cell,too,many"])
    with pytest.raises(FileError, match="has 4 cells"):
        label("in.csv")
    assert label.names() == ["in.csv"]
    assert label.said.getvalue() == ""


@pytest.fixture
def quiet(label) -> Callable[..., bytes]:
    """The output of a run that nothing interrupts."""

    def run(*arguments, output: str, **files) -> bytes:
        label(*arguments, output=f"quiet-{output}", **files)
        label.sent()
        return Path(f"quiet-{output}").read_bytes()

    return run


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl", "out.parquet", "out.arrow"])
def test_what_is_put_together_from_two_runs_is_as_of_one(label, quiet, output):
    write("in.csv", words(3 * MAX_ROWS // 4) * 3)
    options = LabelOptions(embeddings=True)
    expected = quiet("in.csv", output=output, options=options)
    write("more.csv", ["one,cell,too,many"])
    with pytest.raises(FileError, match="cells"):
        label("in.csv", "more.csv", output=output, options=options)
    label.sent()
    label("in.csv", output=output, options=LabelOptions(embeddings=True, allow_changed=True))
    assert label.sent() == 0
    assert Path(output).read_bytes() == expected
    if output.endswith(("csv", "jsonl")):
        assert Path("out.npy").read_bytes() == Path("quiet-out.npy").read_bytes()
    else:
        assert not Path("out.npy").exists()


def test_rows_may_be_appended_to_what_is_labelled(label):
    write("in.csv", [*words(2 * MAX_ROWS), "one,cell,too,many"])
    with pytest.raises(FileError):
        label("in.csv", output="out.parquet")
    write("in.csv", words(2 * MAX_ROWS + 50))
    label.sent()
    label("in.csv", output="out.parquet", options=LabelOptions(allow_changed=True))
    assert label.sent() == 50
    assert pq.read_table("out.parquet")["text"].to_pylist() == words(2 * MAX_ROWS + 50)
