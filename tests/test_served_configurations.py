"""Each published configuration, saved, loaded by a worker and asked over gRPC."""

import numpy as np
import pytest
import torch
from reference_configurations import REFERENCE_CONFIGURATIONS, TAGS, build
from small_bert import small_checkpoint, write_small_bert
from twinhead.client import (
    BinaryAnswer,
    Client,
    InferOptions,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TokenAnswer,
)
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.server.load_model import load_model

SENTENCES = ["Zoë Müller  visited Łódź 😀 in May.", "", "It is 東京 again!", "word " * 300]


@pytest.mark.parametrize("name", REFERENCE_CONFIGURATIONS)
def test_it_serves_what_it_computes(name, start_debug_worker, tmp_path):
    checkpoint = build(name, tmp_path)
    checkpoint.save(tmp_path / "model")
    worker = start_debug_worker(load=load_model, model=str(tmp_path / "model"), device="cpu")
    with Client(worker.target) as client:
        model = client.model()
        result = client.infer(SENTENCES, InferOptions(token_logits=True, normalize=False))
    assert model.version == result.model_version == checkpoint.version
    assert {n: (t.kind, t.label_names, t.thresholds) for n, t in model.tasks.items()} == {
        task.name: (task.kind, task.labels, pytest.approx(task.effective_thresholds))
        for task in checkpoint.config.tasks
    }
    assert [status.code for status in result.statuses] == ["ok", "empty", "ok", "ok"]
    assert result.statuses[3].truncated

    for row in (0, 2, 3):
        (tokens,) = checkpoint.tokenizer([SENTENCES[row]], offsets=True)
        ids = torch.tensor([tokens.ids])
        with torch.inference_mode():
            expected = checkpoint.network(ids, torch.ones_like(ids))
        embedding = expected.embeddings[0].numpy()
        np.testing.assert_allclose(result.embeddings[row], embedding, atol=1e-5)
        for task in checkpoint.config.tasks:
            answer = result[task.name]
            logits = expected.logits[task.name][0].numpy()
            match task.kind:
                case TaskKind.SINGLE_LABEL:
                    assert isinstance(answer, SingleLabelAnswer)
                    np.testing.assert_allclose(answer.logits[row], logits, atol=1e-5)
                    assert answer.labels[row] == task.labels[logits.argmax()]
                case TaskKind.BINARY:
                    assert isinstance(answer, BinaryAnswer)
                    np.testing.assert_allclose(answer.logits[row], logits, atol=1e-5)
                    probability = 1 / (1 + np.exp(-logits[0]))
                    assert answer.probabilities[row] == pytest.approx(probability, abs=1e-5)
                    yes = probability >= task.effective_thresholds[0]
                    assert answer.labels[row] == task.labels[int(yes)]
                case TaskKind.TOKEN:
                    assert isinstance(answer, TokenAnswer)
                    real = [i for i, (start, end) in enumerate(tokens.offsets) if start < end]
                    found = answer.token_logits[row]
                    np.testing.assert_allclose(found.values, logits[real], atol=1e-5)
                    assert found.starts.tolist() == [tokens.offsets[i][0] for i in real]
                    for entity in answer.entities[row]:
                        text = SENTENCES[row][entity.start : entity.end]
                        assert text == text.strip() != ""
                        assert 0 < entity.score <= 1


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_a_temperature_scales_scores_and_no_logits(start_debug_worker, tmp_path):
    plain = (
        TaskConfig(name="topic", labels=("a", "b", "c")),
        TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"), thresholds=(0.4,)),
        TaskConfig(name="tags", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c", "d")),
        TaskConfig(name="names", kind=TaskKind.TOKEN, labels=TAGS),
    )
    temperatures = {"topic": 2.5, "spam": 0.5, "tags": 4.0, "names": 1.5}
    calibrated = tuple(
        task.model_copy(update={"temperature": temperatures[task.name]}) for task in plain
    )
    encoder = write_small_bert(tmp_path / "encoder")
    sentences = ["the quick fox runs !", "", "run fox", "a quick run"]
    models, results = [], []
    for name, tasks in (("plain", plain), ("calibrated", calibrated)):
        small_checkpoint(encoder, tasks).save(tmp_path / name)
        worker = start_debug_worker(load=load_model, model=str(tmp_path / name), device="cpu")
        with Client(worker.target) as client:
            models.append(client.model())
            results.append(client.infer(sentences, InferOptions(token_logits=True)))

    assert {name: task.temperature for name, task in models[0].tasks.items()} == dict.fromkeys(
        temperatures, 1.0
    )
    assert {name: task.temperature for name, task in models[1].tasks.items()} == temperatures
    assert models[0].version != models[1].version
    before, after = results
    for task in ("topic", "spam", "tags"):
        np.testing.assert_array_equal(after[task].logits, before[task].logits)
        assert after[task].logits.any()
    for found, same in zip(after["names"].token_logits, before["names"].token_logits, strict=True):
        np.testing.assert_array_equal(found.values, same.values)

    answered = [0, 2, 3]
    for temperature, result in ((1.0, before), (2.5, after)):
        topic: SingleLabelAnswer = result["topic"]
        expected = softmax(topic.logits[answered] / temperature).max(axis=1)
        np.testing.assert_allclose(topic.scores[answered], expected, rtol=1e-5)
        assert topic.scores[1] == 0
    assert after["topic"].labels == before["topic"].labels

    spam: BinaryAnswer = after["spam"]
    expected = 1 / (1 + np.exp(-spam.logits[answered, 0].astype(np.float64) / 0.5))
    np.testing.assert_allclose(spam.probabilities[answered], expected, rtol=1e-5)
    assert spam.indices[answered].tolist() == (expected >= 0.4).astype(int).tolist()

    tags: MultiLabelAnswer = after["tags"]
    assert any(len(tags.indices[row]) for row in answered)
    for row in answered:
        expected = 1 / (1 + np.exp(-tags.logits[row].astype(np.float64) / 4))
        assert sorted(tags.indices[row].tolist()) == np.flatnonzero(expected >= 0.5).tolist()
        np.testing.assert_allclose(tags.scores[row], expected[tags.indices[row]], rtol=1e-5)

    names: TokenAnswer = after["names"]
    assert any(names.entities)
    for row, sentence in enumerate(sentences):
        tokens = names.token_logits[row]
        top = softmax(tokens.values / 1.5).max(axis=1) if len(tokens.values) else []
        # The first token of a word speaks for it.
        of_word = {
            start: score
            for start, score in zip(tokens.starts.tolist(), top, strict=True)
            if start == 0 or sentence[start - 1] == " "
        }
        for entity in names.entities[row]:
            words = [
                score for start, score in of_word.items() if entity.start <= start < entity.end
            ]
            assert entity.score == pytest.approx(np.mean(words), rel=1e-5)


def test_entities_of_a_real_worker_process_are_labelled_in_a_file(
    start_worker, run_twinhead, tmp_path
):
    build("bert_cls_ner", tmp_path).save(tmp_path / "model")
    worker = start_worker("--model", str(tmp_path / "model"))
    (tmp_path / "in.txt").write_text(SENTENCES[0] + "\n" + SENTENCES[2] + "\n")
    done = run_twinhead("label", "in.txt", "-o", "out.parquet", "--worker", worker.target)
    assert done.returncode == 0, done.stderr
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "out.parquet")
    with Client(worker.target) as client:
        answer = client.infer([SENTENCES[0], SENTENCES[2]])["entities"]
    assert [[each["start"] for each in row] for row in table["entities"].to_pylist()] == [
        [entity.start for entity in row] for row in answer.entities
    ]
    assert any(answer.entities)


@pytest.mark.parametrize("kind", ["int8", "binary", "float16"])
def test_small_embeddings_are_close_to_full_ones(starter_client, kind):
    sentences = ["The match was a delight.", "", "Shares fell two percent on Monday."]
    full = starter_client.infer(sentences).embeddings
    small = starter_client.infer(sentences, InferOptions(embedding=kind)).embeddings
    if kind == "binary":
        assert small.dtype == np.uint8
        assert small.tolist() == np.packbits(full > 0, axis=1).tolist()
    else:
        assert not small[1].any()
        cosine = (small[::2] * full[::2]).sum(axis=1) / np.linalg.norm(small[::2], axis=1)
        assert (cosine > 0.999).all()
