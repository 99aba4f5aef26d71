"""The stand-in for `SentenceTransformer`, beside the real one with the same weights."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)
from twinhead.client import UnansweredSentencesError, VersionNotLiveError
from twinhead.client.adapters.sentence_transformers import TwinheadSentenceTransformer

SENTENCES = [
    "The striker scored twice.",
    "Shares fell sharply on Monday.",
    "Die Regierung tritt zurück 🏅",
    "a",
    "Two goals by the striker.",
]
PROMPTS = {"query": "query: ", "shout": "HEY "}


@pytest.fixture(scope="module")
def original(whole_starter) -> SentenceTransformer:
    return SentenceTransformer(str(whole_starter), device="cpu", prompts={**PROMPTS})


@pytest.fixture
def ours(starter_worker):
    with TwinheadSentenceTransformer(starter_worker.target, prompts=PROMPTS) as model:
        yield model


def same(ours: object, original: object) -> None:
    """The same types, and the same numbers but for rounding."""
    assert type(ours) is type(original)
    if isinstance(ours, list):
        assert len(ours) == len(original)
        for each, other in zip(ours, original, strict=True):
            same(each, other)
    else:
        assert ours.shape == original.shape
        assert ours.dtype == original.dtype
        assert str(getattr(ours, "device", "")) == str(getattr(original, "device", ""))
        # A rounding may be what decides about a step of int8 or a sign.
        atol = 1e-5 if ours.dtype in (np.float32, torch.float32) else 1
        np.testing.assert_allclose(np.asarray(ours), np.asarray(original), rtol=0, atol=atol)


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_names_order_and_defaults_are_those_of_the_original(method):
    theirs = dict(inspect.signature(SentenceTransformer.encode).parameters)
    mine = dict(inspect.signature(TwinheadSentenceTransformer.encode).parameters)
    del theirs["kwargs"], mine["sentences"]
    assert list(mine) == list(theirs)
    for name in theirs:
        if name != "inputs":  # which has a former name
            assert mine[name].default == theirs[name].default, name
    assert callable(getattr(TwinheadSentenceTransformer, method))


@pytest.mark.parametrize(
    "inputs",
    [tuple(SENTENCES), np.array(SENTENCES), SENTENCES[:1], "word " * 400],
    ids=["tuple", "array", "one", "long"],
)
def test_the_results_are_those_of_the_original_in_every_form(ours, original, inputs):
    same(ours.encode(inputs), original.encode(inputs))


@pytest.mark.parametrize("inputs", [SENTENCES, SENTENCES[0], []], ids=["list", "string", "nothing"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 2},
        {"convert_to_tensor": True},
        {"convert_to_tensor": True, "device": "cpu"},
        {"convert_to_numpy": False},
        {"convert_to_numpy": False, "convert_to_tensor": True},
        {"normalize_embeddings": True},
        {"truncate_dim": 100},
        {"truncate_dim": 100, "normalize_embeddings": True},
        {"prompt": "passage: "},
        {"prompt_name": "shout"},
        {"show_progress_bar": False, "output_value": "sentence_embedding", "precision": None},
        {"precision": "binary"},
        {"precision": "ubinary", "convert_to_tensor": True},
    ],
    ids=str,
)
def test_the_results_are_those_of_the_original(ours, original, inputs, options):
    same(ours.encode(inputs, **options), original.encode(inputs, **options))


@pytest.mark.parametrize("precision", ["int8", "uint8"])
@pytest.mark.parametrize("convert_to_numpy", [True, False])
def test_quantised_results_are_those_of_the_original(ours, original, precision, convert_to_numpy):
    options = {"precision": precision, "convert_to_numpy": convert_to_numpy}
    same(ours.encode(SENTENCES, **options), original.encode(SENTENCES, **options))


@pytest.mark.parametrize("method", ["encode_query", "encode_document"])
def test_queries_and_documents_have_their_prompts(ours, original, method):
    for options in ({}, {"prompt": "x: "}, {"prompt_name": "shout"}, {"truncate_dim": 7}):
        same(
            getattr(ours, method)(SENTENCES, **options),
            getattr(original, method)(SENTENCES, **options),
        )
    same(getattr(ours, method)("Hm.", "shout"), getattr(original, method)("Hm.", "shout"))


def test_a_default_prompt_and_dimensions_are_for_all_calls(starter_worker, whole_starter):
    how = {"prompts": PROMPTS, "default_prompt_name": "shout", "truncate_dim": 50}
    original = SentenceTransformer(str(whole_starter), device="cpu", **how)
    with TwinheadSentenceTransformer(starter_worker.target, **how) as ours:
        for method in ("encode", "encode_query", "encode_document"):
            same(getattr(ours, method)(SENTENCES), getattr(original, method)(SENTENCES))
        assert ours.get_embedding_dimension() == original.get_embedding_dimension() == 50


def test_what_a_model_says_of_itself(ours, original):
    assert ours.get_embedding_dimension() == original.get_embedding_dimension() == 384
    assert ours.get_sentence_embedding_dimension() == 384
    assert ours.max_seq_length == original.max_seq_length == 256
    assert ours.similarity_fn_name == original.similarity_fn_name
    assert ours.prompts == original.prompts


def test_the_former_name_of_the_sentences(ours):
    np.testing.assert_array_equal(ours.encode(sentences=["Hm."]), ours.encode(["Hm."]))


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_those_of_the_original(starter_worker, original, function):
    how = {"similarity_fn_name": function}
    with TwinheadSentenceTransformer(starter_worker.target, **how) as ours:
        mine, theirs = ours.encode(SENTENCES), original.encode(SENTENCES)
        original.similarity_fn_name = function
        for method in ("similarity", "similarity_pairwise"):
            torch.testing.assert_close(
                getattr(ours, method)(mine, mine[::-1].copy()),
                getattr(original, method)(theirs, theirs[::-1].copy()),
                atol=1e-4,
                rtol=0,
            )
    original.similarity_fn_name = "cosine"


def test_search_and_mining_take_it_for_a_model(ours, original):
    for model in (ours, original):
        hits = util.semantic_search(model.encode("A goal!"), model.encode(SENTENCES), top_k=2)
        assert hits[0][0]["corpus_id"] == 4
        assert util.paraphrase_mining(model, SENTENCES)[0][1:] == [0, 4]


def test_evaluators_take_it_for_a_model(ours, original):
    evaluators = [
        EmbeddingSimilarityEvaluator(
            SENTENCES[:3], ["He shot two goals.", "The stock market", "Hm."], [1.0, 0.6, 0.0]
        ),
        InformationRetrievalEvaluator(
            {"q1": "A goal!", "q2": "The stock market"},
            {str(number): text for number, text in enumerate(SENTENCES)},
            {"q1": {"0", "4"}, "q2": {"1"}},
            accuracy_at_k=[1],
            precision_recall_at_k=[2],
            mrr_at_k=[2],
            ndcg_at_k=[2],
            map_at_k=[2],
        ),
    ]
    for evaluator in evaluators:
        figures = evaluator(ours)
        assert figures == pytest.approx(evaluator(original), abs=1e-5)
        assert figures[evaluator.primary_metric] > 0.5


def test_what_a_worker_does_not_encode_is_told_or_zeros(ours, starter_worker):
    with pytest.raises(UnansweredSentencesError, match=r"row 1 \(the sentence is empty\)"):
        ours.encode(["Hm.", ""])
    with pytest.raises(UnansweredSentencesError, match="row 0"):
        ours.encode(" ")
    with TwinheadSentenceTransformer(starter_worker.target, unanswered="zeros") as lenient:
        vectors = lenient.encode(["Hm.", ""], normalize_embeddings=True)
        assert vectors[1].tolist() == [0] * 384
        np.testing.assert_allclose(np.linalg.norm(vectors[0]), 1, rtol=1e-5)


def test_a_version_can_be_pinned(starter_worker):
    with TwinheadSentenceTransformer(starter_worker.target, model_version="0" * 16) as pinned:
        with pytest.raises(VersionNotLiveError):
            pinned.encode("Hm.")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"output_value": "token_embeddings"}, ValueError, "sentence embeddings only"),
        ({"prompt_name": "mumble"}, ValueError, "there are query, document, shout"),
        ({"batch_size": 0}, ValueError, "batch_size must be 1 or more"),
        ({"inputs": None}, TypeError, "there is nothing to encode"),
        ({"inputs": [("a", "pair")]}, TypeError, "row 0 is no string"),
        ({"inputs": {"image": "a"}}, TypeError, "a dict has no order"),
        ({"task": "query"}, TypeError, "task"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_told(ours, options, error, said):
    with pytest.raises(error, match=said):
        ours.encode(**{"inputs": ["Hm."], **options})


def test_an_unknown_default_prompt_is_told_at_once():
    with pytest.raises(ValueError, match="no prompt is called 'mumble'"):
        TwinheadSentenceTransformer("localhost:1", default_prompt_name="mumble")


def test_arrays_need_neither_torch_nor_the_library(starter_worker):
    script = f"""
import sys
from twinhead.client.adapters.sentence_transformers import TwinheadSentenceTransformer
print(TwinheadSentenceTransformer({starter_worker.target!r}).encode(["Hm."] * 40).shape)
print(*sorted({{"torch", "sentence_transformers"}} & {{*sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(40, 384)\n\n"
