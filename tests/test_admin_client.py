"""The admin client against real workers: pushes, the list of versions, rollback, tokens."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import torch
from conftest import DebugWorker, wait_until
from small_bert import TASKS, small_checkpoint, write_small_bert
from twinhead.client import AdminClient, Client
from twinhead.client.admin_client import DriftLimits, VersionOffer
from twinhead.client.errors import (
    AccessDeniedError,
    InvalidRequestError,
    OtherVersionLiveError,
    PushRefusedError,
    UnknownVersionError,
    WorkerFailedError,
    WorkerUnavailableError,
)
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig
from twinhead.model.version_parts import VersionParts
from twinhead.server.load_model import load_model
from twinhead.v1 import model_admin_service_pb2 as pb
from twinhead.v1 import model_admin_service_pb2_grpc as pb_grpc

WEIGHT = "heads.topic.output.weight"
BIAS = "heads.topic.output.bias"
WEIGHT_BYTES = 3 * 32 * 4
OTHER_TASKS = (
    TaskConfig(name="topic", labels=("sea", "land", "fire")),
    TaskConfig(name="mood", labels=("calm", "wild")),
)
TOKEN = "a-token-of-this-test"


def save_small(folder: Path, tasks: tuple[TaskConfig, ...] = TASKS) -> Path:
    """A small BERT as a checkpoint folder."""
    write_small_bert(folder / "encoder")
    small_checkpoint(folder / "encoder", tasks).save(folder / "saved")
    return folder / "saved"


def variant(
    checkpoint: Checkpoint,
    change: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor * 1.01,
    name: str = WEIGHT,
    provenance: Mapping[str, object] | None = None,
) -> Checkpoint:
    """A checkpoint with one tensor changed."""
    network = checkpoint.network
    changed = network.with_tensors(checkpoint.config, {name: change(network.state_dict()[name])})
    return Checkpoint.create(changed, checkpoint.tokenizer, provenance=provenance)


def all_sea(bias: torch.Tensor) -> torch.Tensor:
    """So that every sentence gets the first label."""
    return bias + torch.tensor([1e3, 0.0, 0.0])


def offer_of(checkpoint: Checkpoint, **conditions: object) -> VersionOffer:
    parts = VersionParts.of(checkpoint)
    return VersionOffer(files=parts.files.files, read=parts.read, **conditions)


def push(admin: AdminClient, checkpoint: Checkpoint, **conditions: object) -> None:
    with admin.push(offer_of(checkpoint, **conditions)) as pushing:
        pushing.stage()
        pushing.go_live()


def wait_until_free(worker: DebugWorker) -> None:
    """Until the worker has noticed that a push was left; before, it refuses whatever loads one."""

    def free() -> bool:
        with pytest.raises((PushRefusedError, UnknownVersionError)) as caught:
            admin.activate("none")
        return caught.type is UnknownVersionError

    with AdminClient(worker.admin_target) as admin:
        wait_until(free)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def first(saved) -> Checkpoint:
    return Checkpoint.load(saved)


@pytest.fixture(scope="module")
def second(first) -> Checkpoint:
    return variant(first)


@pytest.fixture
def start(start_debug_worker, saved) -> Callable[..., DebugWorker]:
    """Start workers with the small BERT."""

    def start(**settings: object) -> DebugWorker:
        return start_debug_worker(
            load=load_model, model=str(saved), device="cpu", threads=1, **settings
        )

    return start


@pytest.fixture
def worker(start) -> DebugWorker:
    return start()


@pytest.fixture
def admin(worker) -> Iterator[AdminClient]:
    with AdminClient(worker.admin_target) as client:
        yield client


def live_version(worker: DebugWorker, token: str = "") -> str:
    with Client(worker.target, token=token) as client:
        return client.model().version


# Pushes.


def test_a_push_brings_what_changed_and_nothing_else(worker, admin, first, second):
    sent: list[int] = []
    with admin.push(offer_of(second)) as pushing:
        report = pushing.stage(sent.append)
        assert report.received_bytes == sum(sent) == WEIGHT_BYTES
        assert report.probes == 16
        assert report.deviation < 1e-3
        assert report.min_cosine == pytest.approx(1)
        assert set(report.agreement) == {"topic", "mood"}
        assert report.agreement["mood"] == 1
        # Staged is not live.
        assert live_version(worker) == first.version
        assert pushing.go_live() == (first.version, False)
    assert live_version(worker) == second.version
    with Client(worker.target) as client:
        logits = client.infer(["the fox"])["topic"].logits
    (sentence,) = second.tokenizer(["the fox"])
    ids = torch.tensor([sentence.ids])
    with torch.inference_mode():
        expected = second.network(ids, torch.ones_like(ids)).logits["topic"]
    torch.testing.assert_close(torch.tensor(logits), expected, atol=1e-4, rtol=1e-4)


def test_a_version_of_which_nothing_is_lacking_goes_live(start, tmp_path, first, second):
    worker = start(state=str(tmp_path / "state"))
    with AdminClient(worker.admin_target) as admin:
        push(admin, second)
        for version in (second, first):  # the live one itself, and one that the store has whole
            with admin.push(offer_of(version)) as pushing:
                assert pushing.stage().received_bytes == 0
                assert pushing.go_live() == (second.version, True)
    assert live_version(worker) == first.version


def test_a_push_that_is_left_is_forgotten(worker, admin, first, second):
    with admin.push(offer_of(second)) as pushing:
        pushing.stage()
    wait_until_free(worker)
    assert [each.version for each in admin.versions().versions] == [first.version]
    with admin.push(offer_of(second)) as pushing:
        assert pushing.stage().received_bytes == WEIGHT_BYTES  # it did not keep the tensor either
        pushing.go_live()
    assert live_version(worker) == second.version


def test_a_push_that_is_never_staged_can_be_closed(admin, second):
    with admin.push(offer_of(second)):
        pass
    assert len(admin.versions().versions) == 1


def test_one_push_at_a_time(worker, admin, first, second):
    with admin.push(offer_of(second)) as staged:
        staged.stage()
        with admin.push(offer_of(second)) as another:
            with pytest.raises(
                PushRefusedError, match="another version is being brought"
            ) as caught:
                another.stage()
            assert caught.value.check == ""
        assert staged.go_live() == (first.version, False)  # the refused one did it no harm


def test_the_version_that_is_expected(worker, admin, first, second):
    with admin.push(offer_of(second, expected_live_version="0" * 16)) as pushing:
        with pytest.raises(OtherVersionLiveError, match=first.version):
            pushing.stage()
    assert live_version(worker) == first.version
    push(admin, second, expected_live_version=first.version)
    assert live_version(worker) == second.version


def test_another_version_that_goes_live_meanwhile_is_not_overwritten(worker, admin, first, second):
    push(admin, second)
    with admin.push(offer_of(variant(second))) as pushing:
        pushing.stage()
        admin.activate(first.version)
        with pytest.raises(OtherVersionLiveError, match=second.version):
            pushing.go_live()
    assert live_version(worker) == first.version


def test_other_labels_must_be_allowed(worker, admin, first, tmp_path):
    other = Checkpoint.load(save_small(tmp_path, OTHER_TASKS))
    with admin.push(offer_of(other)) as pushing:
        with pytest.raises(PushRefusedError, match="labels of topic are sea, land, fire") as caught:
            pushing.stage()
    assert caught.value.check == "tasks"
    assert live_version(worker) == first.version
    with admin.push(offer_of(other, allow_new_tasks=True)) as pushing:
        # Labels that are not the same are not compared.
        assert set(pushing.stage().agreement) == {"mood"}
        pushing.go_live()
    with Client(worker.target) as client:
        assert client.model().tasks["topic"].label_names == ("sea", "land", "fire")


def test_drift_of_labels_is_limited(worker, admin, first):
    offered = variant(first, all_sea, BIAS)
    with admin.push(offer_of(offered)) as pushing:
        agreement = pushing.stage().agreement
    assert agreement["topic"] < 1  # else the rest would show nothing
    assert agreement["mood"] == 1
    wait_until_free(worker)
    limits = DriftLimits(min_agreement=agreement["topic"] + 0.01)
    with admin.push(offer_of(offered, drift_limits=limits)) as pushing:
        with pytest.raises(PushRefusedError, match="topic: ") as caught:
            pushing.stage()
    assert caught.value.check == "drift"
    push(admin, offered, drift_limits=DriftLimits(min_agreement=agreement["topic"]))
    assert live_version(worker) == offered.version


def test_drift_of_embeddings_is_limited(worker, admin, first):
    name = next(
        name for name in first.network.state_dict() if name.endswith("word_embeddings.weight")
    )
    offered = variant(first, lambda tensor: tensor.flip(0), name)
    with admin.push(offer_of(offered, drift_limits=DriftLimits(min_cosine=0.999))) as pushing:
        with pytest.raises(PushRefusedError, match="cosine") as caught:
            pushing.stage()
    assert caught.value.check == "drift"
    push(admin, offered, drift_limits=DriftLimits(min_cosine=-1))
    assert live_version(worker) == offered.version


def test_probes_of_the_callers_own(admin, first, second):
    limits = DriftLimits(sentences=["the fox", "quick foxes run"])
    with admin.push(offer_of(second, drift_limits=limits)) as pushing:
        report = pushing.stage()
    assert report.probes == 2
    assert report.deviation < 1e-3  # of those that the version brings, all the same


def test_limits_that_cannot_be_are_refused_by_name(admin, second):
    limits = DriftLimits(min_cosine=2.0, min_agreement=-1.0)
    with admin.push(offer_of(second, drift_limits=limits)) as pushing:
        with pytest.raises(InvalidRequestError) as caught:
            pushing.stage()
    assert [field for field, _ in caught.value.violations] == [
        "offer.drift_limits.min_cosine",
        "offer.drift_limits.min_agreement",
    ]


def test_damaged_bytes_are_refused(worker, admin, first, second):
    offer = offer_of(second)
    damaged = VersionOffer(offer.files, lambda digest: bytes(len(offer.read(digest))))
    with admin.push(damaged) as pushing:
        with pytest.raises(PushRefusedError, match="arrived with other bytes"):
            pushing.stage()
    assert live_version(worker) == first.version


def test_a_worker_that_drains_lets_a_staged_push_go(worker, admin, second):
    with admin.push(offer_of(second)) as pushing:
        pushing.stage()
        worker.drain()
        with pytest.raises(WorkerUnavailableError, match="draining"):
            pushing.go_live()


# Versions, and which one is live.


def test_versions_are_listed(start, tmp_path, first, second):
    third = variant(second, provenance={"recipe": "mine"})
    worker = start(state=str(tmp_path / "state"))
    with AdminClient(worker.admin_target) as admin:
        push(admin, second)
        push(admin, third)
        found = admin.versions()
    assert [(each.version, each.state) for each in found.versions] == [
        (third.version, "live"),
        (second.version, "previous"),
        (first.version, "kept"),
    ]
    live, _, kept = found.versions
    assert live.tasks == ("topic", "mood")
    assert live.provenance == {"recipe": "mine"}
    assert kept.provenance == {"method": "none"}
    assert live.bytes == sum(entry.size for entry in third.manifest.tensors.values())
    assert kept.received.tzinfo is not None
    assert kept.received <= live.received
    assert found.started <= live.received
    assert found.lasting
    assert found.engine == "openvino float32 cpu"


def test_without_a_state_folder_nothing_lasts(admin, first):
    found = admin.versions()
    assert not found.lasting
    assert [each.version for each in found.versions] == [first.version]


def test_back_and_forth(worker, admin, first, second):
    push(admin, second)
    assert admin.activate() == (first.version, second.version)
    assert admin.activate() == (second.version, first.version)
    assert live_version(worker) == second.version


def test_activating_the_version_that_was_expected(worker, admin, first, second):
    push(admin, second)
    with pytest.raises(OtherVersionLiveError, match=second.version):
        admin.activate(first.version, expected_live_version=first.version)
    assert live_version(worker) == second.version
    assert admin.activate(first.version, second.version) == (first.version, second.version)


def test_versions_that_are_not_kept(admin):
    with pytest.raises(UnknownVersionError, match="no version was live before"):
        admin.activate()
    with pytest.raises(UnknownVersionError, match="'nothing' is not kept"):
        admin.activate("nothing")


# How the worker does.


def test_a_worker_that_has_done_nothing_tells_so(start, first):
    worker = start(stall_seconds=3600)
    with AdminClient(worker.admin_target) as admin:
        status, versions = admin.status(), admin.versions()
    assert status.ready
    assert status.model_version == first.version
    assert (status.started, status.release) == (versions.started, versions.worker_release)
    assert status.engine == versions.engine
    assert status.started.tzinfo is not None
    assert status.resident_bytes > 1 << 20
    assert status.queue_limit_tokens == worker.settings.queue_tokens
    assert (status.calls, status.queue_tokens, status.sentences, status.tokens) == (0, 0, 0, 0)
    assert (status.padded_tokens, status.passes, status.swaps) == (0, 0, 0)
    assert (status.failures, status.latencies) == ({}, {})


def test_what_a_worker_has_done_is_counted(start, second):
    worker = start(stall_seconds=3600)
    with AdminClient(worker.admin_target) as admin, Client(worker.target) as client:
        # As long as each other, so nothing is padded.
        lengths = [status.tokens for status in client.infer(["the fox", "the fox"]).statuses]
        client.infer(["the fox", ""])
        found = list(client.infer_stream([["a"], [], ["the"]], in_flight=1))
        assert [isinstance(each, InvalidRequestError) for each in found] == [False, True, False]
        before = admin.status()
        push(admin, second)
        after = admin.status()
    assert before.sentences == 6
    assert before.passes == 4
    assert before.tokens == sum(lengths) + lengths[0] + 2 * 3
    assert before.padded_tokens >= before.tokens
    assert before.failures == {"INVALID_REQUEST": 1}
    assert {name: each.count for name, each in before.latencies.items()} == {
        "interactive": 2,
        "bulk": 2,
    }
    assert before.latencies["bulk"].quantile(1.0) > 0
    assert (before.swaps, after.swaps) == (0, 1)
    assert after.model_version == second.version
    # Probes of a version are passes, and nobody's sentences.
    assert after.passes > before.passes
    assert after.sentences == before.sentences
    assert after.started == before.started


def test_nobody_tells_how_it_does(worker):
    with AdminClient("localhost:1") as admin:
        with pytest.raises(WorkerUnavailableError, match="no worker answers at localhost:1"):
            admin.status()
    with AdminClient(worker.target) as admin:
        with pytest.raises(WorkerFailedError, match="no Twinhead worker"):
            admin.status()
    worker.drain()
    with AdminClient(worker.admin_target) as admin:
        with pytest.raises(WorkerUnavailableError):
            admin.status()


# Who may call, and whom.


@pytest.mark.parametrize(("scope", "allowed"), [("read", True), ("admin", True), ("infer", False)])
def test_who_may_know_how_it_does(start, tmp_path, scope, allowed):
    (tmp_path / "tokens").write_text(f"{TOKEN} {scope}\n")
    worker = start(token_file=str(tmp_path / "tokens"))
    with AdminClient(worker.admin_target, token=TOKEN) as admin:
        if allowed:
            assert admin.status().ready
        else:
            with pytest.raises(AccessDeniedError, match="scope admin or read"):
                admin.status()


@pytest.mark.parametrize("token", ["", "another-token-than-that"])
def test_without_the_right_token_nothing_is_told_or_done(start, tmp_path, first, second, token):
    (tmp_path / "token").write_text(f"{TOKEN} infer,read,admin\n")
    worker = start(token_file=str(tmp_path / "token"))
    wrong = "not the right one" if token else "a token is needed"
    with AdminClient(worker.admin_target, token=token) as admin:
        for call in (admin.versions, admin.status, admin.activate, lambda: push(admin, second)):
            with pytest.raises(AccessDeniedError, match=wrong):
                call()
    with AdminClient(worker.admin_target, token=TOKEN) as admin:
        assert [each.version for each in admin.versions().versions] == [first.version]
        push(admin, second)
        assert admin.activate() == (first.version, second.version)


def test_nobody_listens(second):
    with AdminClient("localhost:1") as admin:
        for call in (admin.activate, lambda: push(admin, second)):
            with pytest.raises(WorkerUnavailableError, match="no worker answers at localhost:1"):
                call()


def test_the_other_port_of_a_worker_takes_no_weights(worker, second):
    with AdminClient(worker.target) as admin:
        for call in (admin.versions, lambda: push(admin, second)):
            with pytest.raises(WorkerFailedError, match="no Twinhead worker"):
                call()


# What real workers do not do, or not with weights this small.


@contextmanager
def scripted(push_weights: Callable) -> Iterator[str]:
    """Something that answers pushes as a function says."""

    class Scripted(pb_grpc.ModelAdminServiceServicer):
        def PushWeights(self, request_iterator, context):
            return push_weights(request_iterator, context)

    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_ModelAdminServiceServicer_to_server(Scripted(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


STAGED = pb.PushWeightsResponse(staged=pb.VersionStaged(report=pb.GateReport(probes=3)))
LIVE = pb.PushWeightsResponse(live=pb.VersionLive(previous_version="before"))


def test_blobs_come_in_pieces_in_the_order_asked_for():
    blobs = {"a": bytes(range(256)) * 10_000, "b": b"", "c": b"x" * (1 << 20)}
    got: list[pb.BlobChunk] = []

    def take(requests, context):
        assert next(requests).WhichOneof("step") == "offer"
        wanted = ["c", "b", "a"]
        yield pb.PushWeightsResponse(wanted=pb.BlobsWanted(sha256=wanted))
        for digest in wanted:
            while not (got and got[-1].sha256 == digest and got[-1].last):
                got.append(next(requests).chunk)
        yield pb.PushWeightsResponse(received=pb.BlobsReceived(bytes=7))
        yield STAGED

    with scripted(take) as target, AdminClient(target) as admin:
        with admin.push(VersionOffer({}, blobs.__getitem__)) as pushing:
            report = pushing.stage()
    for digest, blob in blobs.items():
        assert b"".join(chunk.data for chunk in got if chunk.sha256 == digest) == blob
    # One that is a piece long is one piece, and nothing is a piece, too.
    assert [(chunk.sha256, chunk.last) for chunk in got] == [
        ("c", True),
        ("b", True),
        ("a", False),
        ("a", False),
        ("a", True),
    ]
    # What the worker does not state is not taken for a zero.
    assert (report.deviation, report.min_cosine, report.agreement) == (None, None, {})
    assert (report.probes, report.received_bytes) == (3, 7)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "ended the push without a word"),
        ([pb.PushWeightsResponse(live=pb.VersionLive())], "answers a push with live"),
        ([pb.PushWeightsResponse()], "answers a push with None"),
    ],
)
def test_a_worker_that_does_not_keep_to_the_contract(said, told):
    with scripted(lambda requests, context: iter(said)) as target, AdminClient(target) as admin:
        with admin.push(VersionOffer({}, lambda _: b"")) as pushing:
            with pytest.raises(WorkerFailedError, match=told) as caught:
                pushing.stage()
    assert target in str(caught.value)
