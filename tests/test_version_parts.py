"""Versions in parts: apart and together again, and that no damaged one is taken."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bert import DIMENSIONS, TASKS, randomize, small_checkpoint, write_small_bert
from small_encoders import FAMILIES, write_encoder
from twinhead.model import version_parts
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import MlpHead, ModelConfig, TaskConfig, TaskKind
from twinhead.model.encoder import Encoder
from twinhead.model.errors import CheckpointError, ConfigError
from twinhead.model.manifest import TensorEntry, named_tensors, tensor_bytes, tensor_digest
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer
from twinhead.model.version_parts import (
    VersionFiles,
    VersionParts,
    expected_shapes,
    to_tensor,
    write_folder,
)

FILES = {
    "twinhead.json",
    "manifest.json",
    "probes.json",
    "config.json",
    "tokenizer_config.json",
}
SENTENCES = ["the quick fox", "foxes run !", "a"]
BIAS = "heads.mood.output.bias"
FAMILY_TASKS = (
    *TASKS,
    TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-X", "I-X"), head=MlpHead()),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return small_checkpoint(write_small_bert(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def parts(checkpoint: Checkpoint) -> VersionParts:
    return VersionParts.of(checkpoint)


@pytest.fixture
def files(parts: VersionParts) -> dict[str, bytes]:
    """The small files, for a test to damage."""
    return dict(parts.files.files)


@torch.inference_mode()
def answers(checkpoint: Checkpoint) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for sentence in checkpoint.tokenizer(SENTENCES):
        ids = torch.tensor([sentence.ids])
        output = checkpoint.network(ids, torch.ones_like(ids))
        found += [output.embeddings, *output.logits.values()]
    return found


def assert_same(found: Checkpoint, wanted: Checkpoint) -> None:
    assert found.version == wanted.version
    assert found.config == wanted.config
    assert found.metrics == wanted.metrics
    assert found.provenance == wanted.provenance
    assert found.tokenizer.serialized == wanted.tokenizer.serialized
    for one, two in zip(answers(found), answers(wanted), strict=True):
        assert torch.equal(one, two)


def refusal(files: Mapping[str, bytes]) -> str:
    with pytest.raises(CheckpointError) as caught:
        VersionFiles.parse(files)
    return str(caught.value)


# --- apart and together


def test_round_trip(checkpoint, parts, tmp_path):
    write_folder(tmp_path / "made" / "here", parts)
    loaded = Checkpoint.load(tmp_path / "made" / "here")
    assert_same(loaded, checkpoint)
    assert loaded.probes == parts.files.probes
    # And once more: nothing gets lost on the way.
    again = VersionParts.of(loaded)
    assert again.files.version == checkpoint.version
    assert again.files.blobs == parts.files.blobs
    assert json.loads(again.files.files["config.json"]) == json.loads(
        parts.files.files["config.json"]
    )


def family_checkpoint(folder: Path) -> Checkpoint:
    encoder = Encoder.load(folder)
    config = ModelConfig(encoder=str(folder), max_tokens=40, tasks=FAMILY_TASKS)
    network = Network(config, encoder, encoder.dimensions)
    randomize(network.heads, 0)
    return Checkpoint.create(network, Tokenizer.load(folder, 40))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_round_trip_of_each_family(tmp_path, family):
    made = family_checkpoint(write_encoder(tmp_path / "encoder", family))
    parts = VersionParts.of(made)
    write_folder(tmp_path / "whole", parts)
    assert_same(Checkpoint.load(tmp_path / "whole"), made)
    shapes = {name: entry.shape for name, entry in parts.files.manifest.tensors.items()}
    assert expected_shapes(parts.files) == shapes


def test_an_encoder_without_a_pooler(tmp_path):
    folder = write_small_bert(tmp_path / "encoder")
    tensors = load_file(folder / "model.safetensors")
    for name in ("pooler.dense.weight", "pooler.dense.bias"):
        del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    made = small_checkpoint(folder)
    write_folder(tmp_path / "whole", VersionParts.of(made))
    assert_same(Checkpoint.load(tmp_path / "whole"), made)


def test_what_a_loaded_folder_is_taken_apart_to(checkpoint, parts, tmp_path):
    checkpoint.save(tmp_path / "model")
    loaded = VersionParts.of(Checkpoint.load(tmp_path / "model"))
    assert loaded.files.version == parts.files.version
    assert loaded.files.files["twinhead.json"] == parts.files.files["twinhead.json"]
    assert loaded.files.files["probes.json"] == parts.files.files["probes.json"]


def test_what_a_version_says(checkpoint, parts):
    found = parts.files
    assert set(found.files) == FILES
    assert found.version == checkpoint.version
    assert found.config == checkpoint.config
    assert found.manifest == checkpoint.manifest
    assert found.metrics == {"topic": {"accuracy": 0.5}}
    assert found.provenance == {"method": "none"}
    assert found.probes is not None
    assert VersionFiles.parse(found.files) == found


def test_each_blob_is_what_its_digest_says(checkpoint, parts):
    tensors = named_tensors(checkpoint.network).values()
    digests = {tensor_digest(tensor) for tensor in tensors} | {checkpoint.tokenizer.sha256}
    assert parts.files.blobs.keys() == digests
    for digest, size in parts.files.blobs.items():
        data = parts.read(digest)
        assert hashlib.sha256(data).hexdigest() == digest
        assert size == (None if digest == checkpoint.tokenizer.sha256 else len(data))


def test_a_blob_that_the_version_does_not_have(parts):
    with pytest.raises(KeyError):
        parts.read("0" * 64)


def test_tensors_that_are_alike_are_one_blob(tmp_path):
    made = small_checkpoint(write_small_bert(tmp_path / "encoder"))
    with torch.no_grad():
        made.network.get_parameter("heads.topic.output.bias").zero_()
        made.network.get_parameter("heads.mood.output.bias").zero_()
        layers = made.network.encoder.transformer.encoder.layer
        layers[1].load_state_dict(layers[0].state_dict())
    made = Checkpoint.create(made.network, made.tokenizer)
    parts = VersionParts.of(made)
    # The tokenizer is one more; the second layer has sixteen tensors that the first one has.
    assert len(parts.files.blobs) == len(made.manifest.tensors) + 1 - 16
    write_folder(tmp_path / "whole", parts)
    assert_same(Checkpoint.load(tmp_path / "whole"), made)


def test_weights_are_not_copied(tmp_path):
    made = small_checkpoint(write_small_bert(tmp_path))
    view = VersionParts.of(made).read(made.manifest.tensors[BIAS].sha256)
    with torch.no_grad():
        made.network.get_parameter(BIAS).fill_(2)
    assert bytes(view) == bytes(tensor_bytes(torch.full((2,), 2.0)))


def test_a_blob_that_was_damaged_on_the_way(parts, tmp_path):
    digest = parts.files.manifest.tensors[BIAS].sha256

    def read(wanted: str) -> bytes:
        data = bytearray(parts.read(wanted))
        if wanted == digest:
            data[0] ^= 1
        return bytes(data)

    write_folder(tmp_path / "whole", VersionParts(parts.files, read))
    with pytest.raises(CheckpointError, match=BIAS):
        Checkpoint.load(tmp_path / "whole")


def test_a_folder_that_is_there_is_not_written_over(parts, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        write_folder(tmp_path, parts)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# --- tensors of blobs


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (4, 0)], ids=str)
def test_a_tensor_of_its_blob(dtype, shape):
    entry = TensorEntry(dtype=dtype, shape=shape, sha256="0" * 64)
    wanted = torch.arange(torch.Size(shape).numel()).reshape(shape).to(entry.torch_dtype)
    data = bytearray(tensor_bytes(wanted))
    for blob in (bytes(data), memoryview(data), data):
        found = to_tensor(blob, entry)
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(("kind", "own"), [(memoryview, True), (lambda data: data, False)])
def test_only_a_bytearray_is_taken_over(kind, own):
    entry = TensorEntry(dtype="uint8", shape=(3,), sha256="0" * 64)
    data = bytearray(b"abc")
    found = to_tensor(kind(data), entry)
    data[0] = 0
    assert bool(found[0] == ord("a")) is own


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_a_blob_of_another_length(size):
    entry = TensorEntry(dtype="float32", shape=(2,), sha256="0" * 64)
    with pytest.raises(CheckpointError, match=f"8 bytes has a blob of {size}"):
        to_tensor(bytes(size), entry)


def test_a_blob_that_is_short_of_an_enormous_tensor_takes_no_memory():
    entry = TensorEntry(dtype="float64", shape=(2**40,) * 8, sha256="0" * 64)
    with pytest.raises(CheckpointError, match="has a blob of 3"):
        to_tensor(b"abc", entry)


# --- files that come from anywhere


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Any:
    def damage(files: dict[str, bytes]) -> None:
        data = json.loads(files[name])
        change(data)
        files[name] = json.dumps(data).encode()

    return damage


def without(name: str) -> Any:
    return lambda files: files.pop(name)


def with_file(name: str, content: bytes) -> Any:
    return lambda files: files.update({name: content})


def test_the_undamaged_files_are_taken(files, checkpoint):
    """What all tests below rely on."""
    assert VersionFiles.parse(files).version == checkpoint.version


@pytest.mark.parametrize("name", sorted(FILES - {"twinhead.json", "manifest.json"}))
def test_files_that_may_be_missing(files, checkpoint, name):
    del files[name]
    found = VersionFiles.parse(files)
    assert found.version == checkpoint.version
    assert (found.probes is None) is (name == "probes.json")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "",
        ".",
        "twinhead.json/",
        "./twinhead.json",
        "TWINHEAD.JSON",
        "twinhead.json\0",
        "tokenizer.json",
        "model.safetensors",
        "pytorch_model.bin",
        "modeling.py",
        "\ud800",
        "x" * 1_000_000,
    ],
    ids=lambda name: ascii(name[:20]),
)
def test_a_file_that_no_version_has(files, name):
    files[name] = b"{}"
    message = refusal(files)
    assert "is no file of a version" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (dict.clear, "twinhead.json is missing"),
        (without("twinhead.json"), "twinhead.json is missing"),
        (without("manifest.json"), "manifest.json is missing"),
        # too large
        (with_file("twinhead.json", b" " * ((4 << 20) + 1)), "twinhead.json has 4,194,305 bytes"),
        (with_file("manifest.json", b" " * ((4 << 20) + 1)), "manifest.json has 4,194,305 bytes"),
        (with_file("probes.json", b" " * ((16 << 20) + 1)), "probes.json has 16,777,217 bytes"),
        (with_file("config.json", b" " * ((1 << 20) + 1)), "config.json has 1,048,577 bytes"),
        (with_file("tokenizer_config.json", b" " * ((1 << 20) + 1)), "has 1,048,577 bytes"),
        # a description that is none
        (edited("twinhead.json", lambda data: data.update(format_version=2)), "format version 2"),
        (edited("twinhead.json", lambda data: data.update(colour="red")), "unknown key 'colour'"),
        (edited("twinhead.json", lambda data: data.update(metrics=[])), "metrics"),
        (edited("twinhead.json", lambda data: data.update(provenance="x")), "provenance"),
        (edited("twinhead.json", lambda data: data.pop("model")), "twinhead.json, model"),
        (edited("twinhead.json", lambda data: data.update(model=None)), "twinhead.json, model"),
        (edited("twinhead.json", lambda data: data["model"].update(tasks=3)), "model: tasks"),
        (
            edited("twinhead.json", lambda data: data["model"]["tasks"][0].update(labels=["a"])),
            "model: tasks.0.labels",
        ),
        (
            edited(
                "twinhead.json", lambda data: data.update(base={"version": "0" * 16, "path": "/"})
            ),
            "twinhead.json: a version in parts is whole",
        ),
        (edited("twinhead.json", lambda data: data.update(base="x")), "twinhead.json: base"),
        # a description of another model than the manifest's
        (
            edited("twinhead.json", lambda data: data["model"].update(max_tokens=33)),
            "manifest.json is of another model",
        ),
        (
            edited("twinhead.json", lambda data: data["model"]["tasks"].pop()),
            "manifest.json is of another model",
        ),
        (
            edited("manifest.json", lambda data: data.update(model_sha256="0" * 64)),
            "manifest.json is of another model",
        ),
        # a manifest that is none
        (
            edited("manifest.json", lambda data: data.update(tokenizer_sha256="../x")),
            "manifest.json: tokenizer_sha256",
        ),
        (
            edited("manifest.json", lambda data: data["tensors"][BIAS].update(shape=[-1])),
            f"manifest.json: tensors.{BIAS}.shape.0",
        ),
        (
            edited("manifest.json", lambda data: data["encoder"].update(a="\ud800")),
            "manifest.json: encoder",
        ),
        (
            edited(
                "manifest.json",
                lambda data: data.update(tensors={str(n): 0 for n in range(200_000)}),
            ),
            "manifest.json: tensors: Value error, 200,000 entries",
        ),
        # probes that are none
        (
            edited("probes.json", lambda data: data["embeddings"][0].__setitem__(0, float("nan"))),
            "probes.json: embeddings.0.0",
        ),
        (edited("probes.json", lambda data: data["embeddings"].pop()), "probes.json: "),
        (edited("probes.json", lambda data: data.update(colour=1)), "probes.json: unknown key"),
    ],
)
def test_faults_are_named(files, damage, named):
    damage(files)
    assert named in refusal(files)


@pytest.mark.parametrize("name", ["twinhead.json", "manifest.json", "probes.json"])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"a":' * 200_000, "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", ""),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_json_that_is_none(files, name, content, named):
    files[name] = content
    message = refusal(files)
    assert message.startswith(name)
    assert named in message
    assert len(message) < 500


def test_the_text_of_many_faults_is_short(files):
    edited("twinhead.json", lambda data: data["model"].update({str(n): 0 for n in range(9_999)}))(
        files
    )
    assert len(refusal(files)) < 1_200


# --- what the tensors must be


def with_config(parts: VersionParts, **settings: Any) -> VersionFiles:
    stated = json.loads(parts.files.files["config.json"]) | settings
    return with_config_text(parts, json.dumps(stated).encode())


def with_config_text(parts: VersionParts, content: bytes) -> VersionFiles:
    return dataclasses.replace(parts.files, files={**parts.files.files, "config.json": content})


def shapes_refusal(files: VersionFiles) -> str:
    with pytest.raises(CheckpointError) as caught:
        expected_shapes(files)
    return str(caught.value)


def test_other_settings_ask_for_other_shapes(parts):
    known = expected_shapes(parts.files)
    wide = expected_shapes(with_config(parts, intermediate_size=3 * DIMENSIONS))
    name = "encoder.encoder.layer.0.intermediate.dense.weight"
    assert (known[name], wide[name]) == ((64, 32), (96, 32))
    deep = expected_shapes(with_config(parts, num_hidden_layers=3))
    assert len(deep) == len(known) + 16
    assert known.items() < deep.items()


def test_shapes_of_more_memory_than_there_is(parts):
    """A petabyte is only a number where no memory is taken."""
    found = expected_shapes(with_config(parts, vocab_size=10**13, max_position_embeddings=10**12))
    assert found["encoder.embeddings.word_embeddings.weight"] == (10**13, DIMENSIONS)


def test_the_type_of_numbers_that_settings_state_is_nobody_elses(parts, monkeypatch):
    """torch has one default for the whole process, other threads included."""
    chosen: list[torch.dtype] = []
    choose = torch.set_default_dtype
    monkeypatch.setattr(
        torch, "set_default_dtype", lambda dtype: (chosen.append(dtype), choose(dtype))
    )
    assert expected_shapes(with_config(parts, dtype="float16")) == expected_shapes(parts.files)
    assert set(chosen) <= {torch.float32}


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the library not even begin: it would not come to an end."""

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("the library was asked for so many layers")

    monkeypatch.setattr("transformers.AutoConfig.for_model", begun)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1e300},
        {"num_hidden_layers": 44},  # there are 43 tensors
        {"model_type": "distilbert", "n_layers": 10**9},
        {"model_type": "modernbert", "num_hidden_layers": 10**12},
        {"model_type": "bart", "encoder_layers": 10**9},
        {"model_type": "t5", "num_layers": 1, "num_decoder_layers": 10**9},
        # a list as long is made of them
        {"num_labels": 10**9},
        {"model_type": "swin", "depths": [2, 2, 10**9]},
        {"model_type": "clip", "text_config": {"num_hidden_layers": 10**9}},
        {"model_type": "clip", "text_config": {"a": [{"num_hidden_layers": 10**9}]}},
    ],
    ids=lambda settings: json.dumps(settings)[:60],
)
@pytest.mark.usefixtures("no_library")
def test_more_layers_than_tensors_are_refused_at_once(parts, settings, monkeypatch):
    # Were the family one of those that are taken.
    monkeypatch.setattr(version_parts, "_MODEL_TYPES", {settings.get("model_type", "bert")})
    assert "more layers than the version has tensors" in shapes_refusal(
        with_config(parts, **settings)
    )


