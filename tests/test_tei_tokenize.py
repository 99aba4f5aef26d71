"""Tokens by `tei.v1.Tokenize`: ids, places in bytes, and back to text."""

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import DebugWorker, wait_until
from debug_model import debug_model
from tei_calls import LENGTH, VARINT, parsed, raw, refused, stubs
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from twinhead.model.tokenizer import Tokenizer
from twinhead.protocols import tei_service_pb2 as tei

TOKENIZE, DECODE = "/tei.v1.Tokenize/Tokenize", "/tei.v1.Tokenize/Decode"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "hello", "world", "wo", "un", "##believ", "##ably", "\u20ac", "\u65e5", ",", "!"]
HELLO, WORLD = WORDS.index("hello"), WORDS.index("world")
MOST = 20_000


def start(tokenizer: Tokenizer, **settings: object) -> DebugWorker:
    model = dataclasses.replace(debug_model(), tokenizer=tokenizer)
    return DebugWorker(load=lambda *_: model, tei=True, **settings)


def word_pieces() -> Tokenizer:
    """Lower-cases, and takes accents off."""
    ids = {word: number for number, word in enumerate(WORDS)}
    return Tokenizer(BertWordPieceTokenizer(ids).to_str().encode(), 16)


@pytest.fixture(scope="module")
def worker() -> Iterator[DebugWorker]:
    worker = start(word_pieces(), characters_per_sentence=MOST)
    yield worker
    worker.close()


def test_the_bytes_are_those_of_text_embeddings_inference(worker):
    with grpc.insecure_channel(worker.target) as channel:
        # inputs = 1, add_special_tokens = 2
        tokens = parsed(raw(channel, TOKENIZE, b"\x0a\x07w\xc3\xb6 \xe2\x82\xac\x10\x01"))
        assert [(number, kind) for number, kind, _ in tokens] == [(1, LENGTH)] * 4
        first, wo, euro, last = (parsed(token) for _, _, token in tokens)
        # id = 1, text = 2, special = 3, start = 4, stop = 5
        assert first == [(1, VARINT, 2), (2, LENGTH, b"[CLS]"), (3, VARINT, 1)]
        assert last == [(1, VARINT, 3), (2, LENGTH, b"[SEP]"), (3, VARINT, 1)]
        # (A place of 0 is sent, as it is not the same as none.)
        assert wo[1:] == [(2, LENGTH, "w\u00f6".encode()), (4, VARINT, 0), (5, VARINT, 3)]
        assert euro[1:] == [(2, LENGTH, "\u20ac".encode()), (4, VARINT, 4), (5, VARINT, 7)]
        # ids = 1, skip_special_tokens = 2
        packed = b"\x0a\x04\x02\x05\x06\x03\x10\x01"
        assert parsed(raw(channel, DECODE, packed)) == [(1, LENGTH, b"hello world")]
        one_by_one = b"\x08\x02\x08\x05\x08\x06\x08\x03"
        assert parsed(raw(channel, DECODE, one_by_one)) == [(1, LENGTH, b"[CLS] hello world [SEP]")]


@pytest.mark.parametrize(
    "text",
    [
        "Hello, World!",
        "  H\u00e9llo\tw\u00f6rld  ",
        "\u65e5\u672c\u8a9e and \N{GRINNING FACE}\N{GRINNING FACE} unbelievably",
        "hello " * 500,
    ],
)
@pytest.mark.parametrize("special", [False, True])
def test_places_are_bytes_of_the_text_and_nothing_is_cut(worker, text, special):
    with stubs(worker.target) as call:
        request = tei.EncodeRequest(inputs=text, add_special_tokens=special)
        tokens = list(call.tokenize.Tokenize(request).tokens)
    if special:
        first, *tokens, last = tokens
        for token, name in ((first, "[CLS]"), (last, "[SEP]")):
            assert (token.text, token.special) == (name, True)
            assert not token.HasField("start")
            assert not token.HasField("stop")
    data, end = text.encode(), 0
    for token in tokens:
        assert not token.special
        assert token.HasField("start")
        assert data[token.start : token.stop].decode() == token.text
        assert data[end : token.start].strip() == b""
        end = token.stop
    assert data[end:].strip() == b""


