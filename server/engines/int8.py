"""Encoders in int8: prepared once for each set of weights, and kept on disk."""

import hashlib
import importlib.util
import json
import logging
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch

from ...model.checkpoint import Checkpoint
from ...model.config import TaskKind
from ..answers import decisions
from ..length_groups import groups_by_length
from .engine import Engine, EngineError, padded
from .openvino_graph import core, export_encoder

logger = logging.getLogger(__name__)

# Another number when what is prepared from the same weights and text becomes another.
_RECIPE = 1
_KEPT = 4
# Twice as much text makes no difference that can be measured, and takes twice the time.
_SENTENCES = 1024
_BATCHES = 64
_BATCH_TOKENS = 512
# Every so many sentences one is not for calibration, but to measure the loss on.
_HELD_OUT = 4
_SECONDS = 1800


@dataclass(frozen=True)
class Int8Loss:
    """How far int8 is from float32, on sentences that were not for calibration."""

    cosine: float
    """Mean over the sentences, of the embeddings by both."""
    agreement: Mapping[str, float] = field(default_factory=dict[str, float])
    """For each task, the share of sentences (or tokens) with the same label by both."""


@dataclass(frozen=True)
class Int8:
    """How encoders are brought to int8."""

    cache: Path
    """Where prepared ones are kept."""
    sentences: Sequence[str]
    """Text like that to be encoded."""
    min_cosine: float = 0.995
    min_agreement: float = 0.9

    @classmethod
    def calibrated_by(cls, text: Path, **options: Any) -> "Int8":
        """With the lines of a file.

        Raises:
            EngineError: it cannot be read, or has fewer than 32 lines of text.
        """
        try:
            lines = text.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"calibration text {text}: {error}") from error
        sentences = [line.strip() for line in lines if line.strip()]
        if len(sentences) < 32:
            raise EngineError(
                f"calibration text {text} has {len(sentences)} lines with text; give some "
                "hundreds like those to be encoded"
            )
        if len(sentences) > _SENTENCES:
            sentences = random.Random(0).sample(sentences, _SENTENCES)  # noqa: S311
        return cls(sentences=sentences, **options)

    def graph(self, checkpoint: Checkpoint) -> ov.Model:
        """The int8 graph of a checkpoint's encoder; to make one that is not kept takes seconds.

        Raises:
            EngineError: it cannot be made.
        """
        place = self.cache / self._key(checkpoint)
        if (graph := _kept(place)) is not None:
            place.touch()
            return graph
        if importlib.util.find_spec("nncf") is None:
            raise EngineError(
                "int8 needs the package nncf: pip install -c constraints.txt 'twinhead[int8]'"
            )
        started = time.monotonic()
        self._prepare(checkpoint, place)
        logger.info("prepared the encoder in int8 in %.0f s", time.monotonic() - started)
        graph = _kept(place)
        if graph is None:
            raise EngineError(f"the int8 encoder in {place} cannot be read")
        return graph

    def measure(self, engine: Engine, checkpoint: Checkpoint) -> Int8Loss:
        """Compare an int8 engine with the float32 network.

        Raises:
            EngineError: the loss is more than allowed.
        """
        tasks = checkpoint.config.tasks
        cosines: list[float] = []
        same: dict[str, list[bool]] = {task.name: [] for task in tasks}
        for ids in _batches(checkpoint, self.sentences[::_HELD_OUT]):
            found = engine.encode(ids, [task.name for task in tasks])
            input_ids, mask = (torch.from_numpy(array) for array in padded(ids))
            with torch.inference_mode():
                expected = checkpoint.network(input_ids, mask)
            pair = (torch.from_numpy(found.embeddings), expected.embeddings)
            cosines += torch.nn.functional.cosine_similarity(*pair).tolist()
            for task in tasks:
                ours = decisions(task, found.logits[task.name])
                theirs = decisions(task, expected.logits[task.name].numpy())
                for row, sentence in enumerate(ids):
                    some = slice(len(sentence)) if task.kind is TaskKind.TOKEN else ...
                    same[task.name] += np.ravel(ours[row][some] == theirs[row][some]).tolist()
        loss = Int8Loss(
            cosine=float(np.mean(cosines)),
            agreement={name: float(np.mean(each)) for name, each in same.items()},
        )
        self._check(loss)
        return loss

    def _check(self, loss: Int8Loss) -> None:
        told = ", ".join(
            [f"mean cosine {loss.cosine:.4f}"]
            + [f"{name} {share:.1%} the same label" for name, share in loss.agreement.items()]
        )
        lowest = min([1.0, *loss.agreement.values()])
        if not (loss.cosine >= self.min_cosine and lowest >= self.min_agreement):
            raise EngineError(
                f"int8 is too far from float32 on the calibration text: {told}; at least "
                f"{self.min_cosine:g} and {self.min_agreement:.0%} are asked for. Give more text "
                "like yours by --calibration, lower --int8-min-cosine or --int8-min-agreement, or "
                "take --precision float32"
            )
        logger.info("int8 beside float32: %s", told)

    def _key(self, checkpoint: Checkpoint) -> str:
        stated = {
            "encoder": encoder_parts(checkpoint),
            "tokenizer": checkpoint.manifest.tokenizer_sha256,
            "text": self.sentences,
            "openvino": version("openvino"),
            "recipe": _RECIPE,
        }
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:32]

    def _prepare(self, checkpoint: Checkpoint, place: Path) -> None:
        chosen = [text for row, text in enumerate(self.sentences) if row % _HELD_OUT]
        batches = _batches(checkpoint, chosen)
        random.Random(0).shuffle(batches)  # noqa: S311
        arrays: dict[str, Any] = {}
        for number, batch in enumerate(batches[:_BATCHES]):
            arrays[f"ids{number}"], arrays[f"mask{number}"] = padded(batch)
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.cache, prefix=".") as temporary:
                folder = Path(temporary)
                graph = export_encoder(checkpoint.network.encoder).model
                ov.serialize(graph, folder / "encoder.xml", folder / "encoder.bin")
                np.savez(folder / "batches.npz", **arrays)
                _run(folder)
                for name in ("encoder.xml", "encoder.bin", "batches.npz"):
                    (folder / name).unlink()
                (folder / "sha256").write_text(_digest(folder), encoding="utf-8")
                _remove_oldest(self.cache)
                shutil.rmtree(place, ignore_errors=True)
                finished = folder.rename(place)  # whole, or not there
                folder.mkdir()  # for the clean-up
                finished.touch()
        except OSError as error:
            raise EngineError(f"int8 cannot be prepared in {self.cache}: {error}") from error


