"""One status a sentence; a bad one never spoils the others."""

from debug_model import MAX_TOKENS, debug_tokenizer
from twinhead.server.sentence_check import tokenize
from twinhead.v1 import inference_service_pb2 as pb

TOKENIZER = debug_tokenizer()
LONG = " ".join(["w1"] * 100)


def codes(statuses):
    return [pb.SentenceCode.Name(s.code).removeprefix("SENTENCE_CODE_") for s in statuses]


def test_each_sentence_has_its_own_status():
    tokenized, statuses = tokenize(["w1 w2", "", " \n\t", LONG], TOKENIZER, 10_000, truncate=False)
    assert codes(statuses) == ["OK", "EMPTY", "EMPTY", "TOO_LONG"]
    assert [item is None for item in tokenized] == [False, True, True, True]
    assert (statuses[0].tokens, statuses[0].tokens_used) == (4, 4)
    assert statuses[3].tokens == 102
    assert "102 tokens" in statuses[3].message


def test_truncation_is_reported():
    (tokens,), (status,) = tokenize([LONG], TOKENIZER, 10_000, truncate=True)
    assert (status.truncated, status.tokens, status.tokens_used) == (True, 102, MAX_TOKENS)
    assert len(tokens.ids) == MAX_TOKENS


def test_only_so_many_characters_are_read():
    sentence = "w1 w2 " + "x" * 100
    _, (status,) = tokenize([sentence], TOKENIZER, 5, truncate=True)
    assert (status.truncated, status.tokens, status.tokens_used) == (True, 4, 4)
    _, (status,) = tokenize([sentence], TOKENIZER, 5, truncate=False)
    assert codes([status]) == ["TOO_LONG"]
    assert "more than 5 characters" in status.message


def test_what_the_tokenizer_makes_nothing_of_is_invalid(starter_client):
    statuses = starter_client.infer(["fine", "\x01\x02\u200b", "\x00"]).statuses
    assert [status.code for status in statuses] == ["ok", "invalid", "invalid"]
