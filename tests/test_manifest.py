"""Manifests: what they digest, and that nothing else than a manifest is taken for one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_bert import MAX_TOKENS, TASKS, small_network, write_small_bert
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.errors import CheckpointError
from twinhead.model.manifest import (
    Manifest,
    TensorEntry,
    config_digest,
    dtype_name,
    manifest_name,
    named_tensors,
    tensor_bytes,
    tensor_digest,
)
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer

DIGEST = "0123456789abcdef" * 4
TENSOR = "heads.mood.output.bias"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    return small_network(folder)


@pytest.fixture(scope="module")
def manifest(folder: Path, network: Network) -> Manifest:
    return Manifest.of(network, Tokenizer.load(folder, MAX_TOKENS))


@pytest.fixture
def data(manifest: Manifest) -> dict[str, Any]:
    """A decoded manifest that a test may damage."""
    return manifest.model_dump(mode="json")


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [2], "sha256": DIGEST, **changes}


def refusal(data: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        Manifest.parse(data)
    return str(caught.value)


# --- what it says


def test_through_json_it_is_the_same(manifest, data):
    again = Manifest.parse(json.loads(json.dumps(data)))
    assert again == manifest
    assert again.version == manifest.version


def test_the_order_of_the_keys_is_no_part_of_the_version(manifest, data):
    turned = {key: data[key] for key in reversed(data)}
    turned["tensors"] = {name: data["tensors"][name] for name in reversed(data["tensors"])}
    assert Manifest.parse(turned).version == manifest.version


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(model_sha256=DIGEST),
        lambda data: data.update(tokenizer_sha256=DIGEST),
        lambda data: data["encoder"].update(hidden_act="relu"),
        lambda data: data["encoder"].update(more=1),
        lambda data: data["encoder"].pop("hidden_act"),
        lambda data: data["tensors"].pop(TENSOR),
        lambda data: data["tensors"].update({TENSOR: entry()}),
        lambda data: data["tensors"].update({"heads.more": data["tensors"][TENSOR]}),
        lambda data: data["tensors"][TENSOR].update(shape=[1, 2]),
        lambda data: data["tensors"][TENSOR].update(dtype="int32"),
    ],
)
def test_everything_in_it_is_part_of_the_version(manifest, data, change: Callable[[Any], None]):
    change(data)
    assert Manifest.parse(data).version != manifest.version


def test_all_tensors_are_named(network, manifest):
    assert len(manifest.tensors) == len(network.state_dict())
    assert list(manifest.tensors) == sorted(manifest.tensors)
    assert {name.split(".")[0] for name in manifest.tensors} == {"encoder", "heads"}
    for name, tensor in named_tensors(network).items():
        stated = manifest.tensors[name]
        assert stated.shape == tuple(tensor.shape)
        assert stated.size == tensor.numel() * tensor.element_size()
        assert stated.sha256 == hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("encoder.transformer.embeddings.weight", "encoder.embeddings.weight"),
        # Only our own attribute's name goes, and only once.
        ("encoder.transformer.encoder.transformer.x", "encoder.encoder.transformer.x"),
        ("heads.topic.output.bias", "heads.topic.output.bias"),
    ],
)
def test_names(name, called):
    assert manifest_name(name) == called


def test_an_encoder_of_another_kind_has_no_settings(folder):
    network = Network(ModelConfig(encoder="none", tasks=TASKS), torch.nn.Identity(), 4)
    assert Manifest.of(network, Tokenizer.load(folder, MAX_TOKENS)).encoder == {}


def test_a_manifest_is_frozen(manifest):
    with pytest.raises(ValidationError, match="frozen"):
        manifest.model_sha256 = DIGEST


# --- descriptions


def test_a_default_that_is_stated_is_the_same_description():
    plain = ModelConfig(encoder="x", tasks=TASKS)
    stated = ModelConfig.parse(plain.model_dump(mode="json"))
    assert config_digest(stated) == config_digest(plain)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "y"},
        {"max_tokens": 255},
        {"tasks": TASKS[::-1]},
        {"tasks": (TaskConfig(name="topic", labels=("sea", "land", "skÿ")), TASKS[1])},
    ],
)
def test_another_description_has_another_digest(changes):
    plain = ModelConfig(encoder="x", tasks=TASKS)
    assert config_digest(plain.model_copy(update=changes)) != config_digest(plain)


# --- tensors


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool"],
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (4, 0, 2)], ids=str)
def test_bytes_of_every_type_and_shape(dtype, shape):
    made = TensorEntry(dtype=dtype, shape=shape, sha256=DIGEST)
    count = torch.Size(shape).numel()
    tensor = torch.arange(count).reshape(shape).to(made.torch_dtype)
    data = bytes(tensor_bytes(tensor))
    assert len(data) == made.size
    assert dtype_name(tensor.dtype) == dtype
    assert tensor_digest(tensor) == hashlib.sha256(data).hexdigest()
    if count:
        again = torch.frombuffer(bytearray(data), dtype=made.torch_dtype).reshape(shape)
        assert torch.equal(again, tensor)


def test_bytes_are_row_major_however_a_tensor_lies_in_memory():
    tensor = torch.arange(6, dtype=torch.int32).reshape(2, 3)
    assert not tensor.T.is_contiguous()
    assert bytes(tensor_bytes(tensor.T)) == bytes(tensor_bytes(tensor.T.contiguous()))
    assert tensor_digest(tensor.T) != tensor_digest(tensor)
    assert bytes(tensor_bytes(tensor))[:8] == b"\0\0\0\0\1\0\0\0"


def test_bytes_of_a_parameter_are_not_copied():
    parameter = torch.nn.Parameter(torch.zeros(3))
    view = tensor_bytes(parameter)
    with torch.no_grad():
        parameter.fill_(1)
    assert bytes(view) == bytes(tensor_bytes(torch.ones(3)))


def test_a_size_beyond_64_bits_is_no_surprise():
    made = TensorEntry(dtype="float64", shape=(2**40,) * 8, sha256=DIGEST)
    assert made.size == 8 * 2**320


# --- what is no manifest


def set_entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["tensors"].update({TENSOR: entry(**changes)})


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda data: data.pop("tensors"), "tensors"),
        (lambda data: data.pop("encoder"), "encoder"),
        (lambda data: data.pop("model_sha256"), "model_sha256"),
        (lambda data: data.pop("tokenizer_sha256"), "tokenizer_sha256"),
        (lambda data: data.update(format_version=2), "format_version"),
        (lambda data: data.update(colour="red"), "unknown key 'colour'"),
        (lambda data: data.update(tensors=[]), "tensors"),
        (lambda data: data.update(tensors={TENSOR: None}), TENSOR),
        (lambda data: data.update(encoder=None), "encoder"),
        (lambda data: data.update(model_sha256="../../etc/passwd"), "model_sha256"),
        (lambda data: data.update(model_sha256=DIGEST[:-1]), "model_sha256"),
        (lambda data: data.update(model_sha256=DIGEST + "0"), "model_sha256"),
        (lambda data: data.update(tokenizer_sha256=DIGEST.upper()), "tokenizer_sha256"),
        (lambda data: data.update(tokenizer_sha256=DIGEST + "\n"), "tokenizer_sha256"),
        (lambda data: data.update(tokenizer_sha256="٣" * 64), "tokenizer_sha256"),
        (set_entry(sha256="../" + DIGEST[3:]), f"tensors.{TENSOR}.sha256"),
        (set_entry(sha256="g" * 64), f"tensors.{TENSOR}.sha256"),
        (set_entry(sha256=""), f"tensors.{TENSOR}.sha256"),
        (set_entry(sha256=None), f"tensors.{TENSOR}.sha256"),
        (set_entry(shape=[-1]), f"tensors.{TENSOR}.shape.0"),
        (set_entry(shape=[2, 2**40 + 1]), f"tensors.{TENSOR}.shape.1"),
        (set_entry(shape=[1.5]), f"tensors.{TENSOR}.shape.0"),
        (set_entry(shape=[float("nan")]), f"tensors.{TENSOR}.shape.0"),
        (set_entry(shape=[1] * 9), f"tensors.{TENSOR}.shape"),
        (set_entry(shape=2), f"tensors.{TENSOR}.shape"),
        (set_entry(shape=None), f"tensors.{TENSOR}.shape"),
        (set_entry(dtype="complex64"), f"tensors.{TENSOR}.dtype"),
        (set_entry(dtype="load"), f"tensors.{TENSOR}.dtype"),  # torch has an attribute of it
        (set_entry(more=1), f"tensors.{TENSOR}.more"),
        (set_entry(**{f"k{n}": 1 for n in range(100)}), f"tensors.{TENSOR}"),
        # what JSON can hold and a digest cannot be made of
        (lambda data: data["encoder"].update(hidden_act="\ud800"), "encoder"),
        (lambda data: data["encoder"].update({"\udfff": 1}), "encoder"),
        (lambda data: data["encoder"].update(a=10**5000), "encoder"),
    ],
)
def test_faults_are_named(data, damage, named):
    damage(data)
    assert named in refusal(data)


@pytest.mark.parametrize("data", [None, [], "text", 3, True, {}], ids=repr)
def test_other_json_is_no_manifest(data):
    assert refusal(data)


def test_settings_within_settings_can_be_digested_or_are_refused(data):
    """Whatever is taken has a version: a depth that only fails later would be no refusal."""
    refused = set()
    for depth in (1, 100, *range(240, 270), 500, 900):
        data["encoder"] = json.loads('{"a":' + "[" * depth + "]" * depth + "}")
        try:
            assert len(Manifest.parse(data).version) == 16
        except CheckpointError:
            refused.add(depth)
    assert refused >= {500, 900}
    assert not refused & {1, 100}


def test_a_million_tensors_are_too_many(data):
    good = entry()
    data["tensors"] = {str(number): good for number in range(1_000_000)}
    assert "1,000,000 entries" in refusal(data)


def test_as_many_tensors_as_are_allowed(data):
    data["tensors"] = {str(number): entry() for number in range(20_000)}
    assert len(Manifest.parse(data).tensors) == 20_000
    data["tensors"]["more"] = entry()
    assert "20,001 entries" in refusal(data)


@pytest.mark.parametrize(
    "flood",
    [
        lambda data: data.update(tensors={"x" * 500 + str(n): 1 for n in range(1_000)}),
        lambda data: data.update({str(n): 1 for n in range(100_000)}),
        lambda data: data.update({"x" * 1_000_000: 1}),
        lambda data: data["tensors"].update({"x" * 1_000_000: 1}),
        lambda data: data["tensors"].update(
            {TENSOR: entry(**{f"k{n}": 1 for n in range(100_000)})}
        ),
        lambda data: data["tensors"].update({TENSOR: entry(shape=[None] * 100_000)}),
    ],
    ids=["tensors", "keys", "long-key", "long-tensor", "keys-of-tensor", "shape"],
)
def test_the_text_of_many_faults_is_short(data, flood):
    flood(data)
    assert len(refusal(data)) < 1_200


def test_a_fault_among_a_hundred_thousand_is_one(data):
    """Each has a text, which takes a kilobyte while it is made."""
    data["tensors"][TENSOR]["shape"] = [None] * 100_000
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate(data)
    assert caught.value.error_count() == 1
