"""Parameters of the Open Inference Protocol: what they ask for, in our own contract."""

from collections.abc import Mapping

from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.v1 import inference_service_pb2 as pb

Violations = list[tuple[str, str]]
"""Fields of a request, and what is wrong with them."""

_Parameters = Mapping[str, oip.InferParameter]

# Several times those there are; what is beyond was not meant for us, and is not looked at.
_MAX_PARAMETERS = 32
_CHOICES: Mapping[str | None, str] = {
    "bool_param": "a bool",
    "int64_param": "an int64",
    "string_param": "a string",
    "double_param": "a double",
    "uint64_param": "a uint64",
    None: "no value",
}
_PARAMETERS: Mapping[str, str] = {
    "normalize": "bool_param",
    "dimensions": "int64_param",
    "truncate": "bool_param",
    "repeatable": "bool_param",
    "service_class": "string_param",
}
# Triton takes no notice of these either, unless a model is set up for them.
_UNHEEDED = frozenset(("priority", "timeout"))
# What clients of KServe and MLServer add by themselves: how long the raw elements are, and that
# these are texts.
UNHEEDED_OF_INPUTS = frozenset(("binary_data_size", "content_type"))
_SERVICE_CLASSES = {
    "interactive": pb.SERVICE_CLASS_INTERACTIVE,
    "bulk": pb.SERVICE_CLASS_BULK,
}


def check_unheeded(
    parameters: _Parameters, place: str, unheeded: frozenset[str], violations: Violations
) -> None:
    """Check the parameters of a tensor: none is heeded, and none but these may be there."""
    for name in _names(parameters, place, violations):
        if name not in unheeded:
            violations.append((f"{place}.{_shown(name)}", "is not known here"))


def check_parameters(
    parameters: _Parameters, dimensions: int, infer: pb.InferRequest, violations: Violations
) -> None:
    """Put what the parameters say into our own request."""
    for name in _names(parameters, "parameters", violations):
        field = f"parameters.{_shown(name)}"
        parameter = parameters[name]
        choice = parameter.WhichOneof("parameter_choice")
        if name in _UNHEEDED:
            continue
        if name.startswith("sequence_"):
            text = "there are no sequences here: each request is answered by itself"
            violations.append((field, text))
        elif name not in _PARAMETERS:
            violations.append((field, f"is not known; there are {', '.join(_PARAMETERS)}"))
        elif choice != _PARAMETERS[name]:
            text = f"{_CHOICES[choice]}; it is {_CHOICES[_PARAMETERS[name]]}"
            violations.append((field, text))
        else:
            fault = _heed(name, parameter, dimensions, infer)
            if fault:
                violations.append((field, fault))


def _heed(
    name: str, parameter: oip.InferParameter, dimensions: int, infer: pb.InferRequest
) -> str | None:
    """Put what a parameter says into our own request; the text says why that cannot be."""
    match name:
        case "normalize":
            infer.outputs.embedding.normalize = parameter.bool_param
        case "dimensions":
            if not 1 <= parameter.int64_param <= dimensions:
                return f"{parameter.int64_param}; the model has 1 to {dimensions}"
            infer.outputs.embedding.dimensions = parameter.int64_param
        case "truncate":
            if not parameter.bool_param:
                infer.truncation = pb.TRUNCATION_NONE
        case "repeatable":
            infer.repeatable = parameter.bool_param
        case _:
            wanted = _SERVICE_CLASSES.get(parameter.string_param)
            if wanted is None:
                given = quoted(parameter.string_param)
                return f"{given}; it is {' or '.join(map(repr, _SERVICE_CLASSES))}"
            infer.service_class = wanted
    return None


def _names(parameters: _Parameters, place: str, violations: Violations) -> list[str]:
    if len(parameters) > _MAX_PARAMETERS:
        violations.append((place, f"{len(parameters)} of them; {_MAX_PARAMETERS} are read"))
        return []
    return sorted(parameters)  # a map has no order, and the same request the same answer


def _shown(name: str) -> str:
    """A caller's word, for a status: that travels in headers, which are small, and hold ASCII."""
    return ascii(name[:64])[1:-1][:64]


def quoted(name: str) -> str:
    """A caller's word in quotes, for a status."""
    return f"'{_shown(name)}'"