@pytest.mark.parametrize(
    "settings",
    [
        # layers that are called by no name that is known
        {"model_type": "albert", "num_hidden_groups": 10**8},
        {"model_type": "albert", "inner_group_num": 10**8},
    ],
    ids=lambda settings: list(settings)[1],
)
def test_layers_without_end_are_stopped_early(parts, settings, monkeypatch):
    monkeypatch.setattr(version_parts, "_MODEL_TYPES", {settings.get("model_type", "bert")})
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    hook = torch.nn.modules.module.register_module_module_registration_hook(count)
    try:
        message = shapes_refusal(with_config_text(parts, json.dumps(settings).encode()))
    finally:
        hook.remove()
    assert "more layers than the version has tensors" in message
    assert made < 1_000
    # It stops nobody else, and nobody after it.
    assert len(torch.nn.Sequential(*(torch.nn.Identity() for _ in range(1_000)))) == 1_000


def test_settings_as_deep_as_the_stack(parts):
    deep = json.dumps(json.loads(parts.files.files["config.json"]))[:-1].encode()
    deep += b', "a": ' + b'{"a":' * 850 + b'{"num_hidden_layers": 44}' + b"}" * 851
    assert "more layers" in shapes_refusal(with_config_text(parts, deep))


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "no_such_family"},
        {"model_type": None},
        {"model_type": ["bert"]},
        {"num_attention_heads": 5},  # 32 dimensions are no multiple of it
        {"num_attention_heads": 0},
        {"hidden_size": -1},
        {"hidden_size": "wide"},
        {"num_hidden_layers": "two"},
        {"num_hidden_layers": 1.5},
        {"hidden_act": "no_such_function"},
        {"hidden_size": 2**70},
    ],
    ids=str,
)
def test_settings_that_describe_no_encoder(parts, settings):
    message = shapes_refusal(with_config(parts, **settings))
    assert message.startswith("config.json describes no encoder")
    assert len(message) < 500


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"[" * 100_000, b"\xff"], ids=lambda value: repr(value[:8])
)
def test_settings_that_are_no_json(parts, content):
    assert shapes_refusal(with_config_text(parts, content)).startswith("config.json is not")


