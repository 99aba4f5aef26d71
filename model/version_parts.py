"""A checkpoint in parts: a few small files, and a blob for each tensor under its SHA-256.

In this form a version travels to workers and lies in their stores: a blob that is there already
is neither sent nor written again.
"""

import errno
import json
import re
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from .checkpoint import (
    DESCRIPTION,
    ENCODER_CONFIG,
    ENCODER_WEIGHTS,
    HEADS,
    MANIFEST,
    PROBES,
    Checkpoint,
    check_description,
)
from .config import ModelConfig
from .encoder import Encoder
from .errors import CheckpointError, ConfigError, ModelError
from .manifest import Manifest, TensorEntry, canonical, config_digest, named_tensors, tensor_bytes
from .network import Network
from .probes import Probes
from .tokenizer import TOKENIZER, TOKENIZER_CONFIG

# Several times what the largest known models need: 400 tensors of 150 bytes each, a tokenizer of
# 250,000 words, a description with 10,000 labels.
_FILE_BYTES = {
    DESCRIPTION: 4 << 20,
    MANIFEST: 4 << 20,
    PROBES: 16 << 20,
    ENCODER_CONFIG: 1 << 20,
    TOKENIZER_CONFIG: 1 << 20,
}
_REQUIRED = (DESCRIPTION, MANIFEST)
# What `config.json` calls numbers of layers, in all families, also of encoders within encoders, and
# of labels: the library makes lists as long before it makes any layer.
_COUNTS = re.compile(r"(layers?|labels|depths?)$")
TOKENIZER_BYTES = 64 << 20
"""What a `tokenizer.json` may take at most."""

Blob = bytes | bytearray | memoryview


@dataclass(frozen=True)
class VersionFiles:
    """The small files of a version, read and checked against each other."""

    files: Mapping[str, bytes]
    """By name, as they came."""
    config: ModelConfig
    manifest: Manifest
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    probes: Probes | None

    @classmethod
    def parse(cls, files: Mapping[str, bytes]) -> Self:
        """Check files that come from anywhere.

        Raises:
            CheckpointError: naming the file and what is wrong with it.
        """
        for name, content in files.items():
            if name not in _FILE_BYTES:
                raise CheckpointError(f"{name[:100]!r} is no file of a version")
            if len(content) > _FILE_BYTES[name]:
                raise CheckpointError(
                    f"{name} has {len(content):,} bytes, over the limit of {_FILE_BYTES[name]:,}"
                )
        for name in _REQUIRED:
            if name not in files:
                raise CheckpointError(f"{name} is missing")
        for name in (ENCODER_CONFIG, TOKENIZER_CONFIG):
            if name in files:
                _parse_object(name, files)
        description = check_description(_parse_object(DESCRIPTION, files), DESCRIPTION)
        try:  # half a surrogate pair is JSON, and cannot be told to anybody
            canonical([description["metrics"], description["provenance"]])
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{DESCRIPTION}: metrics or provenance: {error}"[:300]) from error
        if description["base"] is not None:
            raise CheckpointError(f"{DESCRIPTION}: a version in parts is whole, it has no base")
        try:
            config = ModelConfig.parse(description["model"])
        except ConfigError as error:
            raise CheckpointError(f"{DESCRIPTION}, model: {str(error)[:1000]}") from error
        manifest = _named(MANIFEST, Manifest.parse, _parse_object(MANIFEST, files))
        if manifest.model_sha256 != config_digest(config):
            raise CheckpointError(f"{DESCRIPTION}: {MANIFEST} is of another model")
        probes = None
        if PROBES in files:
            probes = _named(PROBES, Probes.parse, _parse_object(PROBES, files))
        return cls(
            files=dict(files),
            config=config,
            manifest=manifest,
            metrics=description["metrics"],
            provenance=description["provenance"],
            probes=probes,
        )

    @property
    def version(self) -> str:
        """Version id."""
        return self.manifest.version

    @property
    def blobs(self) -> dict[str, int | None]:
        """Digest to size in bytes of all that the version consists of; None where not known."""
        sizes: dict[str, int | None] = {self.manifest.tokenizer_sha256: None}
        return sizes | {entry.sha256: entry.size for entry in self.manifest.tensors.values()}


@dataclass(frozen=True)
class VersionParts:
    """A whole version in parts."""

    files: VersionFiles
    read: Callable[[str], Blob]
    """The bytes of a blob by its digest."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Take a checkpoint apart; its weights are not copied."""
        files = {name: text.encode() for name, text in checkpoint.texts().items()}
        files |= settings_files(checkpoint)
        tokenizer = checkpoint.tokenizer
        tensors = named_tensors(checkpoint.network)
        by_digest = {
            entry.sha256: tensors[name] for name, entry in checkpoint.manifest.tensors.items()
        }

        def read(digest: str) -> Blob:
            if digest == checkpoint.manifest.tokenizer_sha256:
                return tokenizer.serialized
            return tensor_bytes(by_digest[digest])

        return cls(VersionFiles.parse(files), read)


