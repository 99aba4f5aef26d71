"""Sentences to token ids: counted truncation, chunks, threads, files."""

import hashlib
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bert import write_tokenizer
from small_encoders import ROBERTA_TOKENS, write_encoder
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer
from twinhead.model import tokenizer as tokenizer_module
from twinhead.model.encoder import find_encoder
from twinhead.model.errors import CheckpointError
from twinhead.model.tokenizer import TokenizedSentence, Tokenizer

CLS, SEP = 101, 102  # of all-MiniLM-L6-v2
SENTENCES = [
    "",
    " ",
    "one",
    "Naïve café — déjà vu?",
    "日本語の文章です。",
    "👩‍👩‍👧 family, 🇫🇷 flag",
    "a\tb\n\nc\r\nd\u00a0e",
    "supercalifragilisticexpialidocious " * 40,
    "x" * 5000,  # one word that the vocabulary gives up on
    "[SEP] [MASK] written out",
    "word " * 600,
]


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return find_encoder("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def untruncated(minilm_folder: Path) -> Backend:
    """The library's own tokenizer on the same file, without padding or truncation."""
    backend = Backend.from_file(str(minilm_folder / "tokenizer.json"))
    backend.no_padding()
    backend.no_truncation()
    return backend


@pytest.fixture(scope="session")
def short(minilm_folder: Path) -> Tokenizer:
    return Tokenizer.load(minilm_folder, 12)


def check_sentence(result: TokenizedSentence, whole: list[int], max_tokens: int) -> None:
    assert result.tokens == len(whole)
    assert result.truncated == (len(whole) > max_tokens)
    assert result.ids == ([*whole[: max_tokens - 1], SEP] if len(whole) > max_tokens else whole)


@pytest.mark.parametrize("max_tokens", [3, 12, 256, 512])
def test_truncation_is_counted(minilm_folder, untruncated, max_tokens):
    results = Tokenizer.load(minilm_folder, max_tokens)(SENTENCES)
    assert len(results) == len(SENTENCES)
    for sentence, result in zip(SENTENCES, results, strict=True):
        check_sentence(result, untruncated.encode(sentence).ids, max_tokens)


def test_any_text(untruncated, short):
    @settings(deadline=None, max_examples=200)
    @given(sentences=st.lists(st.text(max_size=80), max_size=6))
    def check(sentences: list[str]) -> None:
        for sentence, result in zip(sentences, short(sentences), strict=True):
            check_sentence(result, untruncated.encode(sentence).ids, 12)

    check()


def test_each_end_has_its_special_token(short):
    for result in short(SENTENCES):
        assert result.ids[0] == CLS
        assert result.ids[-1] == SEP
    assert short.special_tokens == 2


@pytest.mark.parametrize(("words", "truncated"), [(9, False), (10, False), (11, True), (40, True)])
def test_the_boundary(short, words, truncated):
    (result,) = short(["word " * words])
    assert result.tokens == words + 2
    assert len(result.ids) == min(words + 2, 12)
    assert result.truncated is truncated


def test_padding_and_truncation_of_the_file_are_overruled(minilm_folder):
    stored = json.loads((minilm_folder / "tokenizer.json").read_text())
    assert stored["padding"]["strategy"] == {"Fixed": 128}
    assert stored["truncation"]["max_length"] == 128
    one, many = Tokenizer.load(minilm_folder, 256)(["hello", "word " * 200])
    assert len(one.ids) == 3
    assert len(many.ids) == many.tokens == 202


def test_nothing_in_nothing_out(short):
    assert short([]) == []


@pytest.mark.parametrize("characters", [1, 7, 100, 6000])
def test_chunks_change_nothing(monkeypatch, short, characters):
    expected = [short([sentence])[0] for sentence in SENTENCES]
    monkeypatch.setattr(tokenizer_module, "_CHUNK_CHARACTERS", characters)
    assert short(SENTENCES) == expected


@settings(deadline=None)
@given(sentences=st.lists(st.text(max_size=30)), bound=st.integers(1, 60))
def test_chunks_are_bounded_and_in_order(sentences, bound):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "_CHUNK_CHARACTERS", bound)
        chunks = list(tokenizer_module.chunked(sentences))
    assert [sentence for chunk in chunks for sentence in chunk] == sentences
    for chunk in chunks:
        assert chunk
        assert len(chunk) == 1 or sum(map(len, chunk)) <= bound


def test_several_threads_get_the_same(short):
    batches = [SENTENCES[start:] + SENTENCES[:start] for start in range(len(SENTENCES))] * 4
    expected = [short(batch) for batch in batches]
    barrier = threading.Barrier(4)

    def work(_: int) -> list[list[TokenizedSentence]]:
        barrier.wait(30)
        return [short(batch) for batch in batches]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            assert results == expected


