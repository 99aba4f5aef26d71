"""Questions of `tei.v1` as requests of our own, and their answers with what they took."""

import pytest
from debug_model import MAX_TOKENS
from tei_calls import refused, stubs
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.server.errors import InvalidRequestError
from twinhead.server.tei_embed import EmbedQuestion
from twinhead.server.tei_question import is_left, refuse_prompt


def test_directions():
    assert not is_left(tei.TRUNCATION_DIRECTION_RIGHT)
    assert is_left(tei.TRUNCATION_DIRECTION_LEFT)
    for unknown in (2, -1, 2**31 - 1):
        with pytest.raises(InvalidRequestError, match=f"unknown value {unknown}"):
            is_left(unknown)


def test_there_are_no_prompts():
    refuse_prompt("")
    with pytest.raises(InvalidRequestError, match="prompt_name"):
        refuse_prompt("query")


def test_the_same_questions_are_equal():
    options = {"truncate": True, "left": False, "normalize": True, "dimensions": None}
    question = EmbedQuestion(**options)
    assert question == EmbedQuestion(**options)
    for other in ({"truncate": False}, {"left": True}, {"normalize": False}, {"dimensions": 3}):
        assert question != EmbedQuestion(**options | other)


@pytest.mark.parametrize(
    ("text", "characters", "tokens"),
    [
        ("w1", 2, 3),
        ("w1 w2\tw3 ", 9, 5),
        ("w1 \N{GRINNING FACE} \N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}", 7, 5),
        ("w1 " * 500, 1500, MAX_TOKENS),
        ("w1 " * 2000, 6000, MAX_TOKENS),
    ],
)
def test_answers_say_what_they_took(start_debug_worker, text, characters, tokens):
    worker = start_debug_worker(tei=True, characters_per_sentence=5000)
    request = tei.EmbedRequest(inputs=text, truncate=True)
    with stubs(worker.target) as call:
        alone = call.embed.Embed(request).metadata
        (streamed,) = call.embed.EmbedStream(iter([request]))
    for took in (alone, streamed.metadata):
        assert (took.compute_chars, took.compute_tokens) == (characters, tokens)
        assert took.total_time_ns >= took.tokenization_time_ns > 0
        assert took.total_time_ns >= took.inference_time_ns > 0


@pytest.mark.parametrize(
    ("truncate", "advice"),
    [(False, "with `truncate` its end would be cut"), (True, "only the end of a text can be cut")],
)
def test_a_text_that_is_too_long_gets_advice(start_debug_worker, truncate, advice, caplog):
    worker = start_debug_worker(tei=True)
    question = EmbedQuestion(truncate=truncate, left=truncate, normalize=True, dimensions=None)
    with pytest.raises(InvalidRequestError) as caught:
        worker.run(question.ask(worker.worker._pipeline, "w1 " * MAX_TOKENS))
    assert f"{MAX_TOKENS + 2} tokens, and the model takes {MAX_TOKENS}" in str(caught.value)
    assert advice in str(caught.value)


def test_a_text_with_more_characters_than_are_read_is_too_long(start_debug_worker):
    worker = start_debug_worker(tei=True, characters_per_sentence=100)
    with stubs(worker.target) as call:
        request = tei.EmbedRequest(inputs="w1 " + " " * 200)
        assert refused(lambda: call.embed.Embed(request))[2] == ["inputs"]
        assert refused(lambda: list(call.embed.EmbedStream(iter([request]))))[2] == ["inputs"]
