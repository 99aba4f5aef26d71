"""SetFit's pickled head: a real one is read exactly, and nothing of any other is ever run."""

import os
import pickle
import re
from pathlib import Path

import joblib
import pytest
import torch
from original_models import dump_setfit_head
from twinhead.model.errors import ImportModelError
from twinhead.model.setfit_head import read_setfit_head


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_its_logits_are_those_of_the_original(tmp_path, temperature, bias):
    file = tmp_path / "model_head.pkl"
    original = dump_setfit_head(file, 4, 8, temperature=temperature, bias=bias)
    head = read_setfit_head(file)
    vectors = torch.randn(16, 8)
    ours = vectors @ head.weight.T + head.bias
    assert torch.allclose(ours, original(vectors), atol=1e-5, rtol=1e-5)
    assert not head.multitarget


def test_a_head_with_several_targets(tmp_path):
    dump_setfit_head(tmp_path / "h", multitarget=True)
    assert read_setfit_head(tmp_path / "h").multitarget


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    linear = torch.nn.Linear(8, 3).to(dtype)
    dump_setfit_head(tmp_path / "h", 3, 8, linear=linear, eps=0.0)
    head = read_setfit_head(tmp_path / "h")
    assert torch.equal(head.weight, linear.weight.float())


def test_a_device_as_an_attribute(tmp_path):
    dump_setfit_head(tmp_path / "h", _device=torch.device("cpu"))
    assert read_setfit_head(tmp_path / "h").weight.shape == (3, 32)


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (eval, "builtins.eval"),
        (exec, "builtins.exec"),
        (getattr, "builtins.getattr"),
        (torch.load, "torch.serialization.load"),
        (pickle.loads, "_pickle.loads"),
    ],
)
def test_nothing_is_called(tmp_path, function, name):
    proof = tmp_path / "it-ran"
    arguments = f"touch {proof}" if function is os.system else f"open({str(proof)!r}, 'w')"
    file = tmp_path / "model_head.pkl"
    joblib.dump(Hostile(function, arguments), file)
    with pytest.raises(ImportModelError, match=re.escape(f"names {name}, which")):
        read_setfit_head(file)
    assert not proof.exists()


def test_the_malicious_pickle_of_these_tests_does_run_elsewhere(tmp_path):
    # Or the test above would prove nothing.
    proof = tmp_path / "it-ran"
    joblib.dump(Hostile(os.system, f"touch {proof}"), tmp_path / "h")
    joblib.load(tmp_path / "h")
    assert proof.exists()


def test_nothing_is_called_from_within_a_real_head(tmp_path):
    proof = tmp_path / "it-ran"
    dump_setfit_head(tmp_path / "h", extra=Hostile(os.system, f"touch {proof}"))
    with pytest.raises(ImportModelError, match=r"names posix\.system"):
        read_setfit_head(tmp_path / "h")
    assert not proof.exists()


def test_the_pickle_within_the_weights_runs_nothing(tmp_path):
    # The bytes of a storage are a pickle themselves.
    proof = tmp_path / "it-ran"
    inner = pickle.dumps(Hostile(os.system, f"touch {proof}"), protocol=2)

    class Weight:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (inner,)

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Weight(), 0, (1, 1), (1, 1), False, {})

    class Parameter:
        def __reduce__(self):
            return torch._utils._rebuild_parameter, (Tensor(), False, {})

    linear = torch.nn.Linear(1, 1)
    linear.__dict__["_parameters"] = {"weight": Parameter(), "bias": None}
    dump_setfit_head(tmp_path / "h", 1, 1, linear=linear)
    with pytest.raises(ImportModelError, match="is not a SetFit torch head"):
        read_setfit_head(tmp_path / "h")
    assert not proof.exists()


@pytest.mark.parametrize(
    "program",
    [
        # Sets an attribute of a class that stands for a name: NAME, state (None, {...}), BUILD.
        b"\x80\x04csetfit.modeling\nSetFitHead\n(N}X\x08\x00\x00\x00__init__Nstb.",
        b"\x80\x04ccollections\nOrderedDict\n(N}X\x06\x00\x00\x00updateNstb.",
        b"\x80\x04cbuiltins\nset\n(N}X\x03\x00\x00\x00addNstb.",
    ],
)
def test_what_names_stand_for_cannot_be_changed(tmp_path, program):
    dump_setfit_head(tmp_path / "good")
    (tmp_path / "bad").write_bytes(program)
    with pytest.raises(ImportModelError, match="is not a SetFit torch head"):
        read_setfit_head(tmp_path / "bad")
    read_setfit_head(tmp_path / "good")


@pytest.mark.parametrize("size", [0, 1, 40, 500])
def test_a_file_that_is_cut_off(tmp_path, size):
    dump_setfit_head(tmp_path / "h")
    (tmp_path / "h").write_bytes((tmp_path / "h").read_bytes()[:size])
    with pytest.raises(ImportModelError, match="is not a SetFit torch head"):
        read_setfit_head(tmp_path / "h")


def test_a_scikit_learn_head_is_refused_with_the_reason(tmp_path):
    from sklearn.linear_model import LogisticRegression

    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "h")
    with pytest.raises(ImportModelError, match="LogisticRegression, which is a pickle of Python"):
        read_setfit_head(tmp_path / "h")


def lazy() -> torch.nn.Module:
    return torch.nn.LazyLinear(3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": "warm"}, "temperature is not a number"),
        ({"temperature": -2.0}, "its temperature is -1.99"),
        ({"temperature": float("nan")}, "its temperature is nan"),
        ({"linear": torch.nn.Identity()}, "Identity, which no SetFit torch head needs"),
        ({"linear": lazy()}, "LazyLinear, which no SetFit torch head needs"),
        ({"module": "mine.modeling"}, r"names mine\.modeling\.SetFitHead"),
    ],
)
def test_other_heads_are_refused(tmp_path, changes, said):
    dump_setfit_head(tmp_path / "h", **changes)
    with pytest.raises(ImportModelError, match=said):
        read_setfit_head(tmp_path / "h")


def test_weights_that_are_not_finite(tmp_path):
    linear = torch.nn.Linear(8, 3)
    torch.nn.init.constant_(linear.bias, float("inf"))
    dump_setfit_head(tmp_path / "h", 3, 8, linear=linear)
    with pytest.raises(ImportModelError, match="bias holds NaN or infinite"):
        read_setfit_head(tmp_path / "h")


def test_a_file_that_holds_something_else(tmp_path):
    joblib.dump({"weight": 1}, tmp_path / "h")
    with pytest.raises(ImportModelError, match="it holds a dict, not a SetFitHead"):
        read_setfit_head(tmp_path / "h")
    with pytest.raises(ImportModelError, match="cannot be read: No such file"):
        read_setfit_head(Path(tmp_path / "nothing"))
