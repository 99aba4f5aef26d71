"""The embeddings for LangChain, in LangChain."""

import asyncio
import threading

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from sentence_transformers import SentenceTransformer
from twinhead.client import UnansweredSentencesError, VersionNotLiveError
from twinhead.client.adapters.langchain import TwinheadEmbeddings

TEXTS = [
    "The striker scored twice.",
    "Shares fell sharply on Monday.",
    "The parliament votes on Tuesday.",
    "word " * 400,
]


@pytest.fixture
def ours(starter_worker):
    embeddings = TwinheadEmbeddings(starter_worker.target)
    yield embeddings
    embeddings.close()


@pytest.fixture(scope="module")
def expected(whole_starter) -> np.ndarray:
    model = SentenceTransformer(str(whole_starter), device="cpu")
    return model.encode(TEXTS)


def check(vectors: list[list[float]], expected: np.ndarray) -> None:
    assert isinstance(vectors, list)
    assert {type(vector) for vector in vectors} == {list}
    assert {type(value) for vector in vectors for value in vector} == {float}
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


async def test_each_method_gives_the_vectors_of_the_model(ours, expected):
    assert isinstance(ours, Embeddings)
    check(ours.embed_documents(TEXTS), expected)
    check(await ours.aembed_documents(TEXTS), expected)
    for text, vector in zip(TEXTS, expected, strict=True):
        check([ours.embed_query(text), await ours.aembed_query(text)], [vector, vector])


async def test_more_texts_than_go_into_a_request(ours, expected):
    many = TEXTS[:3] * 40
    for vectors in (ours.embed_documents(many), await ours.aembed_documents(many)):
        check(vectors, np.tile(expected[:3], (40, 1)))


async def test_no_texts_have_no_vectors(ours):
    assert ours.embed_documents([]) == []
    assert await ours.aembed_documents([]) == []


async def test_the_asynchronous_methods_wait_without_a_thread(ours):
    await ours.aembed_query("The connection has a thread of gRPC's own.")
    before = set(threading.enumerate())
    vectors = await asyncio.gather(*(ours.aembed_query(f"Query {n}.") for n in range(50)))
    assert len({tuple(vector) for vector in vectors}) == 50
    assert set(threading.enumerate()) <= before


def test_they_can_be_used_in_one_loop_after_another(ours):
    vectors = [asyncio.run(ours.aembed_query("Once more.")) for _ in range(3)]
    assert vectors[0] == vectors[1] == vectors[2]


def test_a_vector_store_finds_what_is_near(ours):
    documents = [Document(text, metadata={"row": row}) for row, text in enumerate(TEXTS)]
    store = InMemoryVectorStore.from_documents(documents, ours)
    (found,) = store.similarity_search("Who won the match?", k=1)
    assert found.metadata["row"] == 0
    ((found, score),) = store.similarity_search_with_score("the stock market", k=1)
    assert (found.metadata["row"], score > 0.2) == (1, True)
    retrieved = store.as_retriever(search_kwargs={"k": 2}).invoke("members of parliament")
    assert retrieved[0].metadata["row"] == 2
    assert len(retrieved) == 2


async def test_a_vector_store_finds_what_is_near_asynchronously(ours):
    store = await InMemoryVectorStore.afrom_texts(TEXTS, ours)
    (found,) = await store.asimilarity_search("Who won the match?", k=1)
    assert found.page_content == TEXTS[0]


async def test_options_are_for_every_method(starter_worker, expected):
    ours = TwinheadEmbeddings(
        starter_worker.target,
        normalize=False,
        dimensions=8,
        unanswered="zeros",
        query_prompt="The striker ",
        document_prompt="Shares ",
    )
    query, document = "scored twice.", "fell sharply on Monday."
    for queried in (ours.embed_query(query), await ours.aembed_query(query)):
        assert len(queried) == 8
        np.testing.assert_allclose(direction(queried), direction(expected[0, :8]), atol=1e-5)
    for (stored,) in (ours.embed_documents([document]), await ours.aembed_documents([document])):
        np.testing.assert_allclose(direction(stored), direction(expected[1, :8]), atol=1e-5)
        assert abs(np.linalg.norm(stored) - 1) > 0.1  # not scaled
    lenient = TwinheadEmbeddings(starter_worker.target, unanswered="zeros")
    assert lenient.embed_query("") == [0.0] * 384
    ours.close()
    lenient.close()


def direction(vector) -> np.ndarray:
    return np.asarray(vector) / np.linalg.norm(vector)


async def test_what_goes_wrong_is_raised(ours, starter_worker):
    with pytest.raises(UnansweredSentencesError, match="row 1"):
        ours.embed_documents(["Hm.", ""])
    with pytest.raises(UnansweredSentencesError, match="row 0"):
        await ours.aembed_query("")
    pinned = TwinheadEmbeddings(starter_worker.target, model_version="0" * 16)
    with pytest.raises(VersionNotLiveError):
        pinned.embed_query("Hm.")
    pinned.close()
