"""Versions of a small model, and workers that take them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from conftest import wait_until
from small_bert import small_checkpoint, write_small_bert
from twinhead.client import VersionOffer
from twinhead.client.results import InferResult
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.version_parts import VersionParts
from twinhead.server.load_model import load_model
from twinhead.v1 import model_admin_service_pb2 as pb

HEADS, LAYER, EVERYTHING = ("heads.",), ("heads.", "layer.1."), ("heads.", "encoder.")
SENTENCES = ["the quick fox runs !", "a fox", "the the the !", "foxes run and run and run"]


def write_model(folder: Path) -> Checkpoint:
    """A small BERT with heads, saved in `folder`, which workers can start with."""
    checkpoint = small_checkpoint(write_small_bert(folder.with_name(f"{folder.name}-encoder")))
    checkpoint.save(folder)
    return Checkpoint.load(folder)


def changed(base: Checkpoint, names: Sequence[str] = HEADS, seed: int = 1) -> Checkpoint:
    """The base with other values in the tensors whose names hold one of `names`."""
    generator = torch.Generator().manual_seed(seed)
    new = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in base.network.state_dict().items()
        if tensor.is_floating_point() and any(part in name for part in names)
    }
    return Checkpoint.create(base.network.with_tensors(base.config, new), base.tokenizer)


def offer_of(checkpoint: Checkpoint, **conditions) -> VersionOffer:
    """An offer of a checkpoint as it is."""
    parts = VersionParts.of(checkpoint)
    return VersionOffer(files=parts.files.files, read=parts.read, **conditions)


def start_small(start_debug_worker, folder: Path, **settings):
    """A worker in this process with the model in `folder`/model and a real engine."""
    worker = start_debug_worker(
        load=load_model, model=str(folder / "model"), device="cpu", threads=1, **settings
    )
    if worker.settings.state:  # the first version is put there in the background
        first = Path(worker.settings.state, "versions", worker.model.version)
        wait_until(first.is_dir)
    return worker


def answers_of(checkpoint: Checkpoint, sentences: Sequence[str] = SENTENCES) -> dict:
    """What a version says, computed here, sentence by sentence."""
    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for sentence in checkpoint.tokenizer(sentences):
            ids = torch.tensor([sentence.ids])
            output = checkpoint.network(ids, torch.ones_like(ids))
            unit = torch.nn.functional.normalize(output.embeddings, dim=-1)
            for name, row in (("embedding", unit), *output.logits.items()):
                found.setdefault(name, []).append(row[0].numpy())
    return {name: np.stack(rows) for name, rows in found.items()}


def is_of(result: InferResult, checkpoint: Checkpoint, expected: dict) -> bool:
    """Whether an answer names a version and is that version's in all it says."""
    found = {"embedding": result.embeddings}
    found |= {name: task.logits for name, task in result.tasks.items()}
    return result.model_version == checkpoint.version and all(
        np.allclose(values, expected[name], atol=1e-4) for name, values in found.items()
    )


def requests(offer: VersionOffer, digests: Sequence[str]) -> Iterator[pb.PushWeightsRequest]:
    """The requests of a push without a fault, for tests that put one in."""
    yield pb.PushWeightsRequest(
        offer=pb.VersionOffer(
            files=dict(offer.files),
            expected_live_version=offer.expected_live_version,
            allow_new_tasks=offer.allow_new_tasks,
        )
    )
    for digest in digests:
        data = bytes(offer.read(digest))
        yield pb.PushWeightsRequest(chunk=pb.BlobChunk(sha256=digest, data=data, last=True))
    yield pb.PushWeightsRequest(go_live=pb.GoLive())


def digests_of(base: Checkpoint, new: Checkpoint) -> list[str]:
    """The blobs that a worker with `base` lacks of `new`, in the order it asks for them."""
    known = {entry.sha256 for entry in base.manifest.tensors.values()}
    wanted = [entry.sha256 for entry in new.manifest.tensors.values()]
    return [digest for digest in dict.fromkeys(wanted) if digest not in known]


def edited(offer: VersionOffer, name: str, **values) -> dict[str, bytes]:
    """The files of an offer, one with other values."""
    data = json.loads(offer.files[name]) | values
    return {**offer.files, name: json.dumps(data).encode()}
