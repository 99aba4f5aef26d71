"""Runs a network with torch: token ids in, numpy arrays out."""

import os
from collections.abc import Collection, Sequence

import numpy as np
import torch

from ..model.network import Network
from .engine import EngineOutput


class TorchEngine:
    """A network on a torch device, in float32."""

    name = "torch"
    precision = "float32"

    def __init__(self, network: Network, device: str) -> None:
        self.device = device
        self._network = network.to(device).eval()

    def encode(self, ids: Sequence[Sequence[int]], tasks: Collection[str]) -> EngineOutput:
        """Encode sentences in one pass; see `Engine`."""
        input_ids = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, sentence in enumerate(ids):
            input_ids[row, : len(sentence)] = sentence
            mask[row, : len(sentence)] = 1
        with torch.inference_mode():
            output = self._network(
                torch.from_numpy(input_ids).to(self.device),
                torch.from_numpy(mask).to(self.device),
                tasks,
            )
            return EngineOutput(
                embeddings=output.embeddings.cpu().numpy(),
                logits={name: logits.cpu().numpy() for name, logits in output.logits.items()},
            )

    def renewed(self, network: Network) -> "TorchEngine":
        """An engine on the same device; see `Engine`."""
        return TorchEngine(network, self.device)


def choose_device(wanted: str) -> str:
    """Resolve `auto`.

    Raises:
        ValueError: the device is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        index = int(wanted.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise ValueError(
                f"device {wanted} is not there; torch sees {torch.cuda.device_count()} GPUs"
            )
        return f"cuda:{index}"
    return wanted


def set_threads(wanted: int) -> int:
    """Set the CPU threads of a pass, 0 for one for each usable core; returns how many they are."""
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:  # not on Linux
        usable = os.cpu_count() or 1
    threads = wanted or usable
    torch.set_num_threads(threads)
    return threads
