"""One array of many results."""

import numpy as np
import pytest
from text_answers import embedding, respond
from twinhead.client import UnansweredSentencesError
from twinhead.client.embedding_rows import EmbeddingRows
from twinhead.client.results import read_result


def test_results_follow_each_other():
    parts = [["a", "b"], ["c"], ["d", "e", "f"]]
    rows = EmbeddingRows(6, "error")
    for part in parts:
        rows.add(read_result(respond(part)))
    assert rows.array.dtype == np.float32
    assert rows.array.tolist() == [embedding(text) for text in "abcdef"]


def test_rows_without_an_answer_are_named_with_the_reason():
    rows = EmbeddingRows(9, "error")
    rows.add(read_result(respond(["a", "b"])))
    with pytest.raises(UnansweredSentencesError) as caught:
        rows.add(read_result(respond(["c", "", "\0", "long one", " "])))
    assert caught.value.rows == {
        3: "the sentence is empty",
        4: "the sentence is invalid",
        5: "the sentence is too long",
        6: "the sentence is empty",
    }
    assert str(caught.value) == (
        "sentences have no embedding: row 3 (the sentence is empty), row 4 (the sentence is "
        "invalid), row 5 (the sentence is too long), and 1 more; leave them out, or say "
        "unanswered='zeros' to have zeros for them"
    )


def test_zeros_stand_for_what_has_no_answer():
    rows = EmbeddingRows(4, "zeros")
    rows.add(read_result(respond(["", "a"])))
    rows.add(read_result(respond(["b", "\0"])))
    nothing = [0.0, 0.0, 0.0]
    assert rows.array.tolist() == [nothing, embedding("a"), embedding("b"), nothing]


def test_what_else_could_become_of_them_is_refused():
    with pytest.raises(ValueError, match="'error' or 'zeros', not 'skip'"):
        EmbeddingRows(1, "skip")