def test_settings_without_a_family(parts):
    assert "describes no encoder" in shapes_refusal(with_config_text(parts, b"{}"))


def test_a_description_that_contradicts_itself(parts):
    head = MlpHead(hidden_size=DIMENSIONS + 1, residual=True)
    tasks = (TaskConfig(name="topic", labels=("a", "b"), head=head),)
    config = ModelConfig(encoder="x", tasks=tasks)
    with pytest.raises(ConfigError, match="residual"):
        expected_shapes(dataclasses.replace(parts.files, config=config))


def test_only_known_families_are_taken(parts):
    settings = {"model_type": "gpt_neo", "attention_types": [[["global"], 10**10]]}
    message = shapes_refusal(with_config_text(parts, json.dumps(settings).encode()))
    assert "no encoder of a family that is taken: bert," in message


def test_what_cannot_be_told_is_refused(files):
    text = json.loads(files["twinhead.json"]) | {"provenance": {"recipe": "\ud800"}}
    files["twinhead.json"] = json.dumps(text).encode()
    with pytest.raises(CheckpointError, match="metrics or provenance"):
        VersionFiles.parse(files)


@pytest.mark.parametrize("key", ["_attn_implementation", "auto_map", "quantization_config"])
def test_settings_that_would_load_code_are_refused(checkpoint, key):
    files = VersionParts.of(checkpoint).files.files
    settings = json.loads(files["config.json"]) | {key: "somebody/kernels"}
    offered = VersionFiles.parse({**files, "config.json": json.dumps(settings).encode()})
    with pytest.raises(CheckpointError, match=f"config.json: {key} would load code"):
        expected_shapes(offered)
