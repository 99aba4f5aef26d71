"""The multi-head network: on a tiny BERT, and on the real MiniLM beside SentenceTransformer."""

import copy
import gc
import itertools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from small_bert import DIMENSIONS, TASKS, WORDS, randomize, small_network, write_small_bert
from transformers import AutoModel
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.encoder import Encoder, find_encoder
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer
from twinhead.server.engines.torch_engine import TorchEngine

LENGTHS = [1, 2, 3, 7, 12, 12, 30, 64]
SENTENCES = [
    # short
    "Yes.",
    "no",
    "a",
    "7",
    "?",
    "Rain again tomorrow.",
    "The ferry leaves at noon.",
    "Two eggs, one lemon and a pinch of salt.",
    "Who moved the piano?",
    "Stop that!",
    "CAPITAL LETTERS EVERYWHERE IN THIS ONE",
    "camelCase and snake_case and kebab-case",
    "https://example.org/a/b?c=d&e=f#g",
    "someone@example.org wrote on 2024-02-30 at 25:61",
    "1,234,567.89 + 0.1 = ?",
    "[SEP] is written out here, and [MASK] too",
    "[CLS] [PAD] [UNK]",
    "<b>bold</b> &amp; {braces} \\backslash\\",
    "for (int i = 0; i < n; ++i) { sum += a[i]; }",
    "it's, they're, we'd, y'all'd've",
    # middling
    "The orchestra tuned for so long that half of the audience thought it was the first movement.",
    "Our neighbour keeps bees on the roof and pays for the noise in honey.",
    "Shares of the shipyard fell after the second launch was put off until spring.",
    "The goalkeeper slipped, the ball did not, and the cup went home with the visitors.",
    "Astronomers found water in the thin air of a planet that no telescope can see directly.",
    "Ministers met through the night and agreed on when to meet again.",
    "I would buy this kettle again, but only if somebody else had to read its manual.",
    "The film is two hours of rain on a window, and I did not look away once.",
    # accents and other alphabets
    "Où est passée la clé de l'entrée ? Très loin, paraît-il.",
    "Größere Straßen führen über Brücken nach Köln.",
    "El niño soñó con un pingüino en Logroño.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "İstanbul'da çay içtik, güneş batt\u0131.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "Съешь ещё этих мягких французских булок.",
    "שלום עולם, מה שלומך היום?",
    "مرحبا بالعالم، كيف حالك؟",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "cafe\u0301 with a combining accent",
    "\ufb01ne ligatures and \uff26\uff35\uff2c\uff2c \uff57\uff49\uff44\uff54\uff48",
    # Chinese, Japanese, Korean
    "今天天气很好\uff0c我们去公园散步吧。",
    "吾輩は猫である。名前はまだ無い。",
    "안녕하세요, 오늘은 날씨가 좋네요.",
    "Mixed 中文 and English と日本語 in one 문장",
    # emoji
    "😀",
    "Great work 👍🏽👍🏽👍🏽",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇫🇷",
    "I ❤️ this so much 😭😭😭",
    # odd whitespace and characters
    "  leading and trailing  ",
    "tabs\tand\nnew\r\nlines\x0band\x0cfeeds",
    "no\u00a0break\u2003em\u200bzero\ufeffwidth",
    "a   b          c",
    "nul\0 and bell\x07 and escape\x1b[31m",
    "\u202eright to left override",
    "replacement \ufffd character",
    "..........!!!!!!!!??????",
    # long
    "pneumonoultramicroscopicsilicovolcanoconiosis " * 3,
    "x" * 150,  # one word, more than the vocabulary takes on
    "word " * 254,  # just fits
    "word " * 255,  # one too many
    "The river rose again in the night, and the mill stood still. " * 60,
    "天地玄黄宇宙洪荒" * 80,
    "🙂 " * 400,
]


