"""Replies: normalisation, scores, and the debug model seen through a real call."""

import numpy as np
from debug_model import expected_embedding
from twinhead.client import Client, InferOptions
from twinhead.server.reply import normalize


def test_normalize_keeps_zero_rows_zero_and_float32():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    scaled = normalize(vectors)
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert scaled.dtype == np.float32
    assert vectors[0, 0] == 3.0  # the job's own array is left alone


def test_rows_without_answer_are_zero_and_have_no_label(debug_worker):
    with Client(debug_worker.target) as client:
        result = client.infer(["w1 w2", "", "w3"])
    assert not result.embeddings[1].any()
    assert result["size"].labels[1] is None
    assert result["size"].indices[1] == -1
    assert result["size"].scores[1] == 0
    assert not result["size"].logits[1].any()
    np.testing.assert_allclose(result.embeddings[2], expected_embedding("w3"), rtol=1e-5)


def test_scores_are_the_softmax_of_the_logits(debug_worker):
    with Client(debug_worker.target) as client:
        answer = client.infer(["w1 w2", "w900", "w4000 w1"])["size"]
    exponentials = np.exp(answer.logits.astype(np.float64))
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer.scores, softmax.max(axis=1), rtol=1e-5)
    assert answer.indices.tolist() == softmax.argmax(axis=1).tolist()


def test_embedding_options(debug_worker):
    with Client(debug_worker.target) as client:
        full = client.infer(["w1 w2 w3"]).embeddings
        half = client.infer(["w1 w2 w3"], InferOptions(embedding="float16")).embeddings
        cut = client.infer(["w1 w2 w3"], InferOptions(dimensions=2, normalize=True)).embeddings
        none = client.infer(["w1 w2 w3"], InferOptions(embedding=None, logits=False))
    assert half.dtype == np.float16
    assert half.tolist() == full.astype(np.float16).tolist()
    assert cut.shape == (1, 2)
    np.testing.assert_allclose(cut, normalize(full[:, :2]), rtol=1e-5)
    assert none.embeddings is None
    assert none["size"].logits is None
    assert none["size"].labels[0] is not None
