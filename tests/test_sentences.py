"""Sentences in every form that callers have them in."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from twinhead.client.sentences import SentenceBatches, each, sentence_list

WORDS = ["What a match!", "", "日本 🏅"]
NUMPY_STRING = np.dtypes.StringDType(na_object=None)

FORMS = {
    "list": WORDS,
    "tuple": tuple(WORDS),
    "numpy of str": np.array(WORDS),
    "numpy of objects": np.array(WORDS, dtype=object),
    "numpy StringDType": np.array(WORDS, dtype=NUMPY_STRING),
    "a row of a matrix": np.array([WORDS, WORDS])[1],
    "pandas Series": pd.Series(WORDS, index=[9, 8, 7]),
    "pandas Series of objects": pd.Series(WORDS, dtype=object),
    "pandas Series of categories": pd.Series(WORDS, dtype="category"),
    "pandas Series of Arrow": pd.Series(WORDS, dtype="string[pyarrow]"),
    "pandas Index": pd.Index(WORDS),
    "Arrow array": pa.array(WORDS),
    "Arrow large strings": pa.array(WORDS, pa.large_string()),
    "Arrow dictionary": pa.array(WORDS).dictionary_encode(),
    "Arrow chunks": pa.chunked_array([WORDS[:1], WORDS[1:]]),
    "a column of an Arrow table": pa.table({"text": WORDS})["text"],
    "dict values": {"a": WORDS[0], "b": WORDS[1], "c": WORDS[2]}.values(),
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_gives_the_same_sentences(form):
    assert sentence_list(FORMS[form]) == WORDS
    batches = [batch async for batch in SentenceBatches(FORMS[form], 2)]
    assert batches == [WORDS[:2], WORDS[2:]]


def test_a_generator_is_read_to_its_end():
    assert sentence_list(word for word in WORDS) == WORDS


@pytest.mark.parametrize(
    "missing",
    [
        ["a", None],
        ("a", 3.5),
        ["a", b"bytes"],
        np.array(["a", None], dtype=object),
        np.array(["a", None], dtype=NUMPY_STRING),
        pd.Series(["a", None]),
        pd.Series(["a", float("nan")], dtype=object),
        pd.Series(["a", pd.NA], dtype="string"),
        pa.array(["a", None]),
        pa.chunked_array([["a"], [None]]),
        (each for each in ["a", None]),
    ],
    ids=lambda missing: type(missing).__name__,
)
def test_what_is_no_string_is_told_with_its_row(missing):
    with pytest.raises(TypeError, match=r"^row 1 is no string but .*; leave such rows out"):
        sentence_list(missing)


def test_numbers_are_no_sentences():
    with pytest.raises(TypeError, match=r"row 0 is no string but np\.float64"):
        sentence_list(np.zeros(3))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("Hello", "must be a list of strings, not one str"),
        (b"Hello", "must be a list of strings, not one bytes"),
        (bytearray(b"Hello"), "not one bytearray"),
        (np.str_("Hello"), "not one str_"),
        (np.array("Hello"), "one dimension; this ndarray has 0"),
        (np.array([["a"], ["b"]]), "one dimension; this ndarray has 2, choose a column"),
        (pd.DataFrame({"text": ["a"]}), "one dimension; this DataFrame has 2, choose a column"),
        (pa.table({"text": ["a"]}), "row 0 is no string but {'text': 'a'}"),
        ({"a", "b"}, "a set has no order"),
        ({"a": "b"}, "a dict has no order"),
        (None, "must be a list of strings, not NoneType"),
        (3, "must be a list of strings, not int"),
    ],
    ids=lambda what: type(what).__name__,
)
def test_what_is_no_row_of_sentences_is_refused(what, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        sentence_list(what)
    if not isinstance(what, pa.Table):
        with pytest.raises(TypeError, match=re.escape(said)):
            SentenceBatches(what, 1)


async def test_the_row_is_counted_over_all_batches():
    batches = SentenceBatches(["a", "b", "c", None], 2)
    assert await anext(batches) == ["a", "b"]
    with pytest.raises(TypeError, match=r"^row 3 "):
        await anext(batches)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_sentence_is_read_before_its_batch_is_asked_for(asynchronous):
    read = []

    def source():
        for number in range(100):
            read.append(number)
            yield str(number)

    async def asynchronously():
        for sentence in source():
            yield sentence

    batches = SentenceBatches(asynchronously() if asynchronous else source(), 3)
    assert read == []
    assert await anext(batches) == ["0", "1", "2"]
    assert await anext(batches) == ["3", "4", "5"]
    assert read == [0, 1, 2, 3, 4, 5]


async def test_no_sentence_makes_no_batch():
    assert [batch async for batch in SentenceBatches([], 3)] == []


def test_a_batch_has_a_sentence():
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        SentenceBatches(["a"], 0)


def test_what_cannot_be_iterated_over_is_told_at_once():
    with pytest.raises(TypeError, match="not iterable"):
        each(5)


def test_nobody_imports_what_the_caller_has_not():
    script = """
import sys
from twinhead.client import AsyncClient, Client, InferOptions, UnansweredSentencesError
print(*sorted({"pandas", "pyarrow", "langchain_core", "sentence_transformers"} & {*sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"\n"
