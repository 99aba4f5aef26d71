"""Models of other libraries as Twinhead checkpoints, with the same embeddings and logits."""

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from .checkpoint import Checkpoint, read_json
from .classifier_head import ClassifierHead, read_sequence_head, read_token_head
from .config import ModelConfig, TaskConfig, TaskKind, describe_faults
from .encoder import Encoder, read_pretrained
from .errors import ImportModelError
from .network import Network
from .sentence_transformer_folder import SentenceTransformerFolder, read_sentence_transformer
from .setfit_head import read_setfit_head
from .tokenizer import Tokenizer

_KNOWN = """What can be imported:
  - a Hugging Face folder of an AutoModelForSequenceClassification or ...ForTokenClassification
  - a sentence-transformers folder (modules.json)
  - a SetFit folder with a torch head (model_head.pkl)"""

# Where a model does not say: what the BERT family was trained on. A model with more positions
# can read further; that is slow and seldom wanted, and `max_tokens` can be raised later.
_USUAL_TOKENS = 512
_MOST_TOKENS = 8192  # of ModelConfig.max_tokens

# For a look whether the import answers like its original. Of different lengths: padding takes part.
_PROBES = ("The quick brown fox jumps over the lazy dog.", "Yes!", "Zürich — 東京 2024, C++")
# Float32 sums in another order differ by less than a tenth of this.
_TOLERANCE = 1e-4

_VOCABULARIES = ("vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model")


def import_model(folder: Path, task: str = "label") -> Checkpoint:
    """Turn a model of another library into a checkpoint; nothing in the folder is ever run.

    Args:
        folder: of Hugging Face transformers, sentence-transformers or SetFit.
        task: name of the task that its head becomes.

    Raises:
        ImportModelError: it is none of these, is damaged, or does what Twinhead cannot.
        CheckpointError: a file that it needs is missing or damaged.
        EncoderNotFoundError: its encoder cannot be read whole.
    """
    if (folder / "twinhead.json").is_file():
        raise ImportModelError(f"{folder} is a Twinhead checkpoint already")
    if not folder.is_dir():
        raise ImportModelError(f"{folder} is not a folder")
    try:
        if (folder / "config_setfit.json").is_file() or (folder / "model_head.pkl").is_file():
            checkpoint = _import_setfit(folder, task)
        elif (folder / "modules.json").is_file():
            checkpoint = _import_sentence_transformer(folder)
        elif (folder / "config.json").is_file():
            checkpoint = _import_classifier(folder, task)
        else:
            raise ImportModelError(f"{folder} holds no model that is known here. {_KNOWN}")
    except ValidationError as error:
        faults = "; ".join(describe_faults(error))
        raise ImportModelError(f"{folder} cannot be described: {faults}") from error
    return checkpoint


def _import_classifier(folder: Path, task: str) -> Checkpoint:
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    stated: Any = read_json(folder / "config.json").get("architectures")
    architecture = str(stated[0]) if isinstance(stated, list) and stated else "model"
    if architecture.endswith("ForTokenClassification"):
        original = _load_original(folder, AutoModelForTokenClassification)
        kind, head = TaskKind.TOKEN, _read_head(folder, original, read_token_head)
    elif architecture.endswith("ForSequenceClassification"):
        original = _load_original(folder, AutoModelForSequenceClassification)
        kind = _sentence_kind(folder, original.config)
        head = _read_head(folder, original, read_sequence_head)
    else:
        raise ImportModelError(f"{folder}: a {architecture} has no head to import. {_KNOWN}")
    labels: Any = original.config.id2label
    if sorted(labels) != list(range(len(labels))):
        raise ImportModelError(f"{folder}: the ids of id2label are not 0 to {len(labels) - 1}")
    encoder = Encoder(original.base_model)
    config = ModelConfig(
        encoder=_name(folder),
        max_tokens=_max_tokens(folder, encoder, None),
        tasks=(
            TaskConfig(
                name=task,
                kind=kind,
                labels=tuple(str(labels[index]) for index in sorted(labels)),
                pooling=head.pooling,
                head=head.head,
            ),
        ),
    )
    network = _assemble(folder, config, encoder, head.tensors)
    checkpoint = _create(folder, folder, network, architecture)
    _check_same_logits(folder, original, network, checkpoint.tokenizer)
    return checkpoint