# --- on a tiny BERT


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bert(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def network(small_folder: Path) -> Network:
    return small_network(small_folder)


def token_ids(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(5, len(WORDS), (n,), generator=generator).tolist() for n in lengths]


def padded(ids: Sequence[Sequence[int]], extra: int = 0, fill: int = 0) -> list[torch.Tensor]:
    input_ids = torch.full((len(ids), max(map(len, ids)) + extra), fill)
    mask = torch.zeros_like(input_ids)
    for row, sentence in enumerate(ids):
        input_ids[row, : len(sentence)] = torch.tensor(sentence)
        mask[row, : len(sentence)] = 1
    return [input_ids, mask]


def counted(module: torch.nn.Module) -> list[torch.Size]:
    """The shapes of what a module is given from now on."""
    calls: list[torch.Size] = []
    module.register_forward_hook(lambda _module, inputs, _output: calls.append(inputs[0].shape))
    return calls


@torch.inference_mode()
def outputs(network: Network, *arguments: Any) -> dict[str, torch.Tensor]:
    output = network(*arguments)
    return {"": output.embeddings, **output.logits}


def tasks_of(count: int) -> tuple[TaskConfig, ...]:
    return tuple(TaskConfig(name=f"task_{n}", labels=("a", "b", "c")) for n in range(count))


@pytest.mark.parametrize("count", [0, 1, 2, 9])
@pytest.mark.parametrize("wanted", ["all", "none", "first"])
def test_one_encoder_call_whatever_the_tasks(small_folder, count, wanted):
    network = small_network(small_folder, tasks_of(count))
    calls = counted(network.encoder)
    names = {"all": None, "none": (), "first": [task.name for task in tasks_of(count)[:1]]}[wanted]
    assert isinstance(network.encoder, Encoder)
    network.encoder.transformer.encoder.register_forward_hook(
        lambda *_: calls.append(torch.Size([]))
    )
    outputs(network, *padded(token_ids([3, 5])), names)
    # The wrapper and the layers inside it, once each.
    assert calls == [torch.Size([]), torch.Size([2, 5])]


@pytest.mark.parametrize(
    "wanted", [None, (), ["topic"], ["mood"], ["mood", "topic"]], ids=lambda names: str(names)
)
def test_only_wanted_heads_run(small_folder, wanted):
    network = small_network(small_folder)
    calls = {name: counted(head) for name, head in network.heads.items()}
    logits = network(*padded(token_ids([3, 5])), wanted).logits
    expected = ["topic", "mood"] if wanted is None else list(wanted)
    assert list(logits) == expected
    for name, shapes in calls.items():
        assert shapes == ([torch.Size([2, DIMENSIONS])] if name in expected else [])


def test_tasks_may_come_from_an_iterator(network):
    logits = network(*padded(token_ids([3])), iter(["mood"])).logits
    assert list(logits) == ["mood"]


@pytest.mark.parametrize("names", [["weather"], ["topic", "weather"]])
def test_an_unknown_task(network, names):
    with pytest.raises(KeyError, match="weather"):
        network(*padded(token_ids([3])), names)


@pytest.mark.parametrize("lengths", [[1], [4, 4], [3, 9, 1, 5]])
def test_shapes(network, lengths):
    output = network(*padded(token_ids(lengths)))
    assert output.embeddings.shape == (len(lengths), DIMENSIONS)
    assert {name: tuple(logits.shape) for name, logits in output.logits.items()} == {
        "topic": (len(lengths), 3),
        "mood": (len(lengths), 2),
    }
    assert output.embeddings.dtype == torch.float32
    assert {logits.dtype for logits in output.logits.values()} == {torch.float32}


def test_the_arithmetic(network, small_folder):
    """Embedding and logits by a plain loop over what transformers gives for each sentence."""
    ids = token_ids(LENGTHS)
    found = outputs(network, *padded(ids))
    transformer: Any = AutoModel.from_pretrained(small_folder)
    for row, sentence in enumerate(ids):
        with torch.inference_mode():
            hidden = transformer(input_ids=torch.tensor([sentence])).last_hidden_state[0].double()
        embedding = sum(hidden) / len(sentence)
        torch.testing.assert_close(found[""][row].double(), embedding, rtol=0, atol=1e-5)
        for task in TASKS:
            head = network.heads[task.name].state_dict()
            logits = head["output.weight"].double() @ embedding + head["output.bias"].double()
            torch.testing.assert_close(found[task.name][row].double(), logits, rtol=0, atol=1e-5)
    # Not normalised: the engine's callers decide on that.
    assert bool(((found[""].norm(dim=1) - 1).abs() > 0.1).all())


@pytest.mark.parametrize("extra", [0, 1, 40])
@pytest.mark.parametrize("fill", [0, 9])
def test_padding_changes_nothing(network, extra, fill):
    ids = token_ids([length for length in LENGTHS if length <= 24])
    together = outputs(network, *padded(ids, extra, fill))
    for row, sentence in enumerate(ids):
        for name, values in outputs(network, *padded([sentence])).items():
            torch.testing.assert_close(together[name][row], values[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_a_batch_changes_nothing(network, seed):
    ids = token_ids(LENGTHS)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed)).tolist()
    straight = outputs(network, *padded(ids))
    shuffled = outputs(network, *padded([ids[index] for index in order]))
    for name, values in straight.items():
        torch.testing.assert_close(shuffled[name], values[order], rtol=0, atol=1e-5)


def test_sentences_are_told_apart(network):
    """What the two tests above rely on: other tokens give other answers."""
    values = outputs(network, *padded(token_ids([8] * 6)))
    for rows in values.values():
        assert float(torch.pdist(rows).min()) > 1e-3


def test_any_encoder_module_will_do():
    class Constant(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return input_ids.unsqueeze(-1).expand(-1, -1, 4).to(torch.float32)

    config = ModelConfig(encoder="constant", tasks=TASKS)
    output = Network(config, Constant(), 4)(*padded([[2, 4], [6]]))
    assert output.embeddings.tolist() == [[3.0] * 4, [6.0] * 4]
    assert set(output.logits) == {"topic", "mood"}


# Names that modules and containers of torch have attributes of.
@pytest.mark.parametrize("name", ["type", "values", "keys", "train", "forward", "pop", "training"])
def test_a_task_may_have_the_name_of_an_attribute(small_folder, name):
    network = small_network(small_folder, (TaskConfig(name=name, labels=("a", "b")), *TASKS))
    batch = padded(token_ids([3, 5]))
    before = outputs(network, *batch)
    assert before[name].shape == (2, 2)
    state = network.state_dict()
    assert f"heads.{name}.output.weight" in state
    again = small_network(small_folder, network.config.tasks, seed=1)
    assert not torch.equal(outputs(again, *batch)[name], before[name])
    again.load_state_dict(state)
    again = again.to(torch.float64).to(torch.float32)
    assert again.train().heads[name].training
    assert not again.eval().heads[name].training
    assert torch.equal(outputs(again, *batch)[name], before[name])


# --- with other tensors


QUERY = "encoder.transformer.encoder.layer.1.attention.self.query.weight"
REPLACED = [[], ["heads.mood.output.bias"], [QUERY], ["heads.topic.output.weight", QUERY]]


def others(network: Network, names: Sequence[str]) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {name: state[name].detach() * 2 + 1 for name in names}


def pointers(network: Network) -> dict[str, int]:
    named = itertools.chain(network.named_parameters(), network.named_buffers())
    return {name: tensor.data_ptr() for name, tensor in named}


@pytest.mark.parametrize("names", REPLACED, ids=len)
def test_a_network_with_other_tensors_shares_the_rest(small_folder, names):
    network = small_network(small_folder)
    tensors = others(network, names)
    twin = network.with_tensors(network.config, tensors)
    found, known = pointers(twin), pointers(network)
    # Buffers that are in no state, such as position ids, among them.
    assert found.keys() == known.keys() > network.state_dict().keys()
    assert {name for name in found if found[name] != known[name]} == set(names)
    assert {name: found[name] for name in names} == {
        name: tensor.data_ptr() for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("names", REPLACED, ids=len)
def test_a_network_with_other_tensors_answers_as_one_that_was_loaded_with_them(small_folder, names):
    network = small_network(small_folder)
    batch = padded(token_ids(LENGTHS))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = outputs(network, *batch)
    tensors = others(network, names)
    loaded = copy.deepcopy(network)
    loaded.load_state_dict(state | tensors)
    twin = network.with_tensors(network.config, tensors)
    found, wanted = outputs(twin, *batch), outputs(loaded, *batch)
    assert {name for name in found if not torch.equal(found[name], before[name])} == {
        name for name in found if names and (QUERY in names or f"heads.{name}." in names[0])
    }
    for name, values in wanted.items():
        assert torch.equal(found[name], values)
    # The original is as it was, bit for bit.
    assert network.state_dict().keys() == state.keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])
    for name, values in outputs(network, *batch).items():
        assert torch.equal(values, before[name])


def test_a_network_with_other_tensors_has_modules_of_its_own(small_folder):
    network = small_network(small_folder)
    twin = network.with_tensors(network.config, {})
    assert not set(network.modules()) & set(twin.modules())
    twin.train()
    assert not any(module.training for module in network.modules())


def test_a_network_with_other_tensors_has_the_config_that_is_given(small_folder):
    network = small_network(small_folder)
    known = network.config
    config = known.model_copy(update={"max_tokens": 7})
    assert network.with_tensors(config, {}).config is config
    assert network.config is known


def test_other_tensors_time_and_again(small_folder):
    """As in a worker that is given one version after another."""
    first = small_network(small_folder)
    batch = padded(token_ids([3, 5]))
    second = first.with_tensors(first.config, others(first, [QUERY]))
    third = second.with_tensors(second.config, others(second, ["heads.mood.output.bias"]))
    back = third.with_tensors(first.config, dict(first.state_dict()))
    assert pointers(third)[QUERY] == pointers(second)[QUERY] != pointers(first)[QUERY]
    for name, values in outputs(first, *batch).items():
        assert torch.equal(outputs(back, *batch)[name], values)


@pytest.mark.parametrize(
    "name", ["heads.weather.output.bias", "encoder.layer.1.x", "", "heads.mood"]
)
def test_a_tensor_that_the_network_does_not_have(small_folder, name):
    network = small_network(small_folder)
    tensors = others(network, [QUERY])
    with pytest.raises(KeyError) as caught:
        network.with_tensors(network.config, {**tensors, name: torch.ones(2)})
    assert caught.value.args == (name,)


@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 1), (0,), ()], ids=str)
def test_a_tensor_of_another_shape(small_folder, shape):
    network = small_network(small_folder)
    before = pointers(network)
    tensors = {**others(network, [QUERY]), "heads.mood.output.bias": torch.ones(shape)}
    with pytest.raises(RuntimeError, match=r"heads\.mood\.output\.bias"):
        network.with_tensors(network.config, tensors)
    assert pointers(network) == before


