"""A checkpoint: a folder with a whole model, and a digest for each of its tensors.

    twinhead.json       the model's description, metrics, where it comes from
    manifest.json       SHA-256 of each tensor, of the description and of the tokenizer;
                        the encoder's settings
    probes.json         what the model answers to a few sentences
    heads.safetensors   the task heads
    config.json, model.safetensors, tokenizer.json, ...   the encoder in Hugging Face layout
    modules.json, ...   what makes the folder a sentence-transformers model

A *delta* checkpoint has, in place of encoder and heads, `delta.safetensors` with those tensors only
that differ from its base: another checkpoint, or the encoder found by name. There, tensors whose
values half precision holds exactly are stored in it. In both forms the manifest covers the whole
model, so loading proves that the right base was used. The version id is the digest of the manifest:
same weights, same id.
"""

import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .config import ModelConfig
from .ecosystem import write_sentence_transformer
from .encoder import Encoder, find_encoder
from .errors import CheckpointError, ConfigError, EncoderNotFoundError
from .manifest import FORMAT_VERSION, Manifest, manifest_name, named_tensors, tensor_digest
from .network import Network
from .probes import Probes
from .tokenizer import Tokenizer

DESCRIPTION = "twinhead.json"
MANIFEST = "manifest.json"
PROBES = "probes.json"
HEADS = "heads.safetensors"
_DELTA = "delta.safetensors"
ENCODER_CONFIG = "config.json"
ENCODER_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """A whole model: network, tokenizer, and what is known about them."""

    network: Network
    """In evaluation mode."""
    tokenizer: Tokenizer
    manifest: Manifest
    """The digests of all that it is made of."""
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Task name to measured figures."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How it was trained."""
    probes: Probes | None = None
    """What it answered to probe sentences when it was saved; None before that."""
    source: Path | None = None
    """The folder it was read from."""

    @property
    def version(self) -> str:
        """Version id, 16 hexadecimal digits: the digest of the manifest."""
        return self.manifest.version

    @property
    def config(self) -> ModelConfig:
        """The model's description."""
        return self.network.config

    @classmethod
    def create(
        cls,
        network: Network,
        tokenizer: Tokenizer,
        metrics: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a checkpoint of a network as it is now; its version follows from the weights.

        Raises:
            CheckpointError: the config allows longer inputs than the encoder has positions for, or
                the tokenizer has tokens that the encoder does not know.
        """
        _check_length(network)
        _check_vocabulary(network, tokenizer)
        manifest = Manifest.of(network, tokenizer)
        return cls(network.eval(), tokenizer, manifest, metrics or {}, provenance or {})

    @classmethod
    def load(cls, folder: Path, base: Path | None = None) -> Self:
        """Read a checkpoint and verify every digest.

        Args:
            folder: the checkpoint.
            base: of a delta checkpoint, its base, if that is not where it was when it was saved.

        Raises:
            CheckpointError: something is missing, damaged or does not fit; nothing is half-loaded.
            EncoderNotFoundError: the folder names an encoder that is not at hand.
        """
        description = read_description(folder)
        try:
            config = ModelConfig.parse(description["model"])
        except ConfigError as error:
            raise CheckpointError(f"{folder / DESCRIPTION}, model: {error}") from error
        if description["base"] is not None:
            base_model = cls.load(_find_base(folder, description["base"], base))
            encoder = base_model.network.encoder
            tokenizer = base_model.tokenizer.with_max_tokens(config.max_tokens)
            inherited = dict(base_model.network.heads.state_dict())
        else:
            encoder, tokenizer = _load_encoder(folder, config)
            inherited = {}
        if not isinstance(encoder, Encoder):
            raise CheckpointError(f"{folder}: its base has no Hugging Face encoder")
        try:
            network = Network(config, encoder, encoder.dimensions)
        except ConfigError as error:
            raise CheckpointError(f"{folder / DESCRIPTION}, model: {error}") from error
        _check_length(network)
        if description["base"] is not None or (folder / _DELTA).is_file():
            _load_delta(network, folder / _DELTA, inherited)
        else:
            tensors = _read_tensors(folder / HEADS)
            _check_tensors(folder / HEADS, tensors, network.heads.state_dict())
            network.heads.load_state_dict(tensors)
        _check_finite(folder, network)
        _check_vocabulary(network, tokenizer)

        manifest = Manifest.of(network, tokenizer)
        _check_manifest(folder, read_json(folder / MANIFEST), manifest.model_dump(mode="json"))
        return cls(
            network.eval(),
            tokenizer,
            manifest,
            description["metrics"],
            description["provenance"],
            _read_probes(folder),
            folder,
        )

    def save(self, folder: Path) -> None:
        """Write the whole checkpoint; `folder` appears only when it is complete.

        Args:
            folder: must not exist yet, or be empty.

        Raises:
            CheckpointError: `folder` has files already, or is a file.
        """
        with _staged(folder) as staging:
            transformer = _transformer(self.network)
            transformer.save_pretrained(staging)
            self.tokenizer.save(staging, transformer.config.pad_token_id)
            write_sentence_transformer(staging, self.config, self.network.dimensions)
            _write_tensors(staging / HEADS, self.network.heads.state_dict())
            self._as_it_is()._write_texts(staging, base=None)

    def save_delta(self, folder: Path, base: "Checkpoint | None" = None) -> None:
        """Write only what differs from a base.

        Args:
            folder: must not exist yet, or be empty.
            base: a checkpoint that was read from a folder, which loading will need again; None for
                the encoder that is found by the config's name.

        Raises:
            CheckpointError: `folder` has files already, or the base will not do: it was not read
                from a folder, was changed since, is of another architecture or has another
                tokenizer.
        """
        if base is None:
            encoder, tokenizer = _load_named_encoder(self.config)
            known = {f"encoder.{name}": t for name, t in encoder.transformer.state_dict().items()}
            stated = None
        else:
            encoder, tokenizer = base.network.encoder, base.tokenizer
            known = named_tensors(base.network)
            stated = {"version": base.version, "path": _relative_path(base, folder)}
        own = named_tensors(self.network)
        _check_same_architecture(self.network.encoder, encoder, own, known)
        if tokenizer.sha256 != self.tokenizer.sha256:
            raise CheckpointError("the base has another tokenizer")
        changed = {
            name: tensor
            for name, tensor in own.items()
            if name not in known or not _same(tensor, known[name])
        }
        with _staged(folder) as staging:
            _write_tensors(
                staging / _DELTA, {name: _narrowed(tensor) for name, tensor in changed.items()}
            )
            self._as_it_is()._write_texts(staging, base=stated)

    def _as_it_is(self) -> Self:
        """With the manifest of the network as it is now: it may have been trained since."""
        manifest = Manifest.of(self.network, self.tokenizer)
        return self if manifest == self.manifest else replace(self, manifest=manifest, probes=None)

    def texts(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The small files that say what it is, by name: description, manifest and probes."""
        description = {
            "format_version": FORMAT_VERSION,
            "model": self.config.model_dump(mode="json"),
            "metrics": self.metrics,
            "provenance": self.provenance,
        }
        if base is not None:
            description["base"] = base
        probes = self.probes or Probes.measure(self.network, self.tokenizer)
        return {
            DESCRIPTION: _json_text(description),
            MANIFEST: _json_text(self.manifest.model_dump(mode="json")),
            # One line: nobody reads it, and it is mostly numbers.
            PROBES: probes.model_dump_json() + "\n",
        }

    def _write_texts(self, staging: Path, base: Mapping[str, str] | None) -> None:
        for name, text in self.texts(base).items():
            (staging / name).write_text(text, encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """What `twinhead.json` says: model, metrics, provenance, base (None when it has none).

    Raises:
        CheckpointError: it is missing, damaged, of another format version or has unknown keys.
    """
    file = folder / DESCRIPTION
    return check_description(read_json(file), str(file))


def read_version(folder: Path) -> str:
    """The version that a checkpoint's manifest states; nothing else is read or verified.

    Raises:
        CheckpointError: the manifest is missing or damaged.
    """
    stated = read_json(folder / MANIFEST)
    try:
        return Manifest.parse(stated).version
    except CheckpointError as error:
        raise CheckpointError(f"{folder / MANIFEST}: {error}") from error


def check_description(description: dict[str, Any], file: str) -> dict[str, Any]:
    """Check what `twinhead.json` says, and fill in what it leaves out; see `read_description`.

    Args:
        description: what it says.
        file: what errors call it.

    Raises:
        CheckpointError: as `read_description`, but for a file that is missing.
    """
    found = description.get("format_version")
    if found != FORMAT_VERSION:
        raise CheckpointError(
            f"{file} has format version {found!r}; this release reads version {FORMAT_VERSION}"
        )
    known = {"format_version", "model", "metrics", "provenance", "base"}
    unknown = description.keys() - known
    if unknown:
        raise CheckpointError(f"{file}: unknown key {sorted(unknown)[0]!r}")
    for key in ("metrics", "provenance"):
        if not isinstance(description.setdefault(key, {}), dict):
            raise CheckpointError(f"{file}: {key} is not a JSON object")
    base = description.setdefault("base", None)
    if base is not None:
        texts = isinstance(base, dict) and set(base) == {"version", "path"}
        if not texts or not all(isinstance(value, str) for value in base.values()):
            raise CheckpointError(f"{file}: base is not an object with version and path")
    description.setdefault("model", None)
    return description


def _transformer(network: Network) -> Any:
    if not isinstance(network.encoder, Encoder):
        raise CheckpointError("only a Hugging Face encoder can be saved")
    return network.encoder.transformer


def _same(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    return tensor.shape == other.shape and tensor_digest(tensor) == tensor_digest(other)


def _load_encoder(folder: Path, config: ModelConfig) -> tuple[Encoder, Tokenizer]:
    """The encoder that the folder holds, or that of a delta names."""
    if (folder / _DELTA).is_file():
        return _load_named_encoder(config)
    if not (folder / ENCODER_CONFIG).is_file():
        raise CheckpointError(f"{folder / ENCODER_CONFIG} is missing")
    try:
        return Encoder.load(folder), Tokenizer.load(folder, config.max_tokens)
    except EncoderNotFoundError as error:  # it is at hand, but not whole
        raise CheckpointError(str(error)) from error


def _load_named_encoder(config: ModelConfig) -> tuple[Encoder, Tokenizer]:
    found = find_encoder(config.encoder, config.revision)
    return Encoder.load(found), Tokenizer.load(found, config.max_tokens)


def _relative_path(base: Checkpoint, folder: Path) -> str:
    if base.source is None:
        raise CheckpointError("the base was not read from a folder")
    # Otherwise what changed since would be in neither of the two folders.
    if Manifest.of(base.network, base.tokenizer) != base.manifest:
        raise CheckpointError(
            f"the base, version {base.version}, was changed after it was read; read it anew"
        )
    return os.path.relpath(base.source.resolve(), folder.resolve())


def _check_same_architecture(
    encoder: nn.Module,
    base: nn.Module,
    own: Mapping[str, torch.Tensor],
    known: Mapping[str, torch.Tensor],
) -> None:
    if not isinstance(encoder, Encoder) or not isinstance(base, Encoder):
        raise CheckpointError("only a Hugging Face encoder can be saved")
    for name in sorted(own.keys() | known.keys()):
        if not name.startswith("encoder."):
            continue
        if name not in known or name not in own or own[name].shape != known[name].shape:
            raise CheckpointError(f"the base is of another architecture: tensor {name} differs")
    if encoder.settings != base.settings:
        raise CheckpointError("the base is of another architecture: its settings differ")


def _find_base(folder: Path, stated: Mapping[str, str], given: Path | None) -> Path:
    try:
        base = given or (folder / stated["path"]).resolve()
        at_hand = (base / DESCRIPTION).is_file()
    except (OSError, ValueError) as error:  # a path that no file can have
        raise CheckpointError(f"{folder / DESCRIPTION}: base.path: {error}") from error
    if not at_hand:
        raise CheckpointError(
            f"{folder} is a delta on version {stated['version']}, which is not at {base}; "
            "say where it is"
        )
    _check_no_circle(folder, base)
    found = read_version(base)
    if found != stated["version"]:
        raise CheckpointError(
            f"{folder} is a delta on version {stated['version']}, but {base} is version {found}"
        )
    return base


def _check_no_circle(folder: Path, base: Path) -> None:
    seen = {folder.resolve()}
    while (base / DESCRIPTION).is_file():
        if base.resolve() in seen:
            raise CheckpointError(f"{folder}: its base leads back to {base.resolve()}")
        seen.add(base.resolve())
        stated = read_description(base)["base"]
        if stated is None:
            return
        base = (base / stated["path"]).resolve()


def _load_delta(network: Network, file: Path, inherited: Mapping[str, torch.Tensor]) -> None:
    expected = named_tensors(network)
    tensors = {
        name: _widened(tensor, expected.get(name)) for name, tensor in _read_tensors(file).items()
    }
    _check_tensors(file, tensors, {name: expected.get(name) for name in tensors})
    for name, tensor in network.heads.state_dict().items():
        full = f"heads.{name}"
        if full in tensors:
            continue
        if name not in inherited or inherited[name].shape != tensor.shape:
            raise CheckpointError(
                f"{file}: tensor {full} is missing, and the base has none that fits"
            )
        tensors[full] = inherited[name]
    network.load_state_dict(
        {
            name: tensors.get(manifest_name(name), tensor)
            for name, tensor in network.state_dict().items()
        }
    )


def _narrowed(tensor: torch.Tensor) -> torch.Tensor:
    """In half precision, if that holds each value exactly."""
    half = tensor.half()
    exact = tensor.dtype == torch.float32 and torch.equal(half.float(), tensor)
    return half if exact else tensor


def _widened(tensor: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    """What `_narrowed` was given."""
    if wanted is None or (tensor.dtype, wanted.dtype) != (torch.float16, torch.float32):
        return tensor
    return tensor.float()


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own bare error type
        raise CheckpointError(f"{file} is damaged: {error}") from error


def _check_tensors(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor | None],
) -> None:
    for name in sorted(expected.keys() | tensors.keys()):
        wanted = expected.get(name)
        if wanted is None:
            raise CheckpointError(f"{file}: tensor {name} belongs to nothing in {DESCRIPTION}")
        if name not in tensors:
            raise CheckpointError(f"{file}: tensor {name} is missing")
        found = tensors[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise CheckpointError(
                f"{file}: tensor {name} is {found.dtype} {list(found.shape)}, but the task's "
                f"labels and the encoder need {wanted.dtype} {list(wanted.shape)}"
            )


def _write_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)


@contextmanager
def _staged(folder: Path) -> Generator[Path]:
    """A folder beside `folder` that takes its name when all is written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already and is not an empty folder")
    staging = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    # A process that was killed may have left it; in a container the number is always the same.
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        for file in staging.rglob("*.safetensors"):  # the library writes them for their owner only
            file.chmod(0o644)
        staging.replace(folder)
    except SafetensorError as error:  # how the library tells a full disk
        shutil.rmtree(staging, ignore_errors=True)
        raise CheckpointError(f"{folder} cannot be written: {error}") from error
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _check_length(network: Network) -> None:
    limit = network.encoder.max_tokens if isinstance(network.encoder, Encoder) else None
    wanted = network.config.max_tokens
    if limit is not None and wanted > limit:
        raise CheckpointError(
            f"max_tokens is {wanted}, but the encoder has positions for {limit} tokens"
        )


def _check_vocabulary(network: Network, tokenizer: Tokenizer) -> None:
    rows = network.encoder.vocabulary if isinstance(network.encoder, Encoder) else None
    if rows is not None and tokenizer.vocabulary > rows:
        raise CheckpointError(
            f"tokenizer.json has {tokenizer.vocabulary} tokens, the encoder {rows}: they are "
            "not of one model"
        )


def _check_finite(folder: Path, network: Network) -> None:
    for name, tensor in named_tensors(network).items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{folder}: tensor {name} holds NaN or infinite values")


def _check_manifest(folder: Path, stated: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    file = folder / MANIFEST
    if stated.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{file} has format version {stated.get('format_version')!r}")
    unknown = stated.keys() - actual.keys()
    if unknown:
        raise CheckpointError(f"{file}: unknown key {sorted(unknown)[0]!r}")
    if stated.get("model_sha256") != actual["model_sha256"]:
        raise CheckpointError(f"{folder / DESCRIPTION}: the model was changed after it was saved")
    if stated.get("tokenizer_sha256") != actual["tokenizer_sha256"]:
        raise CheckpointError(f"{folder}: tokenizer.json differs from the one of {file}")
    settings: Any = stated.get("encoder")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{file} states no encoder settings")
    for name in sorted(settings.keys() | actual["encoder"].keys()):
        if settings.get(name) != actual["encoder"].get(name):
            raise CheckpointError(
                f"{folder}: {name} of the encoder's {ENCODER_CONFIG} is "
                f"{actual['encoder'].get(name)!r}, but {file} states {settings.get(name)!r}"
            )
    tensors: Any = stated.get("tensors")
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{file} lists no tensors")
    for name in sorted(tensors.keys() | actual["tensors"].keys()):
        if tensors.get(name) != actual["tensors"].get(name):
            raise CheckpointError(f"{folder}: tensor {name} differs from what {file} states")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, or holds something else.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad UTF-8 and oversized numbers among them
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{file} is not a JSON object")
    return data


def _json_text(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _read_probes(folder: Path) -> Probes | None:
    file = folder / PROBES
    if not file.is_file():  # saved by a release that had none
        return None
    stated = read_json(file)
    try:
        return Probes.parse(stated)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