def test_the_gil_is_released(short):
    """Another thread gets its turn during the call, although turns are not taken by force."""
    text = "The quick brown fox jumps over the lazy dog. " * 20_000
    start, ran = threading.Event(), threading.Event()

    def other() -> None:
        start.wait(60)
        ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60.0)
    try:
        start.set()
        total = sum(number % 7 for number in range(300_000))  # keeps the GIL all along
        before = ran.is_set()
        short([text])
        after = ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join(60)
    assert total > 0
    assert not before
    assert after


@pytest.mark.parametrize("max_tokens", [0, 1, 2])
def test_room_for_a_word_is_needed(minilm_folder, max_tokens):
    serialized = (minilm_folder / "tokenizer.json").read_bytes()
    with pytest.raises(ValueError, match="max_tokens must be more than 2"):
        Tokenizer(serialized, max_tokens)


def test_saved_byte_for_byte(tmp_path):
    write_tokenizer(tmp_path)
    written = (tmp_path / "tokenizer.json").read_bytes()
    # The library itself would lay the file out otherwise, so that writing its own text shows.
    assert written != Backend.from_buffer(written).to_str().encode()
    assert written != Backend.from_buffer(written).to_str(pretty=True).encode()
    tokenizer = Tokenizer.load(tmp_path, 9)
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "tokenizer.json").read_bytes() == written
    assert tokenizer.sha256 == hashlib.sha256(written).hexdigest()
    assert Tokenizer.load(tmp_path / "copy", 9)(["the fox"]) == tokenizer(["the fox"])


def test_a_folder_without_a_fast_tokenizer_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path, 12)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"model":3}'])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.load(tmp_path, 12)


# --- what AutoTokenizer reads


def write_config(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def saved_config(folder: Path, pad_token_id: int | None = None) -> dict[str, object]:
    copy = folder / "copy"
    copy.mkdir()
    Tokenizer.load(folder, 9).save(copy, pad_token_id)
    return json.loads((copy / "tokenizer_config.json").read_text())


def test_a_saved_tokenizer_is_read_as_it_is(tmp_path):
    """Under its own class's name transformers would build one that strips the case."""
    write_tokenizer(tmp_path)
    stored = json.loads((tmp_path / "tokenizer.json").read_text())
    stored["normalizer"]["lowercase"] = False
    write_config(tmp_path, "tokenizer.json", stored)
    write_config(tmp_path, "config.json", {"model_type": "bert"})
    text = "the Quick fox"
    own = Tokenizer.load(tmp_path, 9)([text])[0].ids
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] != own
    saved_config(tmp_path)
    write_config(tmp_path / "copy", "config.json", {"model_type": "bert"})
    reread = AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert reread(text)["input_ids"] == own
    assert reread.model_max_length == 9
    assert reread.pad_token_id == 0


def test_special_tokens_are_kept(tmp_path):
    write_encoder(tmp_path, "roberta")
    write_config(tmp_path, "special_tokens_map.json", {"pad_token": "<mask>", "mask_token": "x"})
    config = saved_config(tmp_path)
    kept = {key: value for key, value in config.items() if key.endswith("_token")}
    # The later file has the last word.
    assert kept == ROBERTA_TOKENS


def test_a_special_token_with_its_properties(tmp_path):
    write_encoder(tmp_path, "bert")
    mask = {"content": "[MASK]", "lstrip": True, "__type": "AddedToken"}
    write_config(tmp_path, "tokenizer_config.json", {"mask_token": mask, "pad_token": ["odd"]})
    config = saved_config(tmp_path)
    assert config["mask_token"] == "[MASK]"
    assert config["pad_token"] == "[PAD]"


def test_a_word_does_not_become_a_special_token(tmp_path):
    """It would be cut out of texts that hold it; here it is an ordinary word, or unknown."""
    write_tokenizer(tmp_path)
    write_config(tmp_path, "tokenizer_config.json", {"cls_token": "fox", "mask_token": "nowhere"})
    config = saved_config(tmp_path)
    assert not {"cls_token", "mask_token"} & config.keys()


@pytest.mark.parametrize(("pad_token_id", "token"), [(None, "[PAD]"), (0, "[PAD]"), (3, "[SEP]")])
def test_padding_that_no_file_names(tmp_path, pad_token_id, token):
    write_tokenizer(tmp_path)
    assert saved_config(tmp_path, pad_token_id)["pad_token"] == token


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "[" * 100_000])
def test_damaged_companions_are_refused_by_name(tmp_path, name, content):
    write_tokenizer(tmp_path)
    write_config(tmp_path, name, content)
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        Tokenizer.load(tmp_path, 9)
