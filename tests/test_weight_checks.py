"""What a version must have in common with the one it takes the place of, and what it need not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bert import DIMENSIONS, MAX_TOKENS, TASKS, small_checkpoint, write_small_bert
from twinhead.model.checkpoint import ENCODER_CONFIG, Checkpoint
from twinhead.model.config import MlpHead, Pooling, TaskConfig, TaskKind
from twinhead.model.manifest import TensorEntry
from twinhead.model.version_parts import VersionFiles, VersionParts
from twinhead.server.errors import PushRefusedError
from twinhead.server.weight_checks import check_finite, check_fit, check_new_architecture, fits

TOPIC, MOOD = TASKS
ALLOWED = 1 << 30
WEIGHT = "encoder.encoder.layer.0.output.dense.weight"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def live(encoder) -> Checkpoint:
    return small_checkpoint(encoder)


@pytest.fixture(scope="module")
def files(live) -> VersionFiles:
    return VersionParts.of(live).files


def with_config(files: VersionFiles, **changes) -> VersionFiles:
    return replace(files, config=files.config.model_copy(update=changes))


def with_manifest(files: VersionFiles, **changes) -> VersionFiles:
    return replace(files, manifest=files.manifest.model_copy(update=changes))


def with_tensors(files: VersionFiles, changes: dict[str, TensorEntry | None]) -> VersionFiles:
    """Other entries for some tensors; None takes one away."""
    tensors = {**files.manifest.tensors, **changes}
    kept = {name: entry for name, entry in tensors.items() if entry is not None}
    return with_manifest(files, tensors=kept)


def with_settings(files: VersionFiles, **changes) -> VersionFiles:
    """Another `config.json`."""
    settings = {**json.loads(files.files[ENCODER_CONFIG]), **changes}
    return replace(files, files={**files.files, ENCODER_CONFIG: json.dumps(settings).encode()})


def refusal(files: VersionFiles, live: Checkpoint) -> PushRefusedError:
    with pytest.raises(PushRefusedError) as caught:
        check_fit(files, live)
    assert not fits(files, live)
    assert str(caught.value).endswith("If that is meant, say --allow-new-tasks")
    return caught.value


# --- beside the live version


def test_other_weights_fit(live, tmp_path):
    other = small_checkpoint(write_small_bert(tmp_path, seed=7), seed=7)
    assert other.version != live.version
    files = VersionParts.of(other).files
    check_fit(files, live)
    assert fits(files, live)


def test_how_answers_are_read_and_what_the_encoder_is_called_is_free(files, live):
    tasks = (TOPIC.model_copy(update={"temperature": 2.0}), MOOD)
    check_fit(with_config(files, tasks=tasks), live)
    check_fit(with_config(files, encoder="another/name", revision="v2"), live)
    multi = TaskConfig(name="m", kind=TaskKind.MULTI_LABEL, labels=("a", "b"))
    changed = multi.model_copy(update={"thresholds": (0.1, 0.9)})
    config = live.config.model_copy(update={"tasks": (multi,)})
    # Of the live version only the description matters here.
    check_fit(with_config(files, tasks=(changed,)), with_description(live, config))


def with_description(live: Checkpoint, config) -> Checkpoint:
    return replace(live, network=live.network.with_tensors(config, {}))


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ((TOPIC,), "tasks are topic, those of the live version topic, mood"),
        ((), "tasks are , those of the live version topic, mood"),
        ((MOOD, TOPIC), "tasks are mood, topic, those of the live version topic, mood"),
        (
            (TOPIC.model_copy(update={"name": "theme"}), MOOD),
            "tasks are theme, mood, those of the live version topic, mood",
        ),
        (
            (TOPIC.model_copy(update={"labels": ("land", "sea", "sky")}), MOOD),
            "labels of topic are land, sea, sky, those of the live version sea, land, sky",
        ),
        (
            (TOPIC, MOOD.model_copy(update={"labels": ("calm", "wild", "stormy")})),
            "labels of mood are calm, wild, stormy, those of the live version calm, wild",
        ),
        (
            (TOPIC, MOOD.model_copy(update={"pooling": Pooling.CLS, "head": MlpHead()})),
            "head, pooling of task mood differs from the live version's",
        ),
        (
            (TOPIC.model_copy(update={"kind": TaskKind.MULTI_LABEL}), MOOD),
            "kind of task topic differs from the live version's",
        ),
    ],
)
def test_other_tasks(files, live, tasks, said):
    error = refusal(with_config(files, tasks=tasks), live)
    assert error.check == "tasks"
    assert str(error).startswith(f"tasks: {said}. ")


def test_all_tasks_that_differ_are_named(files, live):
    tasks = tuple(task.model_copy(update={"normalize": True}) for task in TASKS)
    error = refusal(with_config(files, tasks=tasks), live)
    assert "normalize of task topic differs from the live version's; normalize of" in str(error)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_tokens": 20}, f"max_tokens is 20, that of the live version {MAX_TOKENS}"),
        ({"normalize": False}, "normalize is False, that of the live version True"),
        (
            {"embedding_pooling": Pooling.CLS},
            "embedding_pooling is cls, that of the live version mean",
        ),
    ],
)
def test_another_description(files, live, changes, said):
    error = refusal(with_config(files, **changes), live)
    assert error.check == "description"
    assert said in str(error)


def test_another_tokenizer(files, live):
    error = refusal(with_manifest(files, tokenizer_sha256="0" * 64), live)
    assert error.check == "tokenizer"
    assert "another tokenizer" in str(error)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"hidden_act": "relu"},
            "hidden_act of the encoder is relu, that of the live version gelu",
        ),
        ({"rope": [1]}, r"rope of the encoder is [1], that of the live version None"),
    ],
)
def test_other_settings_of_the_encoder(files, live, changes, said):
    encoder = {**files.manifest.encoder, **changes}
    error = refusal(with_manifest(files, encoder=encoder), live)
    assert error.check == "architecture"
    assert said in str(error)


def test_a_setting_that_is_missing(files, live):
    encoder = dict(files.manifest.encoder)
    del encoder["hidden_act"]
    error = refusal(with_manifest(files, encoder=encoder), live)
    assert "hidden_act of the encoder is None, that of the live version gelu" in str(error)


def test_other_tensors(files, live):
    entry = files.manifest.tensors[WEIGHT]
    for changes, said in (
        ({WEIGHT: None}, f"tensor {WEIGHT} is missing"),
        ({"heads.more.weight": entry}, "the live version has no tensor heads.more.weight"),
        (
            {WEIGHT: entry.model_copy(update={"shape": (3, 4)})},
            f"tensor {WEIGHT} is float32 [3, 4], that of the live version float32 [32, 64]",
        ),
        (
            {WEIGHT: entry.model_copy(update={"dtype": "float16"})},
            f"tensor {WEIGHT} is float16 [32, 64], that of the live version float32 [32, 64]",
        ),
    ):
        error = refusal(with_tensors(files, changes), live)
        assert error.check == "architecture"
        assert said in str(error)


def test_an_error_stays_short_however_much_differs(files, live):
    # It travels in headers, of which clients take 8 KiB.
    entry = files.manifest.tensors[WEIGHT]
    more = {f"heads.{'x' * 300}{number:04}": entry for number in range(1000)}
    error = refusal(with_tensors(files, more), live)
    assert "; and 995 more" in str(error)
    assert len(str(error)) < 2000
    labels = tuple(f"{number} {'x' * 190}" for number in range(10_000))
    error = refusal(with_config(files, tasks=(TOPIC.model_copy(update={"labels": labels}),)), live)
    assert len(str(error)) < 2000
    tasks = (TOPIC.model_copy(update={"labels": labels}), MOOD)
    assert len(str(refusal(with_config(files, tasks=tasks), live))) < 2000
    settings = {f"{'k' * 1000}{number}": "v" * 1000 for number in range(100)}
    assert len(str(refusal(with_manifest(files, encoder=settings), live))) < 2000


# --- another architecture


def new_refusal(files: VersionFiles, max_bytes: int = ALLOWED) -> PushRefusedError:
    with pytest.raises(PushRefusedError) as caught:
        check_new_architecture(files, max_bytes)
    assert len(str(caught.value)) < 1000
    return caught.value


def test_a_version_that_is_what_it_describes(files):
    check_new_architecture(files, ALLOWED)


def test_the_bound_on_bytes(files):
    size = sum(entry.size for entry in files.manifest.tensors.values())
    check_new_architecture(files, size)
    error = new_refusal(files, size - 1)
    assert error.check == "size"
    assert f"{size:,} bytes; {size - 1:,} are allowed" in str(error)


def test_the_pooler_may_be_missing(files):
    without = {name: None for name in files.manifest.tensors if "pooler" in name}
    assert without
    check_new_architecture(with_tensors(files, without), ALLOWED)


def test_tensors_that_are_not_what_is_described(files):
    entry = files.manifest.tensors[WEIGHT]
    odd = entry.model_copy(update={"shape": (3, 4)})
    for changes, said in (
        ({WEIGHT: odd}, f"tensor {WEIGHT} is [3, 4], the description asks for [32, 64]"),
        ({WEIGHT: None}, f"tensor {WEIGHT} is missing, the description asks for [32, 64]"),
        ({"heads.mood.more": odd}, "tensor heads.mood.more is [3, 4], the description asks for no"),
        ({"heads." + "x" * 5000: odd}, "the description asks for none"),
    ):
        error = new_refusal(with_tensors(files, changes))
        assert error.check == "architecture"
        assert said in str(error)


def test_heads_that_are_not_what_is_described(files):
    labels = ("sea", "land", "sky", "space")
    tasks = (TOPIC.model_copy(update={"labels": labels}), MOOD)
    error = new_refusal(with_config(files, tasks=tasks))
    assert error.check == "architecture"
    assert f"the description asks for [{len(labels)}" in str(error)


def test_without_settings_there_is_no_encoder(files):
    rest = {name: content for name, content in files.files.items() if name != ENCODER_CONFIG}
    error = new_refusal(replace(files, files=rest))
    assert (error.check, str(error)) == ("architecture", "architecture: config.json is missing")


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "no-such-family"},
        {"model_type": None},
        {"hidden_size": 33},  # not a multiple of the heads
        {"hidden_size": "wide"},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": "many"},
        {"auto_map": {"AutoModel": "evil.py--Model"}, "model_type": "evil"},
    ],
)
def test_settings_that_are_no_encoders(files, settings):
    assert new_refusal(with_settings(files, **settings)).check == "architecture"


def test_no_memory_is_taken_for_what_is_claimed(files):
    # Terabytes, if it were made: the shapes alone tell that the tensors are others.
    error = new_refusal(with_settings(files, vocab_size=10**10, hidden_size=DIMENSIONS))
    assert error.check == "architecture"
    assert "the description asks for [10000000000, 32]" in str(error)


# --- values


def test_finite_values_pass():
    check_finite({})
    check_finite(
        {
            "weight": torch.tensor([1.0, -3e38]),
            "half": torch.tensor([65504.0], dtype=torch.float16),
            "ids": torch.arange(3),
            "flags": torch.tensor([True]),
            "none": torch.empty(0),
        }
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_not_finite(value, dtype):
    spoilt = torch.zeros(4, 4, dtype=dtype)
    spoilt[3, 3] = value
    with pytest.raises(PushRefusedError) as caught:
        check_finite({"a": torch.zeros(1), "c": spoilt, "b": spoilt})
    assert caught.value.check == "finite"
    assert "tensor b holds NaN or infinite values" in str(caught.value)
