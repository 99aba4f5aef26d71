"""Runs a network with torch: token ids in, numpy arrays out."""

from collections.abc import Collection, Sequence

import torch

from ...model.checkpoint import Checkpoint
from ...model.network import Network, NetworkOutput
from .engine import EngineError, EngineOutput, padded

# Measured with MiniLM: 12 ms on two cores, which encode 5,000 tokens a second.
_PASS_TOKENS = 64
_GPU_PASS_TOKENS = 2048


class TorchEngine:
    """A network on a torch device, in float32."""

    name = "torch"
    precision = "float32"

    def __init__(
        self, network: Network, device: str, *, threads: int = 1, streams: int = 1
    ) -> None:
        """Run a network.

        Args:
            network: is moved to the device.
            device: a name that torch knows.
            threads: of the processor, for all passes together.
            streams: passes that may run at once on the processor; they share its threads.
        """
        self.device = device
        self.streams = streams if device == "cpu" else 1
        self.widens = self.streams > 1
        self.pass_tokens = _PASS_TOKENS if device == "cpu" else _GPU_PASS_TOKENS
        self._threads = threads
        self._network = network.to(device).eval()

    def padded_shape(self, sentences: int, tokens: int) -> tuple[int, int]:
        """No larger than they are; see `Engine`."""
        return sentences, tokens

    def encode(
        self, ids: Sequence[Sequence[int]], tasks: Collection[str], *, alone: bool = False
    ) -> EngineOutput:
        """Encode sentences in one pass; see `Engine`."""
        set_threads(self._threads if alone else self._threads // self.streams)
        input_ids, mask = padded(ids)
        with torch.inference_mode():
            return as_arrays(
                self._network(
                    torch.from_numpy(input_ids).to(self.device),
                    torch.from_numpy(mask).to(self.device),
                    tasks,
                )
            )

    def renewed(self, checkpoint: Checkpoint) -> "TorchEngine":
        """An engine on the same device; see `Engine`."""
        return TorchEngine(
            checkpoint.network, self.device, threads=self._threads, streams=self.streams
        )


def set_threads(threads: int) -> None:
    """Let torch use so many threads for what this thread asks of it from now on."""
    # It keeps the number by thread, from when that first asks for it.
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def as_arrays(output: NetworkOutput) -> EngineOutput:
    """The results of a network in numpy."""
    return EngineOutput(
        embeddings=output.embeddings.cpu().numpy(),
        logits={name: logits.cpu().numpy() for name, logits in output.logits.items()},
    )


def choose_device(wanted: str) -> str:
    """Resolve `auto`.

    Raises:
        EngineError: the device is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        index = int(wanted.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise EngineError(
                f"device {wanted} is not there; torch sees {torch.cuda.device_count()} GPUs"
            )
        return f"cuda:{index}"
    return wanted
