"""Words of a text, and which token stands for each."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_encoders import FAMILIES, SENTENCES, write_encoder
from twinhead.model.tokenizer import Tokenizer
from twinhead.model.words import first_tokens, split_words

TEXT = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("aé e\u0301ñ  \t\n.,東京ไทย🙂👍🏽🇫🇷\u200d\u200b\0\u00a0_9-'"),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n\u00a0\u3000", []),
        ("one", ["one"]),
        ("one two", ["one", "two"]),
        ("  one   two  ", ["one", "two"]),
        ("Anna, in Paris.", ["Anna", ",", "in", "Paris", "."]),
        ("don't e-mail", ["don", "'", "t", "e", "-", "mail"]),
        ("3.14 snake_case B2B", ["3", ".", "14", "snake_case", "B2B"]),
        ("...", [".", ".", "."]),
        ("café naïve Łódź", ["café", "naïve", "Łódź"]),
        ("cafe\u0301 e\u0301e\u0301", ["cafe\u0301", "e\u0301e\u0301"]),
        ("!\u0301x", ["!\u0301", "x"]),
        ("東京大学", ["東", "京", "大", "学"]),
        ("in東京to", ["in", "東", "京", "to"]),
        ("カタ ひら", ["カ", "タ", "ひ", "ら"]),
        ("か\u3099", ["か\u3099"]),  # a voiced mark of its own
        ("한국어 문장", ["한국어", "문장"]),
        ("ก\u0e34น", ["ก\u0e34", "น"]),  # Thai: a vowel sign stays with its letter
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("Привет, мир", ["Привет", ",", "мир"]),
        ("😀😀 ok", ["😀", "😀", "ok"]),
        ("👍🏽👍🏽!", ["👍🏽", "👍🏽", "!"]),
        ("👩‍👩‍👧‍👦🏳️‍🌈x", ["👩‍👩‍👧‍👦", "🏳️‍🌈", "x"]),
        ("🇫🇷🇩🇪 ❤️1️⃣", ["🇫🇷", "🇩🇪", "❤️", "1️⃣"]),
        ("\U00020000x", ["\U00020000", "x"]),  # Han beyond the first plane
        ("a\0b\x07c\u200bd", ["a", "b", "c", "d"]),
        ("\u200e", []),
    ],
)
def test_split_words(text, words):
    spans = split_words(text)
    assert [text[start:end] for start, end in spans] == words


@settings(deadline=None, max_examples=300)
@given(text=TEXT)
def test_words_are_in_order_and_cover_what_is_visible(text):
    end_before = 0
    for start, end in split_words(text):
        assert end_before <= start < end <= len(text)
        assert not any(character.isspace() for character in text[start:end])
        end_before = end
    covered = {place for start, end in split_words(text) for place in range(start, end)}
    for place, character in enumerate(text):
        if character.isalnum():
            assert place in covered, (place, character)


@pytest.mark.parametrize(
    ("words", "offsets", "expected"),
    [
        ([], [], []),
        ([], [(0, 0), (0, 3), (0, 0)], []),
        ([(0, 3)], [], [-1]),
        ([(0, 3)], [(0, 0), (0, 0)], [-1]),
        ([(0, 3), (4, 7)], [(0, 0), (0, 3), (4, 7), (0, 0)], [1, 2]),
        # pieces of a word: the first of them
        ([(0, 6), (7, 9)], [(0, 0), (0, 2), (2, 6), (7, 8), (8, 9)], [1, 3]),
        # a token that begins with the space before its word, as of byte-level BPE
        ([(0, 3), (4, 7)], [(0, 3), (3, 7)], [0, 1]),
        # spaces that are a token of their own
        ([(0, 1), (4, 5)], [(0, 1), (1, 3), (3, 5)], [0, 2]),
        # one token over several words
        ([(0, 1), (1, 2), (2, 4)], [(0, 2), (2, 4)], [0, 0, 1]),
        ([(0, 1), (1, 2), (2, 4)], [(0, 4)], [0, 0, 0]),
        # several tokens on one character, as of an emoji in bytes
        ([(0, 1), (1, 2)], [(0, 1), (0, 1), (0, 1), (1, 2)], [0, 3]),
        # a word that the tokenizer drops, and one that was cut off
        ([(0, 1), (2, 3), (4, 5)], [(0, 1), (4, 5)], [0, -1, 1]),
        ([(0, 1), (2, 3), (4, 5)], [(0, 1), (2, 3), (0, 0)], [0, 1, -1]),
    ],
)
def test_first_tokens(words, offsets, expected):
    assert first_tokens(words, offsets) == expected


def spans(lengths: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans without overlaps, from gaps and lengths."""
    found: list[tuple[int, int]] = []
    place = 0
    for gap, length in lengths:
        found.append((place + gap, place + gap + length))
        place += gap + length
    return found


