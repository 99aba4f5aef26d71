"""A request of the Open Inference Protocol to one of our own, checked whole before any work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.v1 import inference_service_pb2 as pb

from .errors import InvalidRequestError
from .live_model import LiveModel
from .open_inference_outputs import Output, outputs_of, selection
from .open_inference_parameters import (
    UNHEEDED_OF_INPUTS,
    Violations,
    check_parameters,
    check_unheeded,
    quoted,
)
from .open_inference_tensors import typed, unpack

INPUT = "text"
"""The tensor that a model takes: BYTES, a sentence a row."""

_Tensor = oip.ModelInferRequest.InferInputTensor

# A status travels in trailing metadata, of which clients take 8 KiB by default.
_MAX_VIOLATIONS = 8


@dataclass(frozen=True)
class CheckedRequest:
    """A request that can be answered."""

    infer: pb.InferRequest
    """What to compute."""
    outputs: Sequence[Output]
    """The tensors that are wanted, in this order."""
    raw: bool
    """Whether the elements came in raw form, and go back so."""


def check_model_infer(
    request: oip.ModelInferRequest, model: LiveModel, max_sentences: int
) -> CheckedRequest:
    """Check a request against a model and the limits.

    Raises:
        InvalidRequestError: naming every violated field, or the first of very many.
    """
    violations: Violations = []
    sentences = _check_inputs(request, max_sentences, violations)
    outputs = _check_outputs(request.outputs, outputs_of(model), violations)
    infer = pb.InferRequest(
        sentences=sentences, outputs=selection(outputs), model_version=model.version
    )
    check_parameters(request.parameters, model.dimensions, infer, violations)
    if violations:
        raise InvalidRequestError(violations[:_MAX_VIOLATIONS])
    return CheckedRequest(infer, outputs, raw=len(request.raw_input_contents) > 0)


def _check_inputs(
    request: oip.ModelInferRequest, max_sentences: int, violations: Violations
) -> list[str]:
    """The sentences, as far as they could be read."""
    inputs, raw = request.inputs, request.raw_input_contents
    if raw and len(raw) != len(inputs):
        violations.append(
            (
                "raw_input_contents",
                f"{len(raw)} for {len(inputs)} inputs; it holds the elements of all or of none",
            )
        )
    found = _find_input(inputs, violations)
    if found is None:
        return []
    count = _check_head(inputs[found], f"inputs[{found}]", max_sentences, violations)
    if raw:
        field = f"raw_input_contents[{found}]"
        if inputs[found].HasField("contents"):
            violations.append(
                (f"inputs[{found}].contents", "must not be there beside raw_input_contents")
            )
    else:
        field = f"inputs[{found}].contents"
    if count is None or found >= len(raw) > 0:
        return []  # the elements would be measured by what is wrong
    try:
        elements = unpack(raw[found], count) if raw else typed(inputs[found].contents, count)
    except ValueError as error:
        violations.append((field, str(error)))
        return []
    return _decode(elements, field, violations)


def _find_input(inputs: Sequence[_Tensor], violations: Violations) -> int | None:
    found: int | None = None
    for index, tensor in enumerate(inputs):
        if len(violations) >= _MAX_VIOLATIONS:
            break
        if tensor.name != INPUT:
            text = f"unknown input {quoted(tensor.name)}; the model takes {INPUT!r}"
            violations.append((f"inputs[{index}].name", text))
        elif found is not None:
            violations.append((f"inputs[{index}].name", f"{INPUT!r} stands twice"))
        else:
            found = index
    if found is None:
        violations.append(("inputs", f"the input {INPUT!r} is missing"))
    return found


def _check_head(
    tensor: _Tensor, place: str, max_sentences: int, violations: Violations
) -> int | None:
    """How many sentences a tensor holds, by what is said of it; None if that makes no sense."""
    check_unheeded(tensor.parameters, f"{place}.parameters", UNHEEDED_OF_INPUTS, violations)
    shape = list(tensor.shape[:3])
    if not shape or shape[1:] not in ([], [1]):
        more = ", ..." if len(tensor.shape) > len(shape) else ""
        text = f"[{', '.join(map(str, shape))}{more}]; it is [sentences] or [sentences, 1]"
    elif shape[0] < 1:
        text = f"{shape[0]} sentences; at least one is needed"
    elif shape[0] > max_sentences:
        text = f"{shape[0]} are more than the {max_sentences} sentences that one request may hold"
    else:
        text = ""
    if text:
        violations.append((f"{place}.shape", text))
    if tensor.datatype != "BYTES":
        fault = f"{quoted(tensor.datatype)}; it is BYTES, and each element a text in UTF-8"
        violations.append((f"{place}.datatype", fault))
    return shape[0] if not text and tensor.datatype == "BYTES" else None


def _decode(elements: Sequence[bytes], field: str, violations: Violations) -> list[str]:
    sentences: list[str] = []
    for row, element in enumerate(elements):
        try:
            sentences.append(str(element, "utf-8"))
        except UnicodeDecodeError as error:
            if len(violations) >= _MAX_VIOLATIONS:
                break
            violations.append((field, f"row {row} is not UTF-8 at byte {error.start}"))
    return sentences


def _check_outputs(
    asked: Sequence[oip.ModelInferRequest.InferRequestedOutputTensor],
    known: Mapping[str, Output],
    violations: Violations,
) -> list[Output]:
    if not asked:
        return list(known.values())
    wanted: dict[str, Output] = {}
    for index, output in enumerate(asked):
        if len(violations) >= _MAX_VIOLATIONS:
            break
        place = f"outputs[{index}]"
        if output.name not in known:
            text = f"unknown output {quoted(output.name)}; there are {', '.join(known)[:200]}"
            violations.append((f"{place}.name", text))
        elif output.name in wanted:
            violations.append((f"{place}.name", f"{output.name!r} stands twice"))
        else:
            wanted[output.name] = known[output.name]
        check_unheeded(output.parameters, f"{place}.parameters", frozenset(), violations)
    return list(wanted.values())