def test_a_replaced_tensor_goes_with_the_network_that_had_it(small_folder):
    network = small_network(small_folder)
    kept, replaced = "heads.topic.output.bias", QUERY
    alive = {name: weakref.ref(network.get_parameter(name)) for name in (kept, replaced)}
    twin = network.with_tensors(network.config, others(network, [replaced]))
    gc.collect()
    assert alive[replaced]() is network.get_parameter(replaced)
    del network
    gc.collect()
    assert alive[replaced]() is None
    assert alive[kept]() is twin.get_parameter(kept)


# --- on the real MiniLM


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return find_encoder("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def reference(minilm_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(minilm_folder), device="cpu")


@pytest.fixture(scope="session")
def minilm_tokenizer(minilm_folder: Path) -> Tokenizer:
    return Tokenizer.load(minilm_folder, 256)


@pytest.fixture(scope="session")
def engine(minilm_folder: Path) -> TorchEngine:
    encoder = Encoder.load(minilm_folder)
    config = ModelConfig(encoder="all-MiniLM-L6-v2", tasks=TASKS)
    network = Network(config, encoder, encoder.dimensions)
    randomize(network.heads, 0)
    return TorchEngine(network, "cpu")


@pytest.fixture(scope="session")
def expected(reference: SentenceTransformer) -> np.ndarray:
    return reference.encode(SENTENCES)


def embed(engine: TorchEngine, tokenizer: Tokenizer, sentences: Sequence[str]) -> np.ndarray:
    vectors = engine.encode([sentence.ids for sentence in tokenizer(sentences)], ()).embeddings
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max())