def _batches(checkpoint: Checkpoint, sentences: Sequence[str]) -> list[list[Sequence[int]]]:
    """Token ids, batches of sentences of like length."""
    ids = [sentence.ids for sentence in checkpoint.tokenizer(sentences)]
    groups = groups_by_length([len(each) for each in ids], _BATCH_TOKENS)
    return [[ids[place] for place in group] for group in groups]


def encoder_parts(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that makes an encoder: its settings, and the digests of its tensors by name."""
    tensors = checkpoint.manifest.tensors.items()
    digests = {name: entry.sha256 for name, entry in tensors if not name.startswith("heads.")}
    return {"settings": checkpoint.manifest.encoder, **digests}


def _run(folder: Path) -> None:
    try:
        subprocess.run(  # noqa: S603 (our own program)
            [sys.executable, "-m", "twinhead.server.engines.quantize", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            close_fds=False,  # so that it is spawned: a fork beside gRPC's threads is a risk
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
        raise EngineError(f"int8 cannot be prepared: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"int8 could not be prepared in {_SECONDS} s") from error


def _kept(place: Path) -> ov.Model | None:
    """A prepared graph; None if it is not there, or not whole."""
    try:
        if (place / "sha256").read_text(encoding="utf-8") != _digest(place):
            return None
    except OSError:
        return None
    return core().read_model(place / "int8.xml")


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("int8.xml", "int8.bin"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _remove_oldest(cache: Path) -> None:
    kept = [place for place in cache.iterdir() if (place / "sha256").is_file()]
    for place in sorted(kept, key=lambda each: each.stat().st_mtime)[: 1 - _KEPT]:
        shutil.rmtree(place, ignore_errors=True)
