"""What a sentence-transformers folder says about itself, as far as Twinhead can do the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import read_json
from .config import Pooling
from .errors import ImportModelError

# Earlier releases name the file after the encoder's class.
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_POOLINGS = {"mean": Pooling.MEAN, "cls": Pooling.CLS, "max": Pooling.MAX}
# Keys of the earlier form of `1_Pooling/config.json`, each a flag.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# What the transformer module may say beside `max_seq_length`: how it does what it always does.
_USUAL_TRANSFORMER: dict[str, Any] = {
    "do_lower_case": False,
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "unpad_inputs": None,
}
_USUAL_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclass(frozen=True)
class SentenceTransformerFolder:
    """Encoder, pooling, and whether the vectors are scaled to unit length."""

    encoder: Path
    """Folder of the encoder and its tokenizer."""
    pooling: Pooling
    normalize: bool
    max_tokens: int | None
    """None when the folder does not say."""


def read_sentence_transformer(folder: Path) -> SentenceTransformerFolder:
    """Read `modules.json` and what it names.

    Raises:
        ImportModelError: the model does something that Twinhead does not; the text says what.
        CheckpointError: a file is missing or damaged.
    """
    _check_prompt(folder)
    modules = _read_modules(folder)
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ImportModelError(
            f"{folder}: its modules are {', '.join(kinds) or 'none'}; Twinhead has Transformer, "
            "Pooling and, after them, Normalize"
        )
    encoder = modules[0][1]
    return SentenceTransformerFolder(
        encoder=encoder,
        pooling=_read_pooling(modules[1][1] / "config.json"),
        normalize=len(modules) == 3,
        max_tokens=_read_max_tokens(encoder),
    )


def _read_modules(folder: Path) -> list[tuple[str, Path]]:
    file = folder / "modules.json"
    try:
        entries: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImportModelError(f"{file} cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise ImportModelError(f"{file} is not a JSON list")
    return [_module(folder, entry) for entry in entries]


def _module(folder: Path, entry: Any) -> tuple[str, Path]:
    """Class name and folder of a module."""
    where = folder / "modules.json"
    if not isinstance(entry, Mapping):
        raise ImportModelError(f"{where}: a module is not a JSON object")
    full_name, path = entry.get("type"), entry.get("path")
    if not isinstance(full_name, str) or not isinstance(path, str):
        raise ImportModelError(f"{where}: a module has no type or no path")
    if not full_name.startswith("sentence_transformers."):
        raise ImportModelError(f"{where}: {full_name} is code of the model's own, which is not run")
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ImportModelError(f"{where}: the path {path!r} leads out of the folder")
    return full_name.rpartition(".")[2], place


def _check_prompt(folder: Path) -> None:
    file = folder / "config_sentence_transformers.json"
    if not file.is_file():
        return
    settings = read_json(file)
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ImportModelError(f"{folder} is a {kind}, not a SentenceTransformer")
    default: Any = settings.get("default_prompt_name")
    prompts: Any = settings.get("prompts")
    # An empty prompt changes nothing; one that cannot be looked up may.
    empty = isinstance(prompts, dict) and prompts.get(str(default)) == ""
    if default is not None and not empty:
        raise ImportModelError(
            f"{folder} puts the prompt {default!r} before every sentence, which Twinhead does not"
        )


def _read_pooling(file: Path) -> Pooling:
    settings = read_json(file)
    modes: Any = settings.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if settings.get(flag)] or ["mean"]
    if not isinstance(modes, list):
        modes = [modes]
    if len(modes) != 1 or modes[0] not in list(_POOLINGS):
        raise ImportModelError(
            f"{file}: the pooling is {' and '.join(map(str, modes))}; Twinhead can import one of "
            f"{', '.join(_POOLINGS)}"
        )
    return _POOLINGS[modes[0]]


def _read_max_tokens(encoder: Path) -> int | None:
    file = next(
        (encoder / name for name in _TRANSFORMER_CONFIGS if (encoder / name).is_file()), None
    )
    if file is None:
        return None
    settings = read_json(file)
    stated: Any = settings.pop("max_seq_length", None)
    # An image part, if there is one, has no say in what a text gives.
    modalities: Any = settings.pop("modality_config", None) or {"text": _USUAL_TEXT}
    if not isinstance(modalities, dict) or modalities.get("text") != _USUAL_TEXT:
        raise ImportModelError(f"{file}: its modality_config for text is not the usual one")
    for key, value in settings.items():
        if value and value != _USUAL_TRANSFORMER.get(key):
            raise ImportModelError(f"{file}: Twinhead has nothing like {key} = {value!r}")
    if stated is not None and not isinstance(stated, int):
        raise ImportModelError(f"{file}: max_seq_length is {stated!r}")
    return stated
