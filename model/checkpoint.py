"""A checkpoint: a folder with a whole model, and a digest for each of its tensors.

    twinhead.json       the model's description, metrics, where it comes from
    manifest.json       SHA-256 of each tensor, of the description and of the tokenizer;
                        the encoder's settings
    heads.safetensors   the task heads
    config.json, model.safetensors, tokenizer.json, ...   the encoder in Hugging Face layout

The encoder's files may be left out when an encoder that can be found by name has exactly the
same weights; the manifest covers them all the same. The version id is the digest of the manifest:
same weights, same id.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file

from .config import ModelConfig
from .encoder import Encoder, find_encoder
from .errors import CheckpointError, ConfigError, EncoderNotFoundError
from .network import Network
from .tokenizer import Tokenizer

FORMAT_VERSION = 1

_DESCRIPTION = "twinhead.json"
_MANIFEST = "manifest.json"
_HEADS = "heads.safetensors"
_ENCODER_CONFIG = "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole model: network, tokenizer, and what is known about them."""

    network: Network
    """In evaluation mode."""
    tokenizer: Tokenizer
    version: str
    """Version id, 16 hexadecimal digits."""
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Task name to measured figures."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How it was trained."""

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
        version = version_of(make_manifest(network, tokenizer))
        return cls(network.eval(), tokenizer, version, metrics or {}, provenance or {})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a checkpoint and verify every digest.

        Raises:
            CheckpointError: something is missing, damaged or does not fit; nothing is half-loaded.
            EncoderNotFoundError: the folder names an encoder that is not at hand.
        """
        description = _read_json(folder / _DESCRIPTION)
        found = description.get("format_version")
        if found != FORMAT_VERSION:
            raise CheckpointError(
                f"{folder / _DESCRIPTION} has format version {found!r}; "
                f"this release reads version {FORMAT_VERSION}"
            )
        unknown = description.keys() - {"format_version", "model", "metrics", "provenance"}
        if unknown:
            raise CheckpointError(f"{folder / _DESCRIPTION}: unknown key {sorted(unknown)[0]!r}")
        metrics, provenance = description.get("metrics", {}), description.get("provenance", {})
        for key, value in (("metrics", metrics), ("provenance", provenance)):
            if not isinstance(value, dict):
                raise CheckpointError(f"{folder / _DESCRIPTION}: {key} is not a JSON object")
        try:
            config = ModelConfig.parse(description.get("model"))
        except ConfigError as error:
            raise CheckpointError(f"{folder / _DESCRIPTION}, model: {error}") from error

        if (folder / _ENCODER_CONFIG).is_file():
            encoder_folder = folder
            try:
                encoder = Encoder.load(folder)
            except EncoderNotFoundError as error:  # it is at hand, but not whole
                raise CheckpointError(str(error)) from error
        else:
            encoder_folder = find_encoder(config.encoder)
            encoder = Encoder.load(encoder_folder)
        network = Network(config, encoder, encoder.dimensions)
        _check_length(network)
        _load_heads(network, folder / _HEADS)
        _check_finite(folder, network)
        tokenizer = Tokenizer.load(encoder_folder, config.max_tokens)
        _check_vocabulary(network, tokenizer)

        manifest = make_manifest(network, tokenizer)
        _check_manifest(folder, _read_json(folder / _MANIFEST), manifest)
        return cls(network.eval(), tokenizer, version_of(manifest), metrics, provenance)

    def save(self, folder: Path, *, with_encoder: bool = True) -> None:
        """Write the checkpoint; `folder` appears only when it is complete.

        Args:
            folder: must not exist yet, or be empty.
            with_encoder: False leaves the encoder's files out; loading then finds it by the
                config's name and verifies that it has the same weights.

        Raises:
            CheckpointError: `folder` has files already, or is a file.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CheckpointError(f"{folder} exists already and is not an empty folder")
        staging = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        # A process that was killed may have left it; in a container the number is always the same.
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            if with_encoder:
                _transformer(self.network).save_pretrained(staging)
                self.tokenizer.save(staging)
            heads = {
                name: tensor.contiguous()
                for name, tensor in self.network.heads.state_dict().items()
            }
            save_file(heads, staging / _HEADS)
            for file in staging.glob(
                "*.safetensors"
            ):  # the library writes them for their owner only
                file.chmod(0o644)
            _write_json(
                staging / _DESCRIPTION,
                {
                    "format_version": FORMAT_VERSION,
                    "model": self.config.model_dump(mode="json"),
                    "metrics": self.metrics,
                    "provenance": self.provenance,
                },
            )
            _write_json(staging / _MANIFEST, make_manifest(self.network, self.tokenizer))
            staging.replace(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def make_manifest(network: Network, tokenizer: Tokenizer) -> dict[str, Any]:
    """Digest of everything that decides what a model answers."""
    tensors = {
        _manifest_name(name): {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "sha256": _tensor_digest(tensor),
        }
        for name, tensor in network.state_dict().items()
    }
    return {
        "format_version": FORMAT_VERSION,
        # Without defaults, so that a setting that a later release adds changes no version id. A
        # default, once released, must therefore never change.
        "model_sha256": hashlib.sha256(
            _canonical(network.config.model_dump(mode="json", exclude_defaults=True))
        ).hexdigest(),
        "tokenizer_sha256": tokenizer.sha256,
        "encoder": network.encoder.settings if isinstance(network.encoder, Encoder) else {},
        "tensors": dict(sorted(tensors.items())),
    }


def version_of(manifest: Mapping[str, Any]) -> str:
    """The version id of a manifest: the first 64 bits of its SHA-256, in hexadecimal."""
    return hashlib.sha256(_canonical(manifest)).hexdigest()[:16]


def _manifest_name(name: str) -> str:
    # Without the name of our attribute: the rest is what the encoder's own file says.
    return name.replace("encoder.transformer.", "encoder.", 1)


def _transformer(network: Network) -> Any:
    if not isinstance(network.encoder, Encoder):
        raise CheckpointError("only a Hugging Face encoder can be saved")
    return network.encoder.transformer


def _tensor_digest(tensor: torch.Tensor) -> str:
    data: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(data).hexdigest()


def _load_heads(network: Network, file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        tensors = load_file(file)
    except Exception as error:  # safetensors raises its own bare error type
        raise CheckpointError(f"{file} is damaged: {error}") from error
    expected = network.heads.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{file}: tensor {name} is missing")
        if name not in expected:
            raise CheckpointError(f"{file}: tensor {name} belongs to no task of {_DESCRIPTION}")
        if (
            tensors[name].shape != expected[name].shape
            or tensors[name].dtype != expected[name].dtype
        ):
            raise CheckpointError(
                f"{file}: tensor {name} is {tensors[name].dtype} {list(tensors[name].shape)}, "
                f"but the task's labels and the encoder need "
                f"{expected[name].dtype} {list(expected[name].shape)}"
            )
    network.heads.load_state_dict(tensors)


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
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{folder}: tensor {_manifest_name(name)} holds NaN or infinite values"
            )


def _check_manifest(folder: Path, stated: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    file = folder / _MANIFEST
    if stated.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{file} has format version {stated.get('format_version')!r}")
    unknown = stated.keys() - actual.keys()
    if unknown:
        raise CheckpointError(f"{file}: unknown key {sorted(unknown)[0]!r}")
    if stated.get("model_sha256") != actual["model_sha256"]:
        raise CheckpointError(f"{folder / _DESCRIPTION}: the model was changed after it was saved")
    if stated.get("tokenizer_sha256") != actual["tokenizer_sha256"]:
        raise CheckpointError(f"{folder}: tokenizer.json differs from the one of {file}")
    settings: Any = stated.get("encoder")
    if not isinstance(settings, dict):
        raise CheckpointError(f"{file} states no encoder settings")
    for name in sorted(settings.keys() | actual["encoder"].keys()):
        if settings.get(name) != actual["encoder"].get(name):
            raise CheckpointError(
                f"{folder}: {name} of the encoder's {_ENCODER_CONFIG} is "
                f"{actual['encoder'].get(name)!r}, but {file} states {settings.get(name)!r}"
            )
    tensors: Any = stated.get("tensors")
    if not isinstance(tensors, dict):
        raise CheckpointError(f"{file} lists no tensors")
    for name in sorted(tensors.keys() | actual["tensors"].keys()):
        if tensors.get(name) != actual["tensors"].get(name):
            raise CheckpointError(f"{folder}: tensor {name} differs from what {file} states")


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _read_json(file: Path) -> dict[str, Any]:
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


def _write_json(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
