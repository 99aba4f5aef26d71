"""What parameters ask for, and every fault that they can have."""

import pytest
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.server.open_inference_parameters import (
    UNHEEDED_OF_INPUTS,
    check_parameters,
    check_unheeded,
    quoted,
)
from twinhead.v1 import inference_service_pb2 as pb

DIMENSIONS = 384


def parameter(value: object) -> oip.InferParameter:
    kind = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    return oip.InferParameter(**{kind[type(value)]: value})


def checked(parameters: dict[str, object]) -> tuple[pb.InferRequest, list[tuple[str, str]]]:
    given = {
        name: value if isinstance(value, oip.InferParameter) else parameter(value)
        for name, value in parameters.items()
    }
    infer, violations = pb.InferRequest(), []
    request = oip.ModelInferRequest(parameters=given)
    check_parameters(request.parameters, DIMENSIONS, infer, violations)
    return infer, violations


def test_parameters_are_those_of_our_own_contract():
    infer, violations = checked(
        {
            "normalize": True,
            "dimensions": DIMENSIONS,
            "truncate": False,
            "repeatable": True,
            "service_class": "bulk",
        }
    )
    assert not violations
    assert infer == pb.InferRequest(
        outputs=pb.OutputSelection(
            embedding=pb.EmbeddingOptions(normalize=True, dimensions=DIMENSIONS)
        ),
        truncation=pb.TRUNCATION_NONE,
        repeatable=True,
        service_class=pb.SERVICE_CLASS_BULK,
    )


def test_parameters_that_say_what_mostly_holds_anyway():
    infer, violations = checked(
        {
            "normalize": False,
            "truncate": True,
            "repeatable": False,
            "service_class": "interactive",
        }
    )
    assert not violations
    assert infer == pb.InferRequest(
        outputs=pb.OutputSelection(embedding=pb.EmbeddingOptions(normalize=False)),
        service_class=pb.SERVICE_CLASS_INTERACTIVE,
    )


def test_what_triton_does_not_heed_by_default_is_not_heeded():
    parameters = {"priority": oip.InferParameter(uint64_param=1), "timeout": 5}
    assert checked(parameters) == (pb.InferRequest(), [])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("normalise", True, "is not known; there are normalize, dimensions, truncate"),
        ("", 1, "is not known"),
        ("triton_enable_empty_final_response", True, "is not known"),
        ("sequence_id", 7, "each request is answered by itself"),
        ("sequence_start", True, "each request is answered by itself"),
        ("dimensions", 2.0, "a double; it is an int64"),
        ("dimensions", oip.InferParameter(uint64_param=2), "a uint64; it is an int64"),
        ("normalize", 1, "an int64; it is a bool"),
        ("repeatable", "yes", "a string; it is a bool"),
        ("truncate", oip.InferParameter(), "no value; it is a bool"),
        ("service_class", True, "a bool; it is a string"),
        ("service_class", "BULK", "'BULK'; it is 'interactive' or 'bulk'"),
        ("dimensions", 0, "0; the model has 1 to 384"),
        ("dimensions", -1, "-1; the model has 1 to 384"),
        ("dimensions", 385, "385; the model has 1 to 384"),
        ("dimensions", 2**32 + 1, "the model has 1 to 384"),
        ("dimensions", 2**63 - 1, "the model has 1 to 384"),
    ],
)
def test_every_fault_says_what_is_wanted(name, value, text):
    infer, ((field, says),) = checked({name: value})
    assert field == f"parameters.{name}"
    assert text in says
    assert infer == pb.InferRequest()


def test_faults_are_told_in_one_order():
    names = ["zap", "dimensions", "sequence_id", "alpha"]
    _, violations = checked(dict.fromkeys(names, -5))
    assert [field for field, _ in violations] == sorted(f"parameters.{name}" for name in names)


def test_very_many_are_not_looked_at():
    infer, violations = checked({f"p{n}": 1 for n in range(999)} | {"repeatable": True})
    assert violations == [("parameters", "1000 of them; 32 are read")]
    assert not infer.repeatable


def test_tensors_have_none_but_what_other_clients_add_by_themselves():
    given = {"binary_data_size": parameter(12), "content_type": parameter("str")}
    shared = {"shared_memory_region": parameter("r")}
    tensor = oip.ModelInferRequest.InferInputTensor(parameters=given | shared)
    violations: list[tuple[str, str]] = []
    check_unheeded(tensor.parameters, "inputs[0].parameters", UNHEEDED_OF_INPUTS, violations)
    assert violations == [("inputs[0].parameters.shared_memory_region", "is not known here")]


def test_words_of_callers_are_short_and_ascii():
    assert quoted("size") == "'size'"
    assert quoted("Größe\n") == r"'Gr\xf6\xdfe\n'"
    for word in ("x" * 999, "🦊" * 999, "\x00" * 999):
        assert len(quoted(word)) == 66
        assert quoted(word).isascii()
