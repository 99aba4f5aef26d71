"""Probes: that they say what a model answers, and what is no file of probes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_bert import DIMENSIONS, MAX_TOKENS, randomize, small_network, write_small_bert
from twinhead.model.config import MlpHead, TaskConfig, TaskKind
from twinhead.model.encoder import Encoder
from twinhead.model.errors import CheckpointError
from twinhead.model.network import Network
from twinhead.model.probes import MAX_PROBES, PROBE_SENTENCES, Probes
from twinhead.model.tokenizer import Tokenizer

TASKS = (
    TaskConfig(name="topic", labels=("sea", "land", "sky")),
    TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"), head=MlpHead(dropout=0.5)),
    TaskConfig(name="moods", kind=TaskKind.MULTI_LABEL, labels=("calm",)),
    TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-X", "I-X")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def network(folder: Path) -> Network:
    return small_network(folder, TASKS)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.load(folder, MAX_TOKENS)


@pytest.fixture(scope="module")
def probes(network: Network, tokenizer: Tokenizer) -> Probes:
    return Probes.measure(network, tokenizer)


def fresh() -> dict[str, Any]:
    """Decoded probes of two sentences that a test may damage."""
    return {
        "sentences": ["a", "b"],
        "embeddings": [[1.0, 2.0, 3.0], [4, 5, 6]],
        "logits": {"topic": [[0.5, -0.5], [0.25, 0.75]]},
        "token_logits": {"names": [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]},
    }


def refusal(data: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        Probes.parse(data)
    return str(caught.value)


# --- measuring


def test_they_are_what_the_network_answers(network, tokenizer, probes):
    assert probes.sentences == PROBE_SENTENCES
    found = probes.results
    assert set(found) == {"embedding", *(f"task {task.name}" for task in TASKS)}
    for row, sentence in enumerate(tokenizer(PROBE_SENTENCES)):
        ids = torch.tensor([sentence.ids])
        with torch.inference_mode():
            output = network(ids, torch.ones_like(ids))
        wanted = {"embedding": output.embeddings[0]}
        wanted |= {f"task {name}": logits[0] for name, logits in output.logits.items()}
        for name, values in wanted.items():
            assert found[name][row].dtype == np.float32
            # Shapes, too, are compared: a token task has a row for each token.
            np.testing.assert_allclose(found[name][row], values.numpy(), rtol=1e-6, strict=True)


def test_shapes(probes, tokenizer):
    found = probes.results
    for row, sentence in enumerate(tokenizer(probes.sentences)):
        assert found["embedding"][row].shape == (DIMENSIONS,)
        assert found["task spam"][row].shape == (1,)
        assert found["task names"][row].shape == (len(sentence.ids), 3)


def test_through_json_they_are_the_same(probes):
    again = Probes.parse(json.loads(probes.model_dump_json()))
    assert again == probes
    assert again.results.keys() == probes.results.keys()


def test_measured_again_they_are_the_same(network, tokenizer, probes):
    assert Probes.measure(network, tokenizer) == probes


def test_sentences_of_ones_own(network, tokenizer):
    made = Probes.measure(network, tokenizer, ["the fox", "run !"])
    assert made.sentences == ("the fox", "run !")
    alone = Probes.measure(network, tokenizer, ["run !"])
    assert made.embeddings[1:] == alone.embeddings


def test_another_network_answers_something_else(folder, tokenizer, probes):
    other = Probes.measure(small_network(folder, TASKS, seed=1), tokenizer)
    assert other.embeddings == probes.embeddings  # the encoder is the same
    for task in TASKS:
        name = f"task {task.name}"
        for one, two in zip(other.results[name], probes.results[name], strict=True):
            assert float(np.abs(one - two).max()) > 1e-3


def test_a_network_in_training_answers_as_in_evaluation_and_goes_on_training(
    folder, tokenizer, probes
):
    network = small_network(folder, TASKS).train()
    network.encoder.eval()  # as when it is frozen
    network.heads["topic"].train()
    modes = [module.training for module in network.modules()]
    assert len(set(modes)) == 2
    assert Probes.measure(network, tokenizer) == probes
    assert [module.training for module in network.modules()] == modes


def test_a_network_without_tasks(folder, tokenizer):
    made = Probes.measure(small_network(folder, ()), tokenizer)
    assert set(made.results) == {"embedding"}
    assert len(made.embeddings) == len(PROBE_SENTENCES)


def test_results_that_are_not_finite_are_no_probes(folder, tokenizer):
    network = small_network(folder, TASKS)
    with torch.no_grad():
        network.get_parameter("heads.topic.output.bias").fill_(torch.nan)
    with pytest.raises(CheckpointError, match="topic"):
        Probes.measure(network, tokenizer)


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e-40, -0.0])
def test_the_largest_and_smallest_numbers(value):
    """Those that float32 has go through JSON and back."""
    data = fresh()
    data["embeddings"][0][0] = value
    (found, _) = Probes.parse(json.loads(Probes.parse(data).model_dump_json())).results["embedding"]
    assert found[0] == np.float32(value)
    assert np.isfinite(found).all()


def test_large_results_of_a_network(folder, tokenizer):
    """As large as float32 has them: seven digits of them must not be more than that."""
    largest = float(torch.finfo(torch.float32).max)
    network = small_network(folder, TASKS)
    with torch.no_grad():
        network.get_parameter("heads.moods.output.weight").zero_()
        network.get_parameter("heads.moods.output.bias").fill_(largest)
    found = Probes.measure(network, tokenizer, ["a"]).results["task moods"][0]
    assert found[0] == pytest.approx(largest, rel=1e-6)


def test_the_probe_sentences_are_varied(tokenizer):
    assert len(set(PROBE_SENTENCES)) == len(PROBE_SENTENCES) <= MAX_PROBES
    lengths = {len(sentence) for sentence in PROBE_SENTENCES}
    assert min(lengths) < 10
    assert max(lengths) > 100
    assert any(not sentence.isascii() for sentence in PROBE_SENTENCES)


def test_they_tell_sentences_apart(probes):
    """What a comparison of probes relies on."""
    rows = torch.tensor(probes.embeddings)
    assert float(torch.pdist(rows).min()) > 1e-3


def test_a_real_encoder_of_another_seed_is_told_apart(tmp_path, tokenizer, probes, network):
    other = Encoder.load(write_small_bert(tmp_path, seed=1))
    twin = Network(network.config, other, other.dimensions)
    randomize(twin.heads, 0)
    assert Probes.measure(twin, tokenizer).embeddings != probes.embeddings


# --- what is none


def test_the_undamaged_data_is_taken():
    """What all tests below rely on."""
    found = Probes.parse(fresh()).results
    assert [array.tolist() for array in found["embedding"]] == [[1, 2, 3], [4, 5, 6]]
    assert [array.shape for array in found["task names"]] == [(1, 2), (2, 2)]


def test_token_logits_may_be_left_out():
    data = fresh()
    del data["token_logits"]
    assert set(Probes.parse(data).results) == {"embedding", "task topic"}


def place(key: str, *path: Any) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    """Puts a value deep inside."""

    def with_value(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(data: dict[str, Any]) -> None:
            found, last = data, key
            for step in path:
                found, last = found[last], step
            found[last] = value

        return change

    return with_value


@pytest.mark.parametrize(
    "number",
    [float("nan"), float("inf"), -float("inf"), 1e39, -1e300, None, "one", [1.0], {}],
    ids=repr,
)
@pytest.mark.parametrize(
    ("where", "named"),
    [
        (place("embeddings", 1, 2), "embeddings.1.2"),
        (place("logits", "topic", 0, 1), "logits.topic.0.1"),
        (place("token_logits", "names", 1, 1, 0), "token_logits.names.1.1.0"),
    ],
    ids=["embeddings", "logits", "token_logits"],
)
def test_what_is_no_finite_number(where, named, number):
    data = fresh()
    where(number)(data)
    assert named in refusal(data)


def test_nan_as_json_has_it():
    assert "embeddings.0.0" in refusal(
        json.loads('{"sentences": ["a"], "embeddings": [[NaN]], "logits": {}}')
    )


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda data: data.pop("sentences"), "sentences"),
        (lambda data: data.pop("embeddings"), "embeddings"),
        (lambda data: data.pop("logits"), "logits"),
        (lambda data: data.update(colour="red"), "unknown key 'colour'"),
        (place("sentences")([]), "sentences"),
        (place("sentences")(["x"] * (MAX_PROBES + 1)), "sentences"),
        (place("sentences", 1)(""), "sentences.1"),
        (place("sentences", 1)("x" * 10_001), "sentences.1"),
        (place("sentences", 1)("\ud800"), "sentences.1"),
        (place("sentences", 1)(3), "sentences.1"),
        # numbers of sentences that differ
        (lambda data: data["sentences"].append("c"), "embeddings has 2 items for 3 sentences"),
        (lambda data: data["embeddings"].pop(), "embeddings has 1 items for 2 sentences"),
        (lambda data: data["logits"]["topic"].append([0.0, 0.0]), "topic has 3 items"),
        (lambda data: data["token_logits"]["names"].pop(), "names has 1 items"),
        # rows that are of no one shape, of which no array can be made
        (lambda data: data["embeddings"][1].pop(), "embeddings has rows of several lengths"),
        (lambda data: data["logits"]["topic"][0].pop(), "topic has rows of several lengths"),
        (lambda data: data["token_logits"]["names"][1][0].pop(), "names has rows of several"),
        (place("logits")([]), "logits"),
        (place("logits", "topic")(None), "logits.topic"),
        (place("token_logits", "names")([[1.0], [2.0]]), "token_logits.names.0.0"),
        (place("logits")({str(n): [[1.0], [1.0]] for n in range(65)}), "65 entries"),
        (place("token_logits")({str(n): 1 for n in range(100_000)}), "100,000 entries"),
    ],
)
def test_faults_are_named(damage, named):
    data = fresh()
    damage(data)
    found = refusal(data)
    assert named in found
    assert len(found) < 1_200


@pytest.mark.parametrize("data", [None, [], "text", 3, {}], ids=repr)
def test_other_json_is_no_file_of_probes(data):
    assert refusal(data)


@pytest.mark.parametrize(
    "damage",
    [
        place("embeddings", 0)([None] * 100_000),
        place("embeddings")([None] * 100_000),
        place("sentences")([None] * 100_000),
        place("logits", "topic", 0)([None] * 100_000),
        place("token_logits", "names")([[[None]]] * 100_000),
    ],
    ids=["numbers", "rows", "sentences", "logits", "tokens"],
)
def test_a_fault_among_a_hundred_thousand_is_one(damage):
    """Each has a text, which takes a kilobyte while it is made; a file may have millions."""
    data = fresh()
    damage(data)
    with pytest.raises(ValidationError) as caught:
        Probes.model_validate(data)
    assert caught.value.error_count() <= 2