def _import_sentence_transformer(folder: Path) -> Checkpoint:
    body = read_sentence_transformer(folder)
    encoder = _load_encoder(body.encoder)
    config = _body_config(folder, body, encoder)
    network = _assemble(folder, config, encoder, {})
    return _create(folder, body.encoder, network, "SentenceTransformer")


def _import_setfit(folder: Path, task: str) -> Checkpoint:
    if (folder / "config_span_setfit.json").is_file():
        raise ImportModelError(f"{folder} reads spans of a sentence, which Twinhead does not")
    settings_file = folder / "config_setfit.json"  # the first releases wrote none
    settings = read_json(settings_file) if settings_file.is_file() else {}
    head = read_setfit_head(folder / "model_head.pkl")
    body = read_sentence_transformer(folder)
    encoder = _load_encoder(body.encoder)
    count, width = head.weight.shape
    if width != encoder.dimensions:
        raise ImportModelError(
            f"{folder}: its head reads {width} dimensions, its encoder gives {encoder.dimensions}"
        )
    labels: Any = settings.get("labels") or [f"label_{index}" for index in range(count)]
    if not isinstance(labels, list) or len(labels) != count:
        raise ImportModelError(f"{settings_file}: these are not the labels of {count} logits")
    config = _body_config(folder, body, encoder).model_copy(
        update={
            "tasks": (
                TaskConfig(
                    name=task,
                    kind=TaskKind.MULTI_LABEL if head.multitarget else TaskKind.SINGLE_LABEL,
                    labels=tuple(str(label) for label in labels),
                    pooling=body.pooling,
                    # The head reads what the body gives, and SetFit may normalise it once more.
                    normalize=body.normalize or bool(settings.get("normalize_embeddings")),
                ),
            )
        }
    )
    network = _assemble(
        folder, config, encoder, {"output.weight": head.weight, "output.bias": head.bias}
    )
    return _create(folder, body.encoder, network, "SetFitModel")


def _load_original(folder: Path, auto_class: Any) -> Any:
    """The classification model in the class it was saved from, whole, in float32."""
    _check_not_pickled(folder)
    try:
        model, report = read_pretrained(folder, auto_class)
    except Exception as error:  # the libraries raise anything on files that are not as expected
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ImportModelError(f"{folder} cannot be read: {reason}") from error
    # transformers gives such tensors random values, the head's among them, and goes on.
    for name in sorted(report["missing_keys"]):
        raise ImportModelError(f"{folder}: the weights lack {name}; was the model ever trained?")
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise ImportModelError(
            f"{folder}: tensor {name} is {list(found)}, but config.json needs {list(expected)}"
        )
    return model.eval()


def _load_encoder(folder: Path) -> Encoder:
    _check_not_pickled(folder)
    return Encoder.load(folder)


def _check_not_pickled(folder: Path) -> None:
    pickled = sorted(file.name for file in folder.glob("pytorch_model*.bin"))
    if pickled and not any(folder.glob("*.safetensors")):
        raise ImportModelError(
            f"{folder}: the weights are a pickle ({pickled[0]}), which could run code when it is "
            "read; save the model again with safetensors (save_pretrained does by default)"
        )


def _read_head(folder: Path, original: Any, read: Any) -> ClassifierHead:
    try:
        return read(original)
    except ImportModelError as error:
        raise ImportModelError(f"{folder}: {error}") from None


def _sentence_kind(folder: Path, config: Any) -> TaskKind:
    if config.problem_type == "regression" or config.num_labels == 1:
        raise ImportModelError(
            f"{folder} gives numbers (a regression or a ranking score), not labels; Twinhead has "
            "no such task"
        )
    if config.problem_type == "multi_label_classification":
        return TaskKind.MULTI_LABEL
    return TaskKind.SINGLE_LABEL


def _body_config(folder: Path, body: SentenceTransformerFolder, encoder: Encoder) -> ModelConfig:
    return ModelConfig(
        encoder=_name(folder),
        max_tokens=_max_tokens(body.encoder, encoder, body.max_tokens),
        normalize=body.normalize,
        embedding_pooling=body.pooling,
    )