def settings_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files that say how the encoder and the tokenizer are set up, by name."""
    encoder = checkpoint.network.encoder
    if not isinstance(encoder, Encoder):
        return {}
    settings: Any = encoder.transformer.config
    return {
        ENCODER_CONFIG: str(settings.to_json_string()).encode(),
        TOKENIZER_CONFIG: checkpoint.tokenizer.config_text(settings.pad_token_id).encode(),
    }


def write_folder(folder: Path, parts: VersionParts) -> None:
    """Put a version together as a folder that `Checkpoint.load` reads, and verifies."""
    folder.mkdir(parents=True)
    files = parts.files
    for name, content in files.files.items():
        (folder / name).write_bytes(content)
    (folder / TOKENIZER).write_bytes(parts.read(files.manifest.tokenizer_sha256))
    for file, prefix in ((ENCODER_WEIGHTS, "encoder."), (HEADS, "heads.")):
        tensors = {
            name.removeprefix(prefix): to_tensor(parts.read(entry.sha256), entry)
            for name, entry in files.manifest.tensors.items()
            if name.startswith(prefix)
        }
        try:
            save_file(tensors, folder / file)
        except SafetensorError as error:  # how the library tells a full disk
            raise OSError(errno.ENOSPC, str(error)) from error


def load_version(parts: VersionParts, place: Path) -> Checkpoint:
    """Put a version together as a folder, load it, and verify it whole.

    Args:
        parts: the version.
        place: a folder in which there is room for another one of the version's size meanwhile.

    Raises:
        CheckpointError: the parts are not those of one model, or damaged.
        OSError: the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        folder = Path(temporary, "checkpoint")
        write_folder(folder, parts)
        try:
            checkpoint = Checkpoint.load(folder)
        except ModelError as error:
            said = str(error).replace(f"{folder}/", "").replace(str(folder), "the version")
            raise CheckpointError(said) from error
    stated = parts.files.version
    if checkpoint.version != stated:  # equal, but written in another way: 2.0 for 2
        raise CheckpointError(f"what is called {stated} is another version")
    return checkpoint


# Others may be served from a folder. Here settings come from elsewhere, and some families' code
# takes memory for what they say before anything can be looked at.
_MODEL_TYPES = {
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "roberta",
    "xlm-roberta",
}
# With these, transformers loads code, or kernels, from wherever they say.
_CODE_SETTINGS = {
    "_attn_implementation",
    "attn_implementation",
    "auto_map",
    "quantization_config",
    "custom_pipelines",
}


def expected_shapes(files: VersionFiles) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that a version's description and encoder settings ask for, by name.

    Takes no memory for the tensors.

    Raises:
        CheckpointError: the settings are those of no encoder, or of one that the version's tensors
            cannot be.
        ConfigError: the description contradicts itself.
    """
    from transformers import AutoConfig, AutoModel

    settings = _parse_object(ENCODER_CONFIG, files.files)
    if str(settings.get("model_type")) not in _MODEL_TYPES:
        known = ", ".join(sorted(_MODEL_TYPES))
        raise CheckpointError(
            f"{ENCODER_CONFIG} describes no encoder of a family that is taken: {known}"
        )
    for key in _CODE_SETTINGS & settings.keys():
        raise CheckpointError(f"{ENCODER_CONFIG}: {key} would load code, and is not taken")
    tensors = len(files.manifest.tensors)
    # Each layer has several.
    if any(count > tensors for count in _counts(settings)):
        raise CheckpointError(f"{ENCODER_CONFIG}: more layers than the version has tensors")
    try:
        # In all families there are fewer than three modules to a tensor.
        with torch.device("meta"), _at_most_modules(100 + 4 * tensors):
            config: Any = AutoConfig.for_model(**settings)
            # The type is said here, lest one in the settings be that of the process for a moment.
            transformer: Any = AutoModel.from_config(
                config, dtype=torch.float32, trust_remote_code=False
            )
            network = Network(files.config, Encoder(transformer), int(config.hidden_size))
    except (CheckpointError, ConfigError):
        raise
    except Exception as error:  # the libraries raise anything on settings that are not as expected
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise CheckpointError(f"{ENCODER_CONFIG} describes no encoder: {reason[:300]}") from error
    return {name: tuple(tensor.shape) for name, tensor in named_tensors(network).items()}


def _counts(settings: Any) -> Iterator[float]:
    """Numbers of layers, however deep in the settings."""
    # No recursion: they may be as deep as the stack is.
    left = [("", settings)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left.extend(value.items())
        elif isinstance(value, list):
            left.extend((name, item) for item in value)
        elif isinstance(value, int | float) and _COUNTS.search(name):
            yield value


@contextmanager
def _at_most_modules(count: int) -> Generator[None]:
    """End what makes more modules than that in this thread: each takes memory, also on `meta`."""
    thread, left = threading.get_ident(), count

    def made(_module: nn.Module, _name: str, _submodule: nn.Module | None) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise CheckpointError(f"{ENCODER_CONFIG}: more layers than the version has tensors")

    hook = register_module_module_registration_hook(made)
    try:
        yield
    finally:
        hook.remove()


def to_tensor(data: Blob, entry: TensorEntry) -> torch.Tensor:
    """The tensor of a blob, in memory of its own; that of a bytearray is taken over.

    Raises:
        CheckpointError: the blob is not as long as the tensor.
    """
    if len(data) != entry.size:
        raise CheckpointError(f"a tensor of {entry.size} bytes has a blob of {len(data)}")
    if not data:
        return torch.empty(entry.shape, dtype=entry.torch_dtype)
    if isinstance(data, bytearray):  # nobody else's: it need not be copied
        return torch.frombuffer(data, dtype=entry.torch_dtype).reshape(entry.shape)
    tensor = torch.empty(entry.shape, dtype=entry.torch_dtype)
    tensor_bytes(tensor)[:] = data
    return tensor


def _parse_object(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        data = json.loads(files[name].decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{name} is not a JSON object")
    return data


def _named(name: str, parse: Callable[[Any], Any], data: Any) -> Any:
    try:
        return parse(data)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error
