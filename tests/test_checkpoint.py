"""Checkpoints: the round trip, the version id, and that nothing damaged is ever loaded."""

import copy
import hashlib
import json
import random
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from small_bert import (
    MAX_TOKENS,
    POSITIONS,
    TASKS,
    small_checkpoint,
    small_network,
    write_small_bert,
)
from transformers import AutoModel
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.errors import CheckpointError, EncoderNotFoundError, ModelError
from twinhead.model.manifest import Manifest
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer

TEXTS = {"twinhead.json", "manifest.json", "probes.json"}
DELTA_FILES = TEXTS | {"delta.safetensors"}
ENCODER_FILES = {"config.json", "model.safetensors", "tokenizer.json"}
ECOSYSTEM_FILES = {
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "tokenizer_config.json",
}
ALL_FILES = TEXTS | {"heads.safetensors"} | ENCODER_FILES | ECOSYSTEM_FILES
QUERY = "encoder.layer.1.attention.self.query.weight"
SENTENCES = ["the quick fox", "foxes run !", "a"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def checkpoint(encoder_folder: Path) -> Checkpoint:
    return small_checkpoint(encoder_folder)


@pytest.fixture(scope="module")
def saved(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "full"
    checkpoint.save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def files_of(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def edit_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def edit_tensors(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def place_of(file: Path, tensor: str) -> range:
    """Where a tensor's data lies in a safetensors file."""
    data = file.read_bytes()
    header = int.from_bytes(data[:8], "little")
    start, end = json.loads(data[8 : 8 + header])[tensor]["data_offsets"]
    return range(8 + header + start, 8 + header + end)


def flip(file: Path, position: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1 << bit
    file.write_bytes(data)


def refusal(folder: Path) -> str:
    """The text with which a checkpoint is refused; any other kind of error fails the test."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    return str(caught.value)


@torch.inference_mode()
def answers(checkpoint: Checkpoint) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for sentence in checkpoint.tokenizer(SENTENCES):
        ids = torch.tensor([sentence.ids])
        output = checkpoint.network(ids, torch.ones_like(ids))
        found += [output.embeddings, *output.logits.values()]
    return found


def all_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --- saving and loading


@pytest.mark.parametrize("save", [Checkpoint.save, Checkpoint.save_delta])
def test_round_trip(checkpoint, tmp_path, save):
    save(checkpoint, tmp_path / "model")
    loaded = Checkpoint.load(tmp_path / "model")
    before, after = checkpoint.network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    assert all_equal(list(before.values()), list(after.values()))
    assert all_equal(answers(checkpoint), answers(loaded))
    assert loaded.config == checkpoint.config
    assert loaded.version == checkpoint.version
    assert loaded.metrics == checkpoint.metrics == {"topic": {"accuracy": 0.5}}
    assert loaded.provenance == checkpoint.provenance == {"method": "none"}
    assert loaded.tokenizer.sha256 == checkpoint.tokenizer.sha256
    assert loaded.tokenizer.max_tokens == MAX_TOKENS


def test_what_is_saved_again_is_the_same(saved, tmp_path):
    Checkpoint.load(saved).save(tmp_path / "again")
    for name in ALL_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name


@pytest.mark.parametrize(
    ("save", "names"), [(Checkpoint.save, ALL_FILES), (Checkpoint.save_delta, DELTA_FILES)]
)
def test_files(checkpoint, tmp_path, save, names):
    save(checkpoint, tmp_path / "model")
    files = files_of(tmp_path / "model")
    assert set(files) == names
    for file in files.values():  # a server often runs as somebody else
        assert file.stat().st_mode & stat.S_IROTH, file


def test_metrics_and_provenance_may_be_left_out(encoder_folder, checkpoint, tmp_path):
    bare = Checkpoint.create(small_network(encoder_folder), Tokenizer.load(encoder_folder, 48))
    assert (bare.metrics, bare.provenance) == ({}, {})
    assert bare.version == checkpoint.version
    bare.save(tmp_path / "model")
    edit_json(tmp_path / "model" / "twinhead.json", lambda data: data.pop("metrics"))
    edit_json(tmp_path / "model" / "twinhead.json", lambda data: data.pop("provenance"))
    loaded = Checkpoint.load(tmp_path / "model")
    assert (loaded.metrics, loaded.provenance) == ({}, {})


def test_evaluation_mode(encoder_folder, saved):
    network = small_network(encoder_folder).train()
    created = Checkpoint.create(network, Tokenizer.load(encoder_folder, 48))
    for made in (created, Checkpoint.load(saved)):
        assert not any(module.training for module in made.network.modules())


def test_transformers_reads_a_saved_folder(saved, checkpoint):
    transformer: Any = AutoModel.from_pretrained(saved)
    for sentence in checkpoint.tokenizer(SENTENCES):
        ids = torch.tensor([sentence.ids])
        with torch.inference_mode():
            hidden = transformer(input_ids=ids).last_hidden_state
            assert torch.equal(hidden, checkpoint.network.encoder(ids, torch.ones_like(ids)))


def test_a_task_with_the_name_of_an_attribute(encoder_folder, tmp_path):
    made = small_checkpoint(encoder_folder, (TaskConfig(name="type", labels=("a", "b")), *TASKS))
    made.save(tmp_path / "model")
    assert all_equal(answers(Checkpoint.load(tmp_path / "model")), answers(made))


def test_an_encoder_without_a_pooler(encoder_folder, tmp_path):
    shutil.copytree(encoder_folder, tmp_path / "encoder")
    edit_tensors(
        tmp_path / "encoder" / "model.safetensors",
        lambda tensors: [tensors.pop(f"pooler.dense.{name}") for name in ("weight", "bias")],
    )
    made = small_checkpoint(tmp_path / "encoder")
    made.save(tmp_path / "model")
    assert Checkpoint.load(tmp_path / "model").version == made.version


def test_save_takes_an_empty_folder_and_makes_parents(checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    checkpoint.save(tmp_path / "empty")
    checkpoint.save_delta(tmp_path / "a" / "b" / "new")
    assert Checkpoint.load(tmp_path / "empty").version == checkpoint.version
    assert Checkpoint.load(tmp_path / "a" / "b" / "new").version == checkpoint.version
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "a"}
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {"new"}


def test_save_overwrites_nothing(checkpoint, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("model", "file"):
        with pytest.raises(CheckpointError, match=name):
            checkpoint.save(tmp_path / name)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine.txt"]
    assert (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "file"}


def test_a_failed_save_leaves_nothing(encoder_folder, checkpoint, tmp_path):
    # It fails after the weights are written: JSON has no such thing.
    unwritable = Checkpoint(
        checkpoint.network, checkpoint.tokenizer, checkpoint.manifest, {"topic": object()}
    )
    with pytest.raises(TypeError, match="not JSON serializable"):
        unwritable.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    checkpoint.save(tmp_path / "model")


def test_only_a_hugging_face_encoder_can_be_saved(encoder_folder, tmp_path):
    class Constant(torch.nn.Module):
        pass

    network = Network(ModelConfig(encoder="constant", tasks=TASKS), Constant(), 4)
    made = Checkpoint.create(network, Tokenizer.load(encoder_folder, MAX_TOKENS))
    with pytest.raises(CheckpointError, match="Hugging Face"):
        made.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_save_left_is_no_hindrance(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)  # as in a container, where it is always the same
    leftover = tmp_path / ".model.partial-1"
    leftover.mkdir()
    (leftover / "old.safetensors").write_bytes(b"half")
    checkpoint.save(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    assert set(files_of(tmp_path / "model")) == ALL_FILES


# --- the version id


def test_the_version_is_the_digest_of_the_manifest(checkpoint, saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert checkpoint.version == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert checkpoint.version == Manifest.parse(manifest).version
    assert re.fullmatch(r"[0-9a-f]{16}", checkpoint.version)


def test_the_manifest_covers_every_file(checkpoint, saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    stored = {f"encoder.{name}": t for name, t in load_file(saved / "model.safetensors").items()}
    stored |= {f"heads.{name}": t for name, t in load_file(saved / "heads.safetensors").items()}
    assert manifest["tensors"] == {
        name: {
            "dtype": "float32",
            "shape": list(tensor.shape),
            "sha256": hashlib.sha256(tensor.numpy().tobytes()).hexdigest(),
        }
        for name, tensor in stored.items()
    }
    tokenizer = (saved / "tokenizer.json").read_bytes()
    assert manifest["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()
    assert manifest["encoder"]["hidden_act"] == "gelu"
    stated = Manifest.of(checkpoint.network, checkpoint.tokenizer)
    assert manifest == stated.model_dump(mode="json")


def test_same_weights_same_id(encoder_folder, checkpoint, tmp_path):
    again = small_checkpoint(encoder_folder)
    assert again.network is not checkpoint.network
    assert again.version == checkpoint.version
    again.save(tmp_path / "whole")
    again.save_delta(tmp_path / "delta")
    for name in ("whole", "delta"):
        assert Checkpoint.load(tmp_path / name).version == checkpoint.version


def test_metrics_and_provenance_are_no_part_of_the_id(folder, checkpoint):
    edit_json(folder / "twinhead.json", lambda data: data.update(metrics={"mood": {"f1": 1}}))
    edit_json(folder / "twinhead.json", lambda data: data.update(provenance={"seed": 3}))
    loaded = Checkpoint.load(folder)
    assert loaded.version == checkpoint.version
    assert loaded.metrics == {"mood": {"f1": 1}}
    assert loaded.provenance == {"seed": 3}


def test_the_layout_of_the_json_is_no_part_of_the_id(folder, checkpoint):
    def rounded(data: Any) -> Any:
        # 32 and 32.0 are one number to JSON.
        if isinstance(data, dict):
            return {key: rounded(data[key]) for key in reversed(data)}
        if isinstance(data, list):
            return [rounded(item) for item in data]
        return float(data) if isinstance(data, int) else data

    for name in ("manifest.json", "twinhead.json"):
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(rounded(data), indent=7))
    assert Checkpoint.load(folder).version == checkpoint.version


def nudge(parameter: torch.nn.Parameter) -> None:
    with torch.no_grad():
        flat = parameter.view(-1)
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(torch.inf))


def renamed(**changes: Any) -> tuple[TaskConfig, ...]:
    return (TASKS[0], TASKS[1].model_copy(update=changes))


@pytest.mark.parametrize(
    "change",
    [
        lambda network: nudge(network.get_parameter(f"encoder.transformer.{QUERY}")),
        lambda network: nudge(network.get_parameter("heads.topic.output.weight")),
        lambda network: nudge(network.get_parameter("heads.mood.output.bias")),
        lambda network: network.encoder.transformer.config.update({"hidden_act": "relu"}),
        lambda network: network.encoder.transformer.config.update({"num_attention_heads": 4}),
    ],
    ids=["encoder-weight", "head-weight", "head-bias", "activation", "attention-heads"],
)
def test_another_network_has_another_id(encoder_folder, checkpoint, change):
    network = small_network(encoder_folder)
    change(network)
    made = Checkpoint.create(network, Tokenizer.load(encoder_folder, MAX_TOKENS))
    assert made.version != checkpoint.version


@pytest.mark.parametrize(
    "options",
    [
        {"tasks": renamed(labels=("calm", "wilder"))},
        {"tasks": renamed(labels=("wild", "calm"))},
        {"tasks": renamed(name="moods")},
        {"tasks": renamed(temperature=1.5)},
        {"max_tokens": MAX_TOKENS - 1},
    ],
    ids=["label", "order", "task", "temperature", "max-tokens"],
)
def test_another_description_has_another_id(encoder_folder, checkpoint, options):
    made = small_checkpoint(encoder_folder, **options)
    # The weights are the same; only what is said of them differs.
    assert all_equal(
        list(made.network.state_dict().values()), list(checkpoint.network.state_dict().values())
    )
    assert made.version != checkpoint.version


def test_another_tokenizer_has_another_id(encoder_folder, checkpoint):
    serialized = (encoder_folder / "tokenizer.json").read_bytes() + b"\n"
    made = Checkpoint.create(checkpoint.network, Tokenizer(serialized, MAX_TOKENS))
    assert made.version != checkpoint.version


def test_the_id_is_that_of_the_moment(encoder_folder):
    network = small_network(encoder_folder)
    tokenizer = Tokenizer.load(encoder_folder, MAX_TOKENS)
    first = Checkpoint.create(network, tokenizer).version
    nudge(network.get_parameter("heads.topic.output.bias"))
    assert Checkpoint.create(network, tokenizer).version != first


# --- damage


def set_tensor(file: str, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return lambda folder: edit_tensors(
        folder / file, lambda tensors: tensors.update({name: change(tensors[name])})
    )


def set_key(file: str, key: str, value: Any) -> Any:
    return lambda folder: edit_json(folder / file, lambda data: data.update({key: value}))


def write(file: str, content: bytes) -> Any:
    return lambda folder: (folder / file).write_bytes(content)


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor.view(-1)[-1] = torch.nan
    return tensor


def with_infinity(tensor: torch.Tensor) -> torch.Tensor:
    tensor.view(-1)[0] = -torch.inf
    return tensor


def relabel(labels: list[str]) -> Any:
    return lambda folder: edit_json(
        folder / "twinhead.json", lambda data: data["model"]["tasks"][0].update(labels=labels)
    )


def test_the_undamaged_copy_loads(folder, checkpoint):
    """What all tests below rely on."""
    assert Checkpoint.load(folder).version == checkpoint.version


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        # files that are not there
        (lambda folder: shutil.rmtree(folder), "twinhead.json is missing"),
        (lambda folder: (folder / "twinhead.json").unlink(), "twinhead.json is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "heads.safetensors").unlink(), "heads.safetensors is missing"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
        # files that cannot be read
        (write("heads.safetensors", b""), "heads.safetensors is damaged"),
        (write("heads.safetensors", b"\xff" * 100), "heads.safetensors is damaged"),
        (write("model.safetensors", b""), "no readable encoder"),
        (write("config.json", b"{"), "config.json"),
        (write("config.json", b"[]"), "config.json"),
        (write("config.json", b"null"), "no readable encoder"),
        (write("tokenizer.json", b"{}"), "tokenizer.json cannot be read"),
        # heads that do not fit
        (
            set_tensor(
                "heads.safetensors", "topic.output.weight", lambda tensor: tensor[:2].clone()
            ),
            "tensor topic.output.weight is torch.float32 [2, 32]",
        ),
        (
            set_tensor(
                "heads.safetensors", "topic.output.weight", lambda tensor: tensor.T.contiguous()
            ),
            "tensor topic.output.weight is torch.float32 [32, 3]",
        ),
        (
            set_tensor("heads.safetensors", "mood.output.bias", torch.Tensor.double),
            "tensor mood.output.bias is torch.float64 [2]",
        ),
        (
            set_tensor("heads.safetensors", "mood.output.bias", torch.Tensor.half),
            "tensor mood.output.bias is torch.float16 [2]",
        ),
        (
            set_tensor("heads.safetensors", "mood.output.bias", torch.Tensor.int),
            "tensor mood.output.bias is torch.int32 [2]",
        ),
        (
            lambda folder: edit_tensors(
                folder / "heads.safetensors", lambda tensors: tensors.pop("mood.output.weight")
            ),
            "tensor mood.output.weight is missing",
        ),
        (
            lambda folder: edit_tensors(
                folder / "heads.safetensors", lambda tensors: tensors.update(extra=torch.ones(2))
            ),
            "tensor extra belongs to nothing in twinhead.json",
        ),
        (
            set_tensor("heads.safetensors", "topic.output.bias", with_nan),
            "tensor heads.topic.output.bias holds NaN",
        ),
        (
            set_tensor("heads.safetensors", "topic.output.weight", with_infinity),
            "tensor heads.topic.output.weight holds NaN",
        ),
        # an encoder that does not fit
        (set_tensor("model.safetensors", QUERY, with_nan), f"tensor encoder.{QUERY} holds NaN"),
        (set_tensor("model.safetensors", QUERY, torch.Tensor.half), f"tensor encoder.{QUERY}"),
        (set_tensor("model.safetensors", QUERY, lambda tensor: tensor[:3].clone()), QUERY),
        (
            lambda folder: edit_tensors(
                folder / "model.safetensors", lambda tensors: tensors.pop(QUERY)
            ),
            QUERY,
        ),
        (
            lambda folder: edit_tensors(
                folder / "model.safetensors", lambda tensors: tensors.pop("pooler.dense.bias")
            ),
            "tensor encoder.pooler.dense.bias",
        ),
        (set_key("config.json", "hidden_act", "relu"), "hidden_act"),
        (set_key("config.json", "num_attention_heads", 4), "num_attention_heads"),
        (set_key("config.json", "layer_norm_eps", 0.1), "layer_norm_eps"),
        (set_key("config.json", "is_decoder", True), "is_decoder"),
        (set_key("config.json", "num_hidden_layers", 1), f"tensor encoder.{QUERY[:15]}"),
        # a tokenizer that is another one
        (
            lambda folder: (folder / "tokenizer.json").write_text(
                (folder / "tokenizer.json").read_text().replace('"quick"', '"quirk"')
            ),
            "tokenizer.json differs",
        ),
        # a description that does not fit
        (relabel(["sea", "land"]), "tensor topic.output.bias is torch.float32 [3]"),
        (relabel(["sea", "land", "sky", "fire"]), "tensor topic.output.bias is torch.float32 [3]"),
        (relabel(["sea", "land", "fire"]), "twinhead.json: the model was changed"),
        (relabel(["sky", "land", "sea"]), "twinhead.json: the model was changed"),
        (relabel(["sea", "land", "sea"]), "tasks.0.labels"),
        (set_key("twinhead.json", "colour", "red"), "unknown key 'colour'"),
        (set_key("twinhead.json", "format_version", 2), "format version 2"),
        (set_key("twinhead.json", "format_version", "1"), "format version '1'"),
        (set_key("twinhead.json", "format_version", None), "format version None"),
        (set_key("manifest.json", "colour", "red"), "unknown key 'colour'"),
        (set_key("manifest.json", "format_version", 2), "format version 2"),
        (
            lambda folder: edit_json(
                folder / "twinhead.json", lambda data: data["model"].update(colour="red", size=3)
            ),
            "colour",
        ),
        (
            lambda folder: edit_json(
                folder / "twinhead.json", lambda data: data["model"].update(max_tokens=33)
            ),
            "twinhead.json: the model was changed",
        ),
        (
            lambda folder: edit_json(
                folder / "twinhead.json", lambda data: data["model"].update(max_tokens=65)
            ),
            "max_tokens is 65, but the encoder has positions for 64 tokens",
        ),
    ],
)
def test_damage_is_refused_by_name(folder, damage, named):
    damage(folder)
    message = refusal(folder)
    assert named in message
    assert str(folder) in message or "max_tokens" in named


@pytest.mark.parametrize("name", ["twinhead.json", "manifest.json"])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"format_version": 1,}', "not valid JSON"),
        (b'"\xff"', "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"3", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", "format version None"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else value,
)
def test_json_that_is_none(folder, name, content, named):
    (folder / name).write_bytes(content)
    message = refusal(folder)
    assert str(folder / name) in message
    assert named in message


@pytest.mark.parametrize("name", ["twinhead.json", "manifest.json"])
def test_a_folder_in_place_of_a_file(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{folder / name} cannot be read" in refusal(folder)


def nodes(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside some JSON."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from nodes(value, (*path, key))


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def json_paths(file: Path) -> list[tuple[Any, ...]]:
    """Paths of what decides something; of the tensors, which are all alike, only one."""
    paths = list(nodes(json.loads(file.read_text())))
    # These two may hold anything, as long as they are objects.
    paths = [path for path in paths if path[0] not in {"metrics", "provenance"} or len(path) == 1]
    return [
        path
        for path in paths
        if path[0] != "tensors" or path[1:2] in [(), ("heads.mood.output.bias",)]
    ]


@pytest.mark.parametrize("value", [None, [], {}, "text", 3, -0.5], ids=repr)
@pytest.mark.parametrize("name", ["twinhead.json", "manifest.json"])
def test_json_of_another_type_inside(folder, name, value):
    """Each value in turn is replaced by one of another type, or of another content."""
    file = folder / name
    data = json.loads(file.read_text())
    paths = json_paths(file)
    assert len(paths) >= 11
    for path in paths:
        if value == {} and path[-1] in {"metrics", "provenance"}:
            continue
        changed = replaced(data, path, value)
        if changed != data:
            file.write_text(json.dumps(changed))
            assert refusal(folder), path


def removed(data: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def test_a_manifest_with_something_left_out(folder):
    file = folder / "manifest.json"
    data = json.loads(file.read_text())
    for path in json_paths(file):
        file.write_text(json.dumps(removed(data, path)))
        assert refusal(folder), path


def test_a_description_with_something_left_out(folder, checkpoint):
    """What has a default is the same model without it, under the same id."""
    file = folder / "twinhead.json"
    data = json.loads(file.read_text())
    same = {"metrics", "provenance", "normalize", "embedding_pooling", "kind", "pooling", "head"}
    same |= {"revision", "thresholds", "temperature", "dropout"}
    for path in json_paths(file):
        file.write_text(json.dumps(removed(data, path)))
        if path[-1] in same and path[-2:] != ("head", "kind"):
            assert Checkpoint.load(folder).version == checkpoint.version
        else:
            assert refusal(folder), path


@pytest.mark.parametrize(
    ("file", "prefix"), [("heads.safetensors", "heads"), ("model.safetensors", "encoder")]
)
def test_a_flipped_bit_in_any_tensor_is_refused_by_its_name(saved, folder, file, prefix):
    for name in load_file(saved / file):
        place = place_of(folder / file, name)
        # The lowest bit of the last value's fraction: next to nothing changes.
        flip(folder / file, place[-4])
        assert f"tensor {prefix}.{name} differs" in refusal(folder)
        flip(folder / file, place[-4])
    assert Checkpoint.load(folder)


@pytest.mark.parametrize("file", ["heads.safetensors", "model.safetensors"])
def test_a_flipped_bit_anywhere_is_refused(folder, file):
    data = (folder / file).read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    numbers = random.Random(0)
    positions = [*range(9), *(numbers.randrange(header) for _ in range(30))]
    positions += [numbers.randrange(header, len(data)) for _ in range(30)]
    for position in positions:
        bit = numbers.randrange(8)
        flip(folder / file, position, bit)
        assert refusal(folder), (position, bit)
        (folder / file).write_bytes(data)


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("file", ["heads.safetensors", "model.safetensors", "tokenizer.json"])
def test_a_file_that_was_cut_off(folder, file, keep):
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: int(len(data) * keep)])
    assert str(folder) in refusal(folder)


def test_tensors_that_the_encoder_does_not_know_are_ignored(folder, checkpoint):
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.update(extra=torch.ones(2)))
    assert Checkpoint.load(folder).version == checkpoint.version


def test_longer_inputs_than_the_encoder_has_positions_for(encoder_folder):
    """Such a model would answer short sentences and fail on long ones."""
    small_checkpoint(encoder_folder, max_tokens=POSITIONS)
    with pytest.raises(CheckpointError, match=r"max_tokens is 65, .* positions for 64"):
        small_checkpoint(encoder_folder, max_tokens=POSITIONS + 1)


def test_the_errors_are_model_errors():
    assert issubclass(CheckpointError, ModelError)
    assert not issubclass(EncoderNotFoundError, CheckpointError)


# --- deltas


HEADS = {f"heads.{task.name}.output.{part}" for task in TASKS for part in ("weight", "bias")}


def trained(source: Checkpoint, names: list[str], by: float = 1.0) -> Checkpoint:
    """A copy in which some tensors have changed, as after training."""
    network = copy.deepcopy(source.network)
    with torch.no_grad():
        for name in names:
            network.get_parameter(name.replace("encoder.", "encoder.transformer.", 1)).add_(by)
    return Checkpoint.create(network, source.tokenizer, {"topic": {"accuracy": 0.75}})


@pytest.fixture
def base(folder: Path) -> Checkpoint:
    return Checkpoint.load(folder)


@pytest.fixture
def delta(base: Checkpoint, tmp_path: Path) -> Path:
    trained(base, ["heads.topic.output.weight", f"encoder.{QUERY}"]).save_delta(
        tmp_path / "delta", base
    )
    return tmp_path / "delta"


def moved(source: Path, name: str) -> Path:
    return source.rename(source.with_name(name))


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["heads.mood.output.bias"],
        [f"encoder.{QUERY}"],
        ["heads.topic.output.weight", f"encoder.{QUERY}", "encoder.embeddings.LayerNorm.bias"],
    ],
)
def test_a_delta_holds_what_changed_and_no_more(base, folder, tmp_path, names):
    after = trained(base, names)
    after.save_delta(tmp_path / "delta", base)
    assert set(files_of(tmp_path / "delta")) == DELTA_FILES
    assert set(load_file(tmp_path / "delta" / "delta.safetensors")) == set(names)
    loaded = Checkpoint.load(tmp_path / "delta")
    assert loaded.version == after.version
    assert (loaded.version == base.version) is (not names)
    assert loaded.metrics == {"topic": {"accuracy": 0.75}}
    assert all_equal(answers(loaded), answers(after))
    assert Checkpoint.load(folder).version == base.version


def test_the_size_of_a_delta(delta, folder):
    changed = load_file(delta / "delta.safetensors")
    values = sum(tensor.numel() for tensor in changed.values())
    size = (delta / "delta.safetensors").stat().st_size
    assert values * 4 < size < values * 4 + 400
    assert size < (folder / "model.safetensors").stat().st_size / 10


def test_what_half_precision_holds_exactly_takes_half_the_room(base, tmp_path):
    names = ["heads.topic.output.weight", f"encoder.{QUERY}", "encoder.embeddings.LayerNorm.bias"]
    after = trained(base, names)
    with torch.no_grad():
        for name in names[:2]:
            tensor = after.network.get_parameter(
                name.replace("encoder.", "encoder.transformer.", 1)
            )
            tensor.copy_(tensor.half())
    after.save_delta(tmp_path / "delta", base)
    stored = load_file(tmp_path / "delta" / "delta.safetensors")
    types = {name: str(tensor.dtype) for name, tensor in stored.items()}
    expected = ("torch.float16", "torch.float16", "torch.float32")
    assert types == dict(zip(names, expected, strict=True))
    loaded = Checkpoint.load(tmp_path / "delta")
    assert loaded.version == Checkpoint.create(after.network, after.tokenizer).version
    assert {tensor.dtype for tensor in loaded.network.state_dict().values()} == {torch.float32}
    assert all_equal(answers(loaded), answers(after))


def test_a_delta_on_the_encoder_that_is_found_by_name(checkpoint, encoder_folder, tmp_path):
    """Of the encoder only what was trained; of the heads everything."""
    after = trained(checkpoint, [f"encoder.{QUERY}"])
    after.save_delta(tmp_path / "delta")
    assert set(load_file(tmp_path / "delta" / "delta.safetensors")) == {f"encoder.{QUERY}", *HEADS}
    assert "base" not in json.loads((tmp_path / "delta" / "twinhead.json").read_text())
    loaded = Checkpoint.load(tmp_path / "delta")
    assert loaded.version == after.version
    assert all_equal(answers(loaded), answers(after))


def test_a_delta_that_is_pointed_at_another_encoder(checkpoint, tmp_path):
    checkpoint.save_delta(tmp_path / "delta")
    other = write_small_bert(tmp_path / "other", seed=1)
    edit_json(
        tmp_path / "delta" / "twinhead.json",
        lambda data: data["model"].update(encoder=str(other)),
    )
    assert "model was changed" in refusal(tmp_path / "delta")


def test_a_delta_on_an_encoder_that_has_changed_since(tmp_path):
    encoder_folder = write_small_bert(tmp_path / "encoder")
    trained(small_checkpoint(encoder_folder), []).save_delta(tmp_path / "delta")
    edit_tensors(encoder_folder / "model.safetensors", lambda tensors: tensors[QUERY].add_(1))
    assert f"tensor encoder.{QUERY} differs" in refusal(tmp_path / "delta")
    (encoder_folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(EncoderNotFoundError, match="holds no readable encoder"):
        Checkpoint.load(tmp_path / "delta")
    shutil.rmtree(encoder_folder)
    with pytest.raises(EncoderNotFoundError, match=re.escape(str(encoder_folder))):
        Checkpoint.load(tmp_path / "delta")


def test_a_delta_saved_whole_needs_no_base(delta, folder, tmp_path):
    loaded = Checkpoint.load(delta)
    loaded.save(tmp_path / "whole")
    shutil.rmtree(folder)
    again = Checkpoint.load(tmp_path / "whole")
    assert again.version == loaded.version
    assert all_equal(answers(again), answers(loaded))


def test_both_folders_moved_together(delta, folder, tmp_path):
    expected = Checkpoint.load(delta).version
    (tmp_path / "elsewhere").mkdir()
    shutil.move(folder, tmp_path / "elsewhere")
    shutil.move(delta, tmp_path / "elsewhere")
    assert Checkpoint.load(tmp_path / "elsewhere" / "delta").version == expected


def test_a_base_that_has_moved(delta, folder):
    expected = Checkpoint.load(delta).version
    version = Checkpoint.load(folder).version
    place = moved(folder, "elsewhere")
    message = refusal(delta)
    assert f"delta on version {version}" in message
    assert f"not at {folder}" in message
    assert Checkpoint.load(delta, base=place).version == expected


def test_another_base_is_refused(delta, folder, tmp_path):
    stated = Checkpoint.load(folder).version
    other = trained(Checkpoint.load(folder), ["heads.mood.output.bias"])
    other.save(tmp_path / "other")
    for place in (tmp_path / "other", delta):
        with pytest.raises(
            CheckpointError, match=f"delta on version {stated}, but .* is version|leads back"
        ):
            Checkpoint.load(delta, base=place)
    with pytest.raises(CheckpointError, match="which is not at"):
        Checkpoint.load(delta, base=tmp_path / "nothing")


def test_a_chain_of_two(base, delta, folder, tmp_path):
    first = Checkpoint.load(delta)
    second = trained(first, ["heads.mood.output.bias"])
    second.save_delta(tmp_path / "second", first)
    assert set(load_file(tmp_path / "second" / "delta.safetensors")) == {"heads.mood.output.bias"}
    loaded = Checkpoint.load(tmp_path / "second")
    assert loaded.version == second.version
    assert len({base.version, first.version, loaded.version}) == 3
    assert all_equal(answers(loaded), answers(second))
    # A flipped bit in the lowest of them is seen through both.
    flip(folder / "model.safetensors", place_of(folder / "model.safetensors", QUERY)[-4])
    assert f"tensor encoder.{QUERY} differs" in refusal(tmp_path / "second")


def test_a_new_task_on_top_of_a_base(base, tmp_path):
    tasks = (TASKS[1], TaskConfig(name="new", labels=("a", "b", "c", "d")))
    config = base.config.model_copy(update={"tasks": tasks})
    network = Network(config, base.network.encoder, base.network.dimensions)
    network.heads["mood"].load_state_dict(base.network.heads["mood"].state_dict())
    made = Checkpoint.create(network, base.tokenizer)
    made.save_delta(tmp_path / "delta", base)
    assert set(load_file(tmp_path / "delta" / "delta.safetensors")) == {
        "heads.new.output.weight",
        "heads.new.output.bias",
    }
    loaded = Checkpoint.load(tmp_path / "delta")
    assert loaded.version == made.version
    assert loaded.config.tasks == tasks
    assert all_equal(answers(loaded), answers(made))


def test_a_base_in_memory_will_not_do(base, checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="not read from a folder"):
        trained(base, []).save_delta(tmp_path / "delta", checkpoint)
    assert not (tmp_path / "delta").exists()


def test_a_base_that_was_trained_in_place_will_not_do(base, tmp_path):
    """Its folder has the old weights, and the delta would have none."""
    nudge(base.network.get_parameter("heads.topic.output.bias"))
    after = Checkpoint.create(base.network, base.tokenizer)
    with pytest.raises(CheckpointError, match=f"version {base.version}, was changed"):
        after.save_delta(tmp_path / "delta", base)
    assert not (tmp_path / "delta").exists()


def test_a_base_of_another_kind_will_not_do(base, encoder_folder, tmp_path):
    other = copy.deepcopy(base.network)
    del other.encoder.transformer.encoder.layer[1]
    shallow = Checkpoint.create(other, base.tokenizer)
    with pytest.raises(CheckpointError, match=r"architecture: tensor encoder\.encoder\.layer\.1"):
        shallow.save_delta(tmp_path / "delta", base)
    other = copy.deepcopy(base.network)
    other.encoder.transformer.config.update({"hidden_act": "relu"})
    with pytest.raises(CheckpointError, match="its settings differ"):
        Checkpoint.create(other, base.tokenizer).save_delta(tmp_path / "delta", base)
    tokenizer = Tokenizer((encoder_folder / "tokenizer.json").read_bytes() + b"\n", MAX_TOKENS)
    for chosen in (base, None):
        with pytest.raises(CheckpointError, match="another tokenizer"):
            Checkpoint.create(base.network, tokenizer).save_delta(tmp_path / "delta", chosen)
    assert not (tmp_path / "delta").exists()


def test_a_delta_overwrites_nothing(base, delta):
    before = (delta / "delta.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="exists already"):
        trained(base, []).save_delta(delta, base)
    assert (delta / "delta.safetensors").read_bytes() == before


def circle(folder: Path) -> None:
    """The base becomes a delta on its own delta."""
    delta = folder.with_name("delta")
    version = Manifest.parse(json.loads((delta / "manifest.json").read_text())).version
    shutil.copy(delta / "delta.safetensors", folder)
    (folder / "config.json").unlink()
    edit_json(
        folder / "twinhead.json",
        lambda data: data.update(base={"version": version, "path": "../delta"}),
    )


def set_base(value: Any) -> Any:
    return lambda folder: edit_json(
        folder.with_name("delta") / "twinhead.json", lambda data: data.update(base=value)
    )


def in_delta(change: Callable[[dict[str, torch.Tensor]], object]) -> Any:
    return lambda folder: edit_tensors(folder.with_name("delta") / "delta.safetensors", change)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        # the base
        (shutil.rmtree, "which is not at"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "heads.safetensors").unlink(), "heads.safetensors is missing"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
        (
            set_tensor("heads.safetensors", "mood.output.bias", with_nan),
            "tensor heads.mood.output.bias holds NaN",
        ),
        (circle, "leads back to"),
        # what is said of it
        (set_base("base"), "base is not an object with version and path"),
        (set_base({}), "base is not an object with version and path"),
        (set_base({"version": "0"}), "base is not an object with version and path"),
        (set_base({"version": 0, "path": "."}), "base is not an object with version and path"),
        (
            set_base({"version": "0", "path": ".", "colour": "red"}),
            "base is not an object with version and path",
        ),
        (set_base({"version": "0", "path": "."}), "leads back to"),
        (set_base({"version": "0", "path": "../checkpoint"}), "delta on version 0, but"),
        (set_base({"version": "0", "path": "x" * 5000}), "base.path"),
        (set_base({"version": "0", "path": "nul\0"}), "base.path"),
        (set_base(None), "tensor heads.topic.output.bias is missing"),
        # the delta
        (
            lambda folder: (folder.with_name("delta") / "delta.safetensors").unlink(),
            "delta.safetensors is missing",
        ),
        (
            lambda folder: (folder.with_name("delta") / "delta.safetensors").write_bytes(b"pickle"),
            "delta.safetensors is damaged",
        ),
        (
            in_delta(lambda tensors: tensors.pop("heads.topic.output.weight")),
            "tensor heads.topic.output.weight differs",
        ),
        (in_delta(lambda tensors: tensors.pop(f"encoder.{QUERY}")), f"encoder.{QUERY} differs"),
        (
            in_delta(lambda tensors: tensors.update(extra=torch.ones(2))),
            "tensor extra belongs to nothing",
        ),
        (
            in_delta(lambda tensors: tensors.update({f"encoder.{QUERY}": torch.ones(3, 3)})),
            f"tensor encoder.{QUERY} is torch.float32 [3, 3]",
        ),
        (
            in_delta(
                lambda tensors: tensors.update(
                    {f"encoder.{QUERY}": tensors[f"encoder.{QUERY}"].double()}
                )
            ),
            f"tensor encoder.{QUERY} is torch.float64",
        ),
        (
            in_delta(lambda tensors: with_nan(tensors[f"encoder.{QUERY}"])),
            f"tensor encoder.{QUERY} holds NaN",
        ),
        (
            lambda folder: flip(
                folder.with_name("delta") / "delta.safetensors",
                place_of(folder.with_name("delta") / "delta.safetensors", f"encoder.{QUERY}")[-4],
            ),
            f"tensor encoder.{QUERY} differs",
        ),
        (
            lambda folder: edit_json(
                folder.with_name("delta") / "twinhead.json",
                lambda data: data["model"]["tasks"].append({"name": "new", "labels": ["a", "b"]}),
            ),
            "tensor heads.new.output.weight is missing, and the base has none that fits",
        ),
        (
            lambda folder: edit_json(
                folder.with_name("delta") / "twinhead.json",
                lambda data: data["model"]["tasks"][1]["labels"].append("storm"),
            ),
            "tensor heads.mood.output.weight is missing, and the base has none that fits",
        ),
        (
            lambda folder: edit_json(
                folder.with_name("delta") / "twinhead.json",
                lambda data: data.update(format_version=2),
            ),
            "format version 2",
        ),
    ],
)
def test_a_damaged_delta_is_refused_by_name(delta, folder, damage, named):
    damage(folder)
    assert named in refusal(delta)
