"""Runs the encoder with OpenVINO, and pooling and heads with torch."""

import threading
from collections.abc import Collection, Sequence

import openvino as ov
import torch

from ...model.checkpoint import Checkpoint
from ...model.encoder import Encoder
from .engine import EngineError, EngineOutput, padded
from .int8 import Int8, encoder_parts
from .openvino_graph import EncoderGraph, core, export_encoder
from .torch_engine import as_arrays, set_threads

# Largest difference between token vectors by OpenVINO and by torch, in units of the largest.
_TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2}
# Kernels of so many shapes of each operation, for each stream. By default it would be 5,000, which
# in int8 are gigabytes; with 100, narrow numbers make too many again and again. In float32 they
# serve most shapes, and making one costs nothing that could be measured. See bench/NOTES.md.
_KEPT_KERNELS, _KEPT_FLOAT32_KERNELS = 250, 30


class CompiledEncoder:
    """An encoder that OpenVINO has compiled for some streams of the processor."""

    def __init__(
        self, graph: ov.Model, threads: int, streams: int, precision: str = "float32"
    ) -> None:
        # What of an int8 graph is not in int8 may as well be in bfloat16: measured on a processor
        # that has it, 7 % faster, and the results as near to those of float32.
        narrow = precision != "float32" and has_bfloat16()
        self._compiled = core().compile_model(
            graph,
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "bf16" if narrow else "f32",
                "CPU_RUNTIME_CACHE_CAPACITY": (
                    _KEPT_FLOAT32_KERNELS if precision == "float32" else _KEPT_KERNELS
                ),
                # The streams' threads share the cores with those of the server.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._local = threading.local()

    def encode(
        self, ids: Sequence[Sequence[int]], shape: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token vectors [batch, tokens, dimensions] and mask; valid until this thread's next call.

        Any number of threads may call it, each has its own buffers.

        Args:
            ids: of each sentence.
            shape: of what the encoder is to see, if not [batch, tokens].
        """
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        sentences, tokens = len(ids), max(map(len, ids))
        input_ids, mask = padded(ids, shape)
        request.infer([input_ids, mask], share_inputs=True)
        hidden = torch.from_numpy(request.get_output_tensor(0).data)
        return hidden[:sentences, :tokens], torch.from_numpy(mask)[:sentences, :tokens]


class OpenVinoEngine:
    """A network whose encoder runs in OpenVINO."""

    name = "openvino"
    device = "cpu"
    widens = False
    pass_tokens = 48

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int = 1,
        streams: int = 1,
        precision: str = "float32",
        int8: Int8 | None = None,
        before: "OpenVinoEngine | None" = None,
    ) -> None:
        """Run a model.

        Args:
            checkpoint: the model.
            threads: of the processor, for all passes together.
            streams: passes that may run at once; they share the threads.
            precision: `float32` or `bfloat16`.
            int8: how to bring the encoder to int8; None for `precision`.
            before: one with the same settings, for what is the same of this model.

        Raises:
            EngineError: OpenVINO cannot run the encoder, or int8 loses more than is allowed.
        """
        self.precision = precision if int8 is None else "int8"
        self.streams = streams
        self._threads = threads
        self._int8 = int8
        self._checkpoint = checkpoint
        self._graph, self._encoder = self._compile(before)
        if int8 is not None:
            int8.measure(self, checkpoint)

    def padded_shape(self, sentences: int, tokens: int) -> tuple[int, int]:
        """One of few shapes, unless in float32; see `Engine`.

        Kernels for narrow numbers are made anew for each shape, which takes as long as a pass.
        """
        if self.precision == "float32":
            return sentences, tokens
        most = max(tokens, self._checkpoint.config.max_tokens)  # there are no positions beyond
        return _rounded(sentences), min(_rounded(tokens), most)

    def encode(
        self,
        ids: Sequence[Sequence[int]],
        tasks: Collection[str],
        *,
        alone: bool = False,  # noqa: ARG002 (a stream's threads are its own)
    ) -> EngineOutput:
        """Encode sentences in one pass; see `Engine`."""
        set_threads(1)  # the heads are small
        with torch.inference_mode():
            shape = self.padded_shape(len(ids), max(map(len, ids)))
            hidden, mask = self._encoder.encode(ids, shape)
            return as_arrays(self._checkpoint.network.read(hidden, mask, tasks))

    def renewed(self, checkpoint: Checkpoint) -> "OpenVinoEngine":
        """An engine with as many streams; see `Engine`."""
        return OpenVinoEngine(
            checkpoint,
            threads=self._threads,
            streams=self.streams,
            precision=self.precision,
            int8=self._int8,
            before=self,
        )

    def _compile(
        self, before: "OpenVinoEngine | None"
    ) -> tuple[EncoderGraph | None, CompiledEncoder]:
        encoder = self._checkpoint.network.encoder
        if not isinstance(encoder, Encoder):
            raise EngineError("OpenVINO runs encoders of transformers only")
        graph = None
        if before is not None:
            theirs, ours = (encoder_parts(each._checkpoint) for each in (before, self))
            if theirs == ours:
                return before._graph, before._encoder
            if theirs["settings"] == ours["settings"]:
                graph = before._graph
        if self._int8 is not None:
            return None, self._compiled(self._int8.graph(self._checkpoint))
        graph = graph.renewed(encoder) if graph else export_encoder(encoder)
        compiled = self._compiled(graph.model)
        check_same(compiled, encoder, _TOLERANCES[self.precision])
        return graph, compiled

    def _compiled(self, graph: ov.Model) -> CompiledEncoder:
        return CompiledEncoder(graph, self._threads, self.streams, self.precision)


def _rounded(number: int) -> int:
    """The next number with three significant bits: up to 8 each, then 10, 12, 14, 16, 20, ..."""
    step = 1 << max(0, (number - 1).bit_length() - 3)
    return -(-number // step) * step


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def check_same(
    compiled: CompiledEncoder, encoder: Encoder, tolerance: float = _TOLERANCES["float32"]
) -> None:
    """Refuse a graph that was traced wrongly: other shapes than the traced ones, and padding."""
    top = min(encoder.vocabulary, 1000)
    for lengths in ((3,), (24, 7, 11)):
        ids = [[1 + place % (top - 1) for place in range(length)] for length in lengths]
        found, mask = compiled.encode(ids)
        input_ids = torch.from_numpy(padded(ids)[0])
        with torch.inference_mode():
            expected = encoder(input_ids, mask)
        tokens = mask.bool()
        apart = (found[tokens] - expected[tokens]).abs().max() / expected[tokens].abs().max()
        if not float(apart) <= tolerance:
            raise EngineError(
                f"OpenVINO runs this encoder wrongly: its results are {float(apart):.2g} "
                "(relative) from torch's"
            )