def test_the_sentences_are_varied():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 60


@pytest.mark.parametrize("batch", [1, 8, len(SENTENCES)])
def test_embeddings_equal_those_of_sentence_transformers(engine, minilm_tokenizer, expected, batch):
    # From the last to the first: lengths are mixed otherwise than the reference mixes them.
    order = range(len(SENTENCES) - 1, -1, -1)
    for start in range(0, len(SENTENCES), batch):
        chosen = list(order[start : start + batch])
        vectors = embed(engine, minilm_tokenizer, [SENTENCES[index] for index in chosen])
        assert vectors.shape == (len(chosen), 384)
        assert largest(vectors - expected[chosen]) <= 1e-5


def test_the_references_vectors_are_told_apart(expected, minilm_tokenizer):
    """What the test above relies on: sentences of different tokens are much further apart."""
    ids = [sentence.ids for sentence in minilm_tokenizer(SENTENCES)]
    for row, column in itertools.combinations(range(len(ids)), 2):
        if ids[row] != ids[column]:
            assert largest(expected[row] - expected[column]) > 1e-3


def test_truncation_equals_that_of_sentence_transformers(reference, minilm_tokenizer):
    cut = 0
    for sentence, result in zip(SENTENCES, minilm_tokenizer(SENTENCES), strict=True):
        assert result.ids == reference.preprocess([sentence])["input_ids"][0].tolist()
        cut += result.truncated
    assert cut == 4
    assert max(len(result.ids) for result in minilm_tokenizer(SENTENCES)) == 256


@pytest.mark.parametrize(("words", "read"), [(253, True), (254, False)])
def test_what_follows_token_256_is_not_read(engine, minilm_tokenizer, reference, words, read):
    """One more word behind so many: 254 words and two special tokens are read."""
    texts = ["river " * words, "river " * words + "mountain"]
    for vectors in (embed(engine, minilm_tokenizer, texts), reference.encode(texts)):
        assert (largest(vectors[0] - vectors[1]) > 1e-4) is read


def test_engine_output_equals_the_networks(engine, minilm_tokenizer):
    ids = [sentence.ids for sentence in minilm_tokenizer(SENTENCES[:20])]
    output = engine.encode(ids, ["mood"])
    assert set(output.logits) == {"mood"}
    assert output.logits["mood"].shape == (20, 2)
    direct = outputs(engine._network, *padded(ids), ["mood"])
    np.testing.assert_array_equal(output.embeddings, direct[""].numpy())
    np.testing.assert_array_equal(output.logits["mood"], direct["mood"].numpy())
