"""The digests of a model: one for each tensor, and the version id that follows from them all."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_core import to_jsonable_python

from .config import ModelConfig, describe_faults
from .encoder import Encoder
from .errors import CheckpointError
from .network import Network
from .tokenizer import Tokenizer

FORMAT_VERSION = 1


def at_most(count: int) -> BeforeValidator:
    """Refuses a longer dictionary before it looks at what is in it.

    Every item of another form than expected is a fault with a text of its own: a small file of
    nothing else would take gigabytes.
    """

    def check(data: Any) -> Any:
        if isinstance(data, dict) and len(data) > count:
            raise ValueError(f"{len(data):,} entries, where at most {count:,} are allowed")
        return data

    return BeforeValidator(check)


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Of what our networks hold; quantised weights are an engine's own affair.
DType = Literal["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool"]


class TensorEntry(BaseModel):
    """What a manifest says of one tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: DType
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=2**40)], ...], FailFast()] = Field(
        max_length=8
    )
    sha256: Sha256

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count * torch.empty(0, dtype=self.torch_dtype).element_size()

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type that torch has for its elements."""
        return getattr(torch, self.dtype)


class Manifest(BaseModel):
    """Digest of everything that decides what a model answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    model_sha256: Sha256
    """Of the description's `model`, without what has its default value."""
    tokenizer_sha256: Sha256
    """Of the bytes of `tokenizer.json`."""
    encoder: dict[str, Any]
    """The settings of the encoder that its tensors do not show."""
    # Many times those of the largest encoders. An entry with more keys has ones that are unknown.
    tensors: Annotated[dict[str, Annotated[TensorEntry, at_most(10)]], at_most(20_000)]
    """By name: those of the encoder as in its own file, after `encoder.`; those of the heads
    after `heads.`."""

    @field_validator("encoder")
    @classmethod
    def _can_be_digested(cls, settings: dict[str, Any]) -> dict[str, Any]:
        # Half a surrogate pair, or lists in lists by the hundred, are JSON and have no digest:
        # `version` would fail.
        canonical(to_jsonable_python({"encoder": settings}))
        return settings

    @classmethod
    def of(cls, network: Network, tokenizer: Tokenizer) -> Self:
        """The manifest of a network as it is now."""
        encoder = network.encoder
        return cls(
            model_sha256=config_digest(network.config),
            tokenizer_sha256=tokenizer.sha256,
            encoder=encoder.settings if isinstance(encoder, Encoder) else {},
            tensors={
                name: TensorEntry(
                    dtype=dtype_name(tensor.dtype),
                    shape=tuple(tensor.shape),
                    sha256=tensor_digest(tensor),
                )
                for name, tensor in sorted(named_tensors(network).items())
            },
        )

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Check a decoded JSON object.

        Raises:
            CheckpointError: naming the first faults.
        """
        check_keys(data, cls)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = describe_faults(error)
            more = f"; and {len(faults) - 3} more faults" if len(faults) > 3 else ""
            raise CheckpointError("; ".join(faults[:3])[:1000] + more) from error

    @property
    def version(self) -> str:
        """The version id: the first 64 bits of the manifest's SHA-256, in hexadecimal."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()[:16]


def check_keys(data: Any, model: type[BaseModel]) -> None:
    """Check that a decoded JSON object has no keys but those of a model; see `at_most`.

    Raises:
        CheckpointError: naming one that it has.
    """
    if isinstance(data, dict) and (unknown := data.keys() - model.model_fields.keys()):
        raise CheckpointError(f"unknown key {min(unknown)[:100]!r}")


def config_digest(config: ModelConfig) -> str:
    """SHA-256 of a description."""
    # Without defaults, so that a setting that a later release adds changes no version id. A
    # default, once released, must therefore never change.
    stated = config.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(canonical(stated)).hexdigest()


def named_tensors(network: Network) -> dict[str, torch.Tensor]:
    """A network's tensors by their names in a manifest."""
    return {manifest_name(name): tensor for name, tensor in network.state_dict().items()}


def manifest_name(name: str) -> str:
    """The name in a manifest of what a network's state calls `name`."""
    # Without the name of our attribute: the rest is what the encoder's own file says.
    return name.replace("encoder.transformer.", "encoder.", 1)


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The elements of a tensor, row-major, as they lie in memory (little-endian)."""
    data: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(data)


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's elements."""
    return hashlib.sha256(tensor_bytes(tensor)).hexdigest()


def dtype_name(dtype: torch.dtype) -> Any:
    """What a manifest calls an element type."""
    return str(dtype).removeprefix("torch.")


def canonical(data: Any) -> bytes:
    """The one form of a JSON value that is digested."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
