"""A worker of our own: ready when it is made, and never left behind."""

import signal
import subprocess
import sys

import psutil
import pytest
from twinhead.client import AdminClient, Client, InferOptions, WorkerFailedError
from twinhead.client.own_worker import OwnWorker

SERVE = ("--engine", "torch", "--threads", "1")
HOLDER = f"""
import signal
from twinhead.client.own_worker import OwnWorker
worker = OwnWorker(*{SERVE!r})
print(worker.pid, flush=True)
signal.pause()
"""


def test_a_worker_is_ready_and_stops(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Of another worker, which this one is not to be like.
    monkeypatch.setenv("TWINHEAD_TLS_CERTIFICATE", "nowhere.pem")
    monkeypatch.setenv("TWINHEAD_PORT", "1")
    with OwnWorker(*SERVE) as worker, Client(worker.target) as client:
        assert worker.running
        assert psutil.pid_exists(worker.pid)
        assert list(tmp_path.iterdir()) == []
        result = client.infer(["A good match."], InferOptions(embedding=None))
        assert result["topic"].labels == ["Sports"]
        assert client.model().engine == "torch"
        assert "ready" in worker.said()
        with AdminClient(worker.admin_target) as admin:
            assert admin.status().model_version == result.model_version
    assert not worker.running
    assert not psutil.pid_exists(worker.pid)


def test_one_that_cannot_start_says_why():
    with pytest.raises(WorkerFailedError, match=r"did not start:\n(.*\n)*.*No such option.*--no"):
        OwnWorker("--no")
    with pytest.raises(WorkerFailedError, match="not ready after 0 s:\nit said nothing"):
        OwnWorker(start_seconds=0)


def test_it_does_not_outlive_a_process_that_is_killed():
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    with holder:
        worker = psutil.Process(int(holder.stdout.readline()))
        holder.send_signal(signal.SIGKILL)
        assert holder.wait(30) == -signal.SIGKILL
        worker.wait(30)