def _max_tokens(folder: Path, encoder: Encoder, stated: int | None) -> int:
    """The longest input: as stated, or the usual length, within what encoder and tokenizer take."""
    limits = [_USUAL_TOKENS if stated is None else stated, _MOST_TOKENS]
    if encoder.max_tokens is not None:
        limits.append(encoder.max_tokens)
    file = folder / "tokenizer_config.json"
    said: Any = read_json(file).get("model_max_length") if file.is_file() else None
    if isinstance(said, int | float) and said > 0:  # huge where the tokenizer has no limit
        limits.append(int(said))
    return min(limits)


def _load_tokenizer(folder: Path, max_tokens: int) -> tuple[Tokenizer, str]:
    """The tokenizer that the original is used with, and where it is from.

    That is what transformers makes of the folder, which need not be what `tokenizer.json` says:
    settings beside it, such as `do_lower_case`, have the last word there. And older folders have a
    vocabulary only.
    """
    from transformers import AutoTokenizer

    own = None
    if (folder / "tokenizer.json").is_file():
        own = Tokenizer.load(folder, max_tokens)
    elif not any((folder / name).is_file() for name in _VOCABULARIES):
        # transformers would make one with an empty vocabulary.
        raise ImportModelError(f"{folder} has no tokenizer (no tokenizer.json, no vocabulary)")
    with tempfile.TemporaryDirectory(prefix="twinhead-import-") as made:
        try:
            theirs: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
            theirs.save_pretrained(made)
            expected: Any = theirs(list(_PROBES), truncation=True, max_length=max_tokens)
        except Exception as error:  # as above
            if own is not None:
                return own, "tokenizer.json"
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise ImportModelError(f"{folder}: its tokenizer cannot be read: {reason}") from error
        if own is not None and [row.ids for row in own(_PROBES)] == expected["input_ids"]:
            return own, "tokenizer.json"
        built = Tokenizer.load(Path(made), max_tokens)
        if [row.ids for row in built(_PROBES)] != expected["input_ids"]:
            raise ImportModelError(f"{folder}: its tokenizer cannot be had as one tokenizer.json")
        return built, f"built by transformers {version('transformers')}"


def _assemble(
    folder: Path, config: ModelConfig, encoder: Encoder, head: Mapping[str, torch.Tensor]
) -> Network:
    """The network, its head (if it has one) filled, in evaluation mode."""
    network = Network(config, encoder, encoder.dimensions)
    for task in config.tasks:
        network.heads[task.name].load_state_dict(head)
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise ImportModelError(f"{folder}: tensor {name} holds NaN or infinite values")
    return network.eval()


def _probe_batch(tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of a few sentences, padded."""
    rows = [sentence.ids for sentence in tokenizer(_PROBES)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


def _check_runs(folder: Path, network: Network, tokenizer: Tokenizer) -> None:
    try:
        with torch.inference_mode():
            network(*_probe_batch(tokenizer))
    except IndexError as error:
        raise ImportModelError(f"{folder}: the tokenizer is not this model's: {error}") from error
    except Exception as error:  # an architecture that is no encoder can raise anything
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ImportModelError(f"{folder}: it does not run as an encoder: {reason}") from error


def _check_same_logits(folder: Path, original: Any, network: Network, tokenizer: Tokenizer) -> None:
    """Compare the answers to a few sentences, lest a setting that is not known here be lost."""
    ids, mask = _probe_batch(tokenizer)
    (task,) = network.config.tasks
    with torch.inference_mode():
        theirs = original(input_ids=ids, attention_mask=mask).logits
        ours = network(ids, mask).logits[task.name]
    if task.kind is TaskKind.TOKEN:  # what stands on padding means nothing
        theirs, ours = theirs[mask == 1], ours[mask == 1]
    scale = max(1.0, float(theirs.abs().max()))
    if not float((theirs - ours).abs().max()) <= _TOLERANCE * scale:
        raise ImportModelError(
            f"{folder}: the import would not give the original's logits; its config.json has a "
            "setting that is not known here"
        )


def _create(folder: Path, tokenizer_folder: Path, network: Network, original: str) -> Checkpoint:
    tokenizer, origin = _load_tokenizer(tokenizer_folder, network.config.max_tokens)
    _check_runs(folder, network, tokenizer)
    provenance = {
        "method": "imported",
        "original": original,
        "folder": _name(folder),
        "tokenizer": origin,
    }
    return Checkpoint.create(network, tokenizer, provenance=provenance)


def _name(folder: Path) -> str:
    # Never the whole path: it would tell others about this machine, and mean nothing to them.
    return folder.resolve().name or "encoder"
