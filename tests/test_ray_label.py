"""`--engine ray` on a real cluster of two nodes, beside what a plain client says."""

import json
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WorkerProcess, wait_until
from small_bert import TASKS, small_checkpoint, write_small_bert
from twinhead.client import Client, FileError, WorkerFailedError
from twinhead.client.files.part_folder import SUCCESS
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.labelling.ray_label import RayOptions, ray_label
from twinhead.model.config import TaskConfig

SERVE = ("--engine", "torch")
CPUS = 2
# In the environment of all processes of the cluster.
MARK = ("TEST_OF_TWINHEAD_MARK", uuid.uuid4().hex)
KINDS = (
    *TASKS,
    TaskConfig(name="wild", kind="binary", labels=("no", "yes")),
    TaskConfig(name="tags", kind="multi_label", labels=("new", "old", "odd")),
    TaskConfig(name="names", kind="token", labels=("O", "B-PER", "I-PER")),
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of two nodes on this machine."""
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory(prefix="ray-") as folder,  # Ray's sockets need a short path
    ):
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_gcs_server_port_wait_time_s", "240")  # the machine may be busy
        patch.setenv(*MARK)
        # Where the address of the last cluster is written; Ray does not make the folder.
        patch.setenv("RAY_TMPDIR", folder)
        Path(folder, "ray").mkdir()
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": CPUS, "object_store_memory": 100 * 1024 * 1024}
        cluster = Cluster(
            initialize_head=True,
            head_node_args={**node, "include_dashboard": False, "temp_dir": folder},
        )
        cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    small_checkpoint(write_small_bert(folder / "encoder"), KINDS).save(folder / "checkpoint")
    return str(folder / "checkpoint")


def many_types(rows: int) -> pa.Table:
    """Columns of many types, among them a text that is sometimes empty, null or too long."""
    texts: list[str | None] = [f"the quick fox{'es' * (n % 3)} run {n}!" for n in range(rows)]
    texts[3], texts[50], texts[120] = "", None, "fox " * 100
    numbers = range(rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.uint32()),
            "text": pa.array(texts, pa.large_string()),
            "amount": pa.array([Decimal(n) / 100 for n in numbers], pa.decimal128(9, 2)),
            "when": pa.array(
                [datetime.fromtimestamp(n * 1e6, UTC) for n in numbers],
                pa.timestamp("us", "Europe/Berlin"),
            ),
            "ratio": pa.array([n / 7 if n % 5 else None for n in numbers], pa.float32()),
            "kind": pa.array(["red", "blue"] * (rows // 2)).dictionary_encode(),
            "raw": pa.array([bytes([n % 256]) for n in numbers], pa.binary()),
            "list": pa.array([[n] * (n % 3) for n in numbers], pa.list_(pa.int16())),
            "nested": pa.array([{"x": n, "y": [str(n)]} for n in numbers]),
            "fixed": pa.array([[n, n] for n in numbers], pa.list_(pa.float32(), 2)),
            "none": pa.nulls(rows),
        }
    )


def assert_alike(ours: object, theirs: object) -> None:
    """Equal, and numbers to 1e-5."""
    if isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=1e-5)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_alike(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for each, other in zip(ours, theirs, strict=True):
            assert_alike(each, other)
    else:
        assert ours == theirs


class Killer(threading.Thread):
    """Kills the first actor that is there, while its worker loads the model."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.workers: list[psutil.Process] = []

    def run(self) -> None:
        wait_until(self._kill, 120)

    def _kill(self) -> bool:
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"].startswith("ray::Map") and self._is_ours(process):
                    self.workers = process.children()
                    if self.workers:
                        process.send_signal(signal.SIGKILL)
                        return True
            except psutil.Error:
                continue
        return False

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.environ().get(MARK[0]) == MARK[1]


def test_answers_are_those_of_a_client(
    address: str,
    model: str,
    tmp_path: Path,
    start_worker: Callable[..., WorkerProcess],
):
    table = many_types(200)
    places = [str(tmp_path / f"in-{part}.parquet") for part in "ab"]
    pq.write_table(table.slice(0, 130), places[0])
    pq.write_table(table.slice(130), places[1])
    options = RayOptions(
        address=address,
        model=model,
        serve_options=SERVE,
        actors=2,
        cpus_per_actor=1,
        embeddings=True,
        scores=True,
        truncate=False,
        prefix="p_",
    )
    killer = Killer()
    killer.start()
    result = ray_label(places, str(tmp_path / "out"), options)
    killer.join()
    # The actor's own worker went with it, and nobody missed it.
    for worker in killer.workers:
        worker.wait(30)
    assert killer.workers

    written = pq.read_table(tmp_path / "out")
    with Client(start_worker("--model", model, *SERVE).target) as client:
        about = client.model()
        columns = LabelColumns.of(about, None, embeddings=True, prefix="p_", scores=True)
        texts = [text or "" for text in table["text"].to_pylist()]
        answer = client.infer(texts, columns.options(truncate=False))
        expected = columns.of_result(answer, texts)
    assert written.schema == pa.schema([*table.schema, *columns.schema])
    assert written.select(table.column_names).equals(table)
    for name, column in expected.items():
        assert_alike(written[name].to_pylist(), column.to_pylist())

    failed = [row for row in range(200) if written["p_error"][row].as_py() is not None]
    assert failed == [3, 50, 120]
    assert result.summary.failed == {"empty": 2, "too long": 1}
    assert (result.summary.rows, result.actors, result.model) == (200, 2, about)
    assert result.summary.versions == {about.version: 200}
    topics = expected["p_topic"].drop_null().to_pylist()
    assert result.summary.labels["topic"] == {name: topics.count(name) for name in set(topics)}
    assert json.loads((tmp_path / "out" / SUCCESS).read_text()) == {
        "rows": 200,
        "failed": {"empty": 2, "too long": 1},
        "model_version": about.version,
        "parts": result.parts,
    }
    assert not (tmp_path / "out.partial").exists()


def test_a_run_that_fails_leaves_nothing(address: str, tmp_path: Path):
    (tmp_path / "in.csv").write_text("text\na\n")
    options = RayOptions(address=address, model=str(tmp_path), cpus_per_actor=1)
    with pytest.raises(WorkerFailedError, match=r"^the worker did not start:\nError: .*missing$"):
        ray_label([str(tmp_path / "in.csv")], str(tmp_path / "out"), options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_actors_that_would_leave_no_cpu_are_refused(address: str, tmp_path: Path):
    (tmp_path / "in.csv").write_text("text\na\n")
    options = RayOptions(address=address, actors=2, cpus_per_actor=CPUS)
    with pytest.raises(WorkerFailedError, match=r"wait for ever\. Say --ray-actors 1"):
        ray_label([str(tmp_path / "in.csv")], str(tmp_path / "out"), options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("places", "options", "message"),
    [
        (["in.csv"], {"column": "words"}, r"in\.csv: there is no column 'words'; there are 'text'"),
        (["nowhere.csv"], {}, r"nowhere\.csv: no such file"),
        (["-"], {}, "cannot read standard input"),
        ([], {}, "no files to label"),
        (["in.csv"], {"output_format": "xlsx"}, "cannot write xlsx; choose csv"),
        (["in.jsonl"], {}, "the column 'n' mixes types in the first rows"),
    ],
)
def test_bad_input_is_told_before_ray_starts(tmp_path, places, options, message):
    (tmp_path / "in.csv").write_text("text,n\na,1\n")
    (tmp_path / "in.jsonl").write_text('{"text": "a", "n": 1}\n{"text": "b", "n": "c"}\n')
    full = [each if each == "-" else str(tmp_path / each) for each in places]
    with pytest.raises(FileError, match=message):
        ray_label(full, str(tmp_path / "out"), RayOptions(**options))


def test_an_output_that_is_there_is_told_before_ray_starts(tmp_path):
    (tmp_path / "in.csv").write_text("text,n\na,1\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-000000.parquet").touch()
    with pytest.raises(FileError, match="out: is there already"):
        ray_label([str(tmp_path / "in.csv")], str(tmp_path / "out"), RayOptions())