def test_tokens_of_single_bytes_have_the_place_of_their_character():
    bytewise = ByteLevelBPETokenizer()
    bytewise.train_from_iterator([""], vocab_size=256, show_progress=False)
    tokenizer = Tokenizer(bytewise.to_str().encode(), 16)
    worker = start(tokenizer)
    try:
        with stubs(worker.target) as call:
            tokens = call.tokenize.Tokenize(tei.EncodeRequest(inputs="a\N{GRINNING FACE}")).tokens
            ids = [token.id for token in tokens]
            assert call.tokenize.Decode(tei.DecodeRequest(ids=ids)).text == "a\N{GRINNING FACE}"
    finally:
        worker.close()
    assert [(token.start, token.stop) for token in tokens] == [(0, 1), *[(1, 5)] * 4]


def test_white_space_has_no_tokens(worker):
    with stubs(worker.target) as call:
        assert not call.tokenize.Tokenize(tei.EncodeRequest(inputs=" \n")).tokens


def test_unknown_ids_are_left_out(worker):
    ids = [HELLO, 2**32 - 1, WORLD]
    with stubs(worker.target) as call:
        assert call.tokenize.Decode(tei.DecodeRequest(ids=ids)).text == "hello world"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (tei.EncodeRequest(), "inputs"),
        (tei.EncodeRequest(inputs="x" * (MOST + 1)), "inputs"),
        (tei.EncodeRequest(inputs="x", prompt_name="query"), "prompt_name"),
        (tei.DecodeRequest(), "ids"),
        (tei.DecodeRequest(ids=[HELLO] * (MOST + 1)), "ids"),
    ],
)
def test_what_has_no_answer_is_refused_with_its_field(worker, request_, named):
    wanted = ("INVALID_ARGUMENT", "INVALID_REQUEST", [named])
    with stubs(worker.target) as call:
        tokens = isinstance(request_, tei.EncodeRequest)
        alone = call.tokenize.Tokenize if tokens else call.tokenize.Decode
        stream = call.tokenize.TokenizeStream if tokens else call.tokenize.DecodeStream
        assert refused(lambda: alone(request_)) == wanted
        assert refused(lambda: list(stream(iter([request_])))) == wanted


def test_streams_answer_in_order(worker):
    texts = [" ".join(["hello"] * (n % 9 + 1)) for n in range(200)]
    with stubs(worker.target) as call:
        encoded = list(
            call.tokenize.TokenizeStream(tei.EncodeRequest(inputs=text) for text in texts)
        )
        ids = [[token.id for token in one.tokens] for one in encoded]
        decoded = list(call.tokenize.DecodeStream(tei.DecodeRequest(ids=each) for each in ids))
    assert [one.text for one in decoded] == texts


def test_it_is_the_tokenizer_of_the_live_version(start_debug_worker):
    worker = start_debug_worker(tei=True)
    with stubs(worker.target) as call:
        assert call.tokenize.Decode(tei.DecodeRequest(ids=[HELLO])).text == f"w{HELLO - 4}"
        other = word_pieces()
        model = dataclasses.replace(worker.model, tokenizer=other, version="debug1")
        worker.worker._serving.publish(model)
        assert call.tokenize.Decode(tei.DecodeRequest(ids=[HELLO])).text == "hello"


def test_streams_end_when_the_worker_drains(start_debug_worker):
    worker = start_debug_worker(tei=True)
    over, answered = threading.Event(), threading.Event()

    def texts() -> Iterator[tei.EncodeRequest]:
        yield tei.EncodeRequest(inputs="w1")
        over.wait(60)

    with stubs(worker.target) as call, ThreadPoolExecutor(1) as pool:

        def read() -> None:
            for _ in call.tokenize.TokenizeStream(texts()):
                answered.set()

        reading = pool.submit(lambda: refused(read))
        answered.wait(30)
        assert worker.drain()
        wait_until(reading.done)
        over.set()
        assert reading.result()[:2] == ("UNAVAILABLE", "DRAINING")