gaps = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=12)


@settings(deadline=None, max_examples=300)
@given(words=gaps.map(spans), tokens=gaps.map(spans))
def test_a_words_token_is_the_first_that_overlaps_it(words, tokens):
    offsets = [(0, 0), *tokens, (0, 0)]
    expected = [
        next(
            (
                index
                for index, (start, end) in enumerate(offsets)
                if start < end and start < word[1] and word[0] < end
            ),
            -1,
        )
        for word in words
    ]
    assert first_tokens(words, offsets) == expected


# --- with real tokenizers


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {
        family: Tokenizer.load(write_encoder(root / family, family), 500)
        for family in ("bert", "roberta", "modernbert", "deberta-v3")
    }


def test_the_tokenizers_are_of_different_kinds():
    assert {"bert", "roberta", "modernbert", "deberta-v3"} <= set(FAMILIES)


families = pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "deberta-v3"])


@families
@pytest.mark.parametrize(
    "text",
    [
        "Anna Smith works in Paris",
        "Où  est   le CAFÉ  de l'École ?",
        "cafe\u0301 e\u0301cole",
        "🙂 Anna 👍🏽 in 東京 since 2019",
        "日本語 中文",
        " İstanbul  ÅNGSTRÖM",
        "supercalifragilistic dog",
    ],
)
def test_each_word_is_found_in_its_own_token(tokenizers, family, text):
    """Offsets are of the text as it was given: case, accents and spaces included."""
    (sentence,) = tokenizers[family]([text], offsets=True)
    assert sentence.offsets is not None
    assert len(sentence.offsets) == len(sentence.ids)
    assert sentence.offsets[0][0] == sentence.offsets[0][1]
    words = split_words(text)
    chosen = first_tokens(words, sentence.offsets)
    start_before = 0
    for (start, end), token in zip(words, chosen, strict=True):
        assert token > 0, text[start:end]
        begin, finish = sentence.offsets[token]
        # It holds the word's first character, and before it no more than spaces, unless it stands
        # for the word before as well: a token may be several ideographs, or bytes of two.
        assert begin <= start < finish, (text[start:end], begin, finish)
        assert text[begin:start].strip() == "" or begin >= start_before, text[start:end]
        assert text[begin:start].strip() == "" or not text[start].isascii(), text[start:end]
        start_before = begin
    assert chosen == sorted(chosen)


@families
@settings(deadline=None, max_examples=150)
@given(text=TEXT)
@example(text="\u0344\u0345 x")
@example(text="ﬁne ﷺ ½")
def test_any_text(tokenizers, family, text):
    (sentence,) = tokenizers[family]([text], offsets=True)
    (plain,) = tokenizers[family]([text])
    assert sentence.offsets is not None
    assert sentence.ids == plain.ids
    assert plain.offsets is None
    for start, end in sentence.offsets:
        assert 0 <= start <= end <= len(text)
    words = split_words(text)
    for (start, end), token in zip(words, first_tokens(words, sentence.offsets), strict=True):
        if token >= 0:
            begin, finish = sentence.offsets[token]
            assert begin < end
            assert start < finish
        elif family != "bert":  # BERT drops marks that stand alone, and control characters
            assert not text[start:end].isascii(), text[start:end]


@families
def test_offsets_of_a_long_text(tokenizers, family, monkeypatch):
    """Truncation and chunks leave each sentence its own offsets."""
    monkeypatch.setattr("twinhead.model.tokenizer._CHUNK_CHARACTERS", 40)
    together = tokenizers[family](SENTENCES, offsets=True)
    for text, sentence in zip(SENTENCES, together, strict=True):
        assert tokenizers[family]([text], offsets=True) == [sentence]
        assert max(end for _, end in sentence.offsets or []) <= len(text)
