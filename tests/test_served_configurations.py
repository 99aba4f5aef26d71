"""Each published configuration, saved, loaded by a worker and asked over gRPC."""

import numpy as np
import pytest
import torch
from reference_configurations import REFERENCE_CONFIGURATIONS, build
from twinhead.client import (
    BinaryAnswer,
    Client,
    InferOptions,
    SingleLabelAnswer,
    TokenAnswer,
)
from twinhead.model.config import TaskKind
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
