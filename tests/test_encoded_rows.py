"""Rows as numbers: tokens, targets, and which token has which tag, with tokenizers of all kinds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_encoders import SENTENCES, write_encoder
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.model.tokenizer import Tokenizer
from twinhead.model.words import first_tokens, split_words
from twinhead.trainer import encoded_rows as encoded_rows_module
from twinhead.trainer.encoded_rows import MISSING, EncodedRows, encode_rows
from twinhead.trainer.labelled_rows import Label, LabelledRow

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
FLAGS = TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y", "z"))
TAGS = TaskConfig(
    name="tags", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
)
SPEECH = TaskConfig(name="speech", kind=TaskKind.TOKEN, labels=("O", "NOUN", "VERB"))
# Word pieces, bytes with and without trimmed offsets, and pieces with a space in front.
FAMILIES = ["bert", "roberta", "modernbert", "deberta-v2"]
MAX_TOKENS = 64


@pytest.fixture(scope="module", params=FAMILIES)
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    folder = write_encoder(tmp_path_factory.mktemp("encoder"), request.param)
    return Tokenizer.load(folder, MAX_TOKENS)


@pytest.fixture(scope="module")
def word_pieces(tmp_path_factory) -> Tokenizer:
    return Tokenizer.load(write_encoder(tmp_path_factory.mktemp("encoder"), "bert"), MAX_TOKENS)


def row(text: str, **labels: Label) -> LabelledRow:
    return LabelledRow(text, labels, "row")


def tagged(words: list[str], tags: str | None, task: str = "tags") -> LabelledRow:
    """A row as the reader makes it: words joined by spaces."""
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    labels = {} if tags is None else {task: tuple(tags.split())}
    return LabelledRow(" ".join(words), labels, "row", tuple(spans))


def encoded(tokenizer: Tokenizer, one: LabelledRow, task: TaskConfig = TAGS) -> EncodedRows:
    return encode_rows([[one]], [task], tokenizer)


def as_worker_asks(tokenizer: Tokenizer, one: LabelledRow, task: TaskConfig = TAGS) -> list:
    """Each word that the worker cuts the text into, with the label that its token is taught."""
    rows = encoded(tokenizer, one, task)
    (sentence,) = tokenizer([one.text], offsets=True)
    pieces = split_words(one.text)
    targets = rows.targets[task.name]
    return [
        (one.text[start:end], label_of(task, targets[token]) if token >= 0 else "cut off")
        for (start, end), token in zip(pieces, first_tokens(pieces, sentence.offsets), strict=True)
    ]


def as_measured(tokenizer: Tokenizer, one: LabelledRow, task: TaskConfig = TAGS) -> list[str]:
    """The tags of the data's words that are measured."""
    (words,) = encoded(tokenizer, one, task).words[task.name]
    return [label_of(task, tag) for tag in words[1]]


def label_of(task: TaskConfig, target: int) -> str | None:
    return None if target == MISSING else task.labels[target]


# -- tokens --


def test_tokens_of_all_rows_follow_each_other(tokenizer):
    groups = [[row(text) for text in SENTENCES[:3]], [], [row(text) for text in SENTENCES[3:]]]
    rows = encode_rows(groups, [TOPIC], tokenizer)
    assert len(rows) == len(SENTENCES)
    assert rows.dataset.tolist() == [0] * 3 + [2] * (len(SENTENCES) - 3)
    expected = [sentence.ids for sentence in tokenizer(SENTENCES)]
    found = [
        rows.ids[start:end].tolist()
        for start, end in zip(rows.starts, rows.starts[1:], strict=False)
    ]
    assert found == expected
    assert rows.lengths.tolist() == [len(ids) for ids in expected]
    assert (rows.ids.dtype, rows.starts.dtype) == (np.int32, np.int64)


def test_rows_are_tokenized_a_part_at_a_time(monkeypatch, word_pieces):
    whole = encode_rows([[row(text) for text in SENTENCES]], [TOPIC], word_pieces)
    monkeypatch.setattr(encoded_rows_module, "_TOKENIZED_AT_ONCE", 3)
    parts = encode_rows([[row(text) for text in SENTENCES]], [TOPIC], word_pieces)
    assert parts.ids.tolist() == whole.ids.tolist()
    assert parts.starts.tolist() == whole.starts.tolist()


def test_rows_that_are_cut_off_are_counted(word_pieces):
    words = "fox " * MAX_TOKENS
    rows = encode_rows([[row(words), row("fox")], [row(words)]], [TOPIC], word_pieces)
    assert rows.truncated == 2
    assert rows.lengths.tolist()[::2] == [MAX_TOKENS, MAX_TOKENS]
    room = MAX_TOKENS - word_pieces.special_tokens
    assert encode_rows([[row("fox " * room)]], [TOPIC], word_pieces).truncated == 0


def test_lengths_are_computed_once(word_pieces):
    """They are asked for once a batch."""
    rows = encode_rows([[row("fox"), row("the fox")]], [TOPIC], word_pieces)
    assert rows.lengths is rows.lengths


def test_no_rows_are_empty_arrays(word_pieces):
    rows = encode_rows([[], []], [TOPIC, FLAGS, TAGS], word_pieces)
    assert len(rows) == 0
    assert rows.starts.tolist() == [0]
    assert rows.lengths.tolist() == rows.dataset.tolist() == rows.ids.tolist() == []
    assert rows.targets["flags"].shape == (0, 3)
    for task in ("topic", "flags", "tags"):
        assert rows.labelled(task).tolist() == []


# -- labels of rows --


def test_labels_become_their_indices(word_pieces):
    rows = encode_rows(
        [
            [row("1", topic="c"), row("2", spam="yes", flags=("z", "x"))],
            [row("3", topic="a", spam="no", flags=()), row("4", topic="b", flags=("y",))],
        ],
        [TOPIC, SPAM, FLAGS],
        word_pieces,
    )
    assert rows.targets["topic"].tolist() == [2, MISSING, 0, 1]
    assert rows.targets["spam"].tolist() == [MISSING, 1, 0, MISSING]
    assert rows.targets["flags"].tolist() == [[MISSING] * 3, [1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert {targets.dtype for targets in rows.targets.values()} == {np.dtype(np.int64)}
    assert rows.labelled("topic").tolist() == [True, False, True, True]
    assert rows.labelled("spam").tolist() == [False, True, True, False]
    assert rows.labelled("flags").tolist() == [False, True, True, True]


def test_rows_with_and_without_tags_stand_together(word_pieces):
    rows = encode_rows(
        [[tagged(["Anna", "runs"], "B-PER O"), row("the fox", topic="b")]],
        [TOPIC, TAGS],
        word_pieces,
    )
    assert rows.labelled("tags").tolist() == [True, False]
    assert rows.labelled("topic").tolist() == [False, True]
    assert len(rows.targets["tags"]) == len(rows.ids)
    assert (rows.targets["tags"][rows.starts[1] :] == MISSING).all()


def test_a_token_task_is_told_from_rows_of_one_token_each():
    """As many tokens as rows: the arrays have the same length then."""
    rows = EncodedRows(
        rows=[tagged(["a"], "O"), row("b")],
        dataset=np.zeros(2, dtype=np.int64),
        ids=np.array([5, 6], dtype=np.int32),
        starts=np.array([0, 1, 2]),
        targets={"tags": np.array([0, MISSING])},
        words={"tags": [np.array([[0], [0]]), np.zeros((2, 0), dtype=np.int64)]},
        truncated=0,
    )
    assert rows.labelled("tags").tolist() == [True, False]


# -- tags of words --


def test_the_first_token_of_a_word_has_its_tag_and_no_other(tokenizer):
    one = tagged(["Anna", "Zyx", "works", "in", "Berlin"], "B-PER I-PER O O B-LOC")
    assert as_worker_asks(tokenizer, one) == [
        ("Anna", "B-PER"),
        ("Zyx", "I-PER"),
        ("works", "O"),
        ("in", "O"),
        ("Berlin", "B-LOC"),
    ]
    rows = encoded(tokenizer, one)
    assert (rows.targets["tags"] != MISSING).sum() == 5
    assert len(rows.ids) > 5 + 2  # the unknown name is in pieces
    assert rows.targets["tags"][0] == rows.targets["tags"][-1] == MISSING


def test_a_word_that_the_worker_cuts_goes_on_inside_its_entity(tokenizer):
    one = tagged(["to-day", "Anna's", "3.5", "he"], "B-PER B-LOC O I-PER")
    assert as_worker_asks(tokenizer, one) == [
        ("to", "B-PER"),
        ("-", "I-PER"),
        ("day", "I-PER"),
        ("Anna", "B-LOC"),
        ("'", "I-LOC"),
        ("s", "I-LOC"),
        ("3", "O"),
        (".", "O"),
        ("5", "O"),
        ("he", "I-PER"),
    ]
    # Measured are the words of the data, each by its first token.
    assert as_measured(tokenizer, one) == ["B-PER", "B-LOC", "O", "I-PER"]


def test_an_entity_of_cut_words_is_one(tokenizer):
    one = tagged(["Anna-Zyx", "Smith-Fox", "Anna"], "B-PER I-PER B-PER")
    assert [label for _, label in as_worker_asks(tokenizer, one)] == [
        *["B-PER", "I-PER", "I-PER"],
        *["I-PER", "I-PER", "I-PER"],
        "B-PER",
    ]


def test_words_of_several_words_are_one_entity(tokenizer):
    one = tagged(["New York", "and", "(Berlin)"], "B-LOC O B-LOC")
    assert as_worker_asks(tokenizer, one) == [
        ("New", "B-LOC"),
        ("York", "I-LOC"),
        ("and", "O"),
        ("(", "B-LOC"),
        ("Berlin", "I-LOC"),
        (")", "I-LOC"),
    ]


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", " "])
def test_a_word_begins_with_its_first_piece_whatever_is_before_it(word_pieces, mark):
    one = tagged(["in", f"{mark}Paris-Berlin"], "O B-LOC")
    assert [label for _, label in as_worker_asks(word_pieces, one)] == [
        "O",
        "B-LOC",
        "I-LOC",
        "I-LOC",
    ]


def test_without_prefixes_every_piece_has_the_words_tag(tokenizer):
    one = tagged(["to-day", "runs"], "NOUN VERB", "speech")
    assert as_worker_asks(tokenizer, one, SPEECH) == [
        ("to", "NOUN"),
        ("-", "NOUN"),
        ("day", "NOUN"),
        ("runs", "VERB"),
    ]


def test_what_goes_on_is_not_taught_when_the_task_has_no_label_for_it(tokenizer):
    task = TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-PER"))
    one = tagged(["to-day", "he"], "B-PER O")
    assert as_worker_asks(tokenizer, one, task) == [
        ("to", "B-PER"),
        ("-", None),
        ("day", None),
        ("he", "O"),
    ]


def test_scripts_without_spaces_go_on_by_the_character(tokenizer):
    one = tagged(["東京", "and", "中文"], "B-LOC O B-PER")
    found = as_worker_asks(tokenizer, one)
    assert [text for text, _ in found] == ["東", "京", "and", "中", "文"]
    assert found[0][1] == "B-LOC"
    assert found[1][1] in ("I-LOC", "B-LOC")  # where one token is both, it stands for the first
    assert as_measured(tokenizer, one) == ["B-LOC", "O", "B-PER"]


def test_a_token_of_several_words_stands_for_the_first(word_pieces):
    """The unknown sign makes one unknown token of all that is around it."""
    one = tagged(["he", "x€y"], "O B-PER")
    assert len(encoded(word_pieces, one).ids) == 4
    assert as_worker_asks(word_pieces, one)[1:] == [("x", "B-PER"), ("€", "B-PER"), ("y", "B-PER")]


def test_emoji_and_symbols_have_their_tags(tokenizer):
    one = tagged(["🙂", "!", "Anna"], "B-LOC O B-PER")
    assert as_worker_asks(tokenizer, one) == [("🙂", "B-LOC"), ("!", "O"), ("Anna", "B-PER")]


def test_words_that_truncation_cuts_off_are_left_out(tokenizer):
    words = ["Anna", "fox"] * 60
    tags = ["B-PER", "O"] * 60
    rows = encoded(tokenizer, tagged(words, " ".join(tags)))
    (found,) = rows.words["tags"]
    assert len(rows.ids) == MAX_TOKENS
    assert 0 < found.shape[1] < 120
    assert [TAGS.labels[tag] for tag in found[1]] == tags[: found.shape[1]]
    assert found[0].max() < MAX_TOKENS
    assert rows.targets["tags"].tolist().count(TAGS.labels.index("B-PER")) == -(
        -found.shape[1] // 2
    )


def test_a_word_without_any_token_is_left_out(word_pieces):
    one = tagged(["Anna", "\u200b", "runs"], "B-PER O O")
    assert as_measured(word_pieces, one) == ["B-PER", "O"]
    assert as_worker_asks(word_pieces, one) == [("Anna", "B-PER"), ("runs", "O")]


def test_rows_without_tags_have_no_words(word_pieces):
    rows = encoded(word_pieces, tagged(["Anna"], None))
    (found,) = rows.words["tags"]
    assert found.shape == (2, 0)
    assert set(rows.targets["tags"].tolist()) == {MISSING}


LETTERS = st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs", "Cn"))
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(WORDS, st.data())
@example(["to-day", "e\u0301", "👍🏽"], None)
def test_every_word_and_token_has_the_tag_that_its_place_says(tokenizer, words, data):
    tags = ["B-LOC", "I-LOC", "O", "B-PER"]
    drawn = [data.draw(st.sampled_from(tags)) if data else tags[0] for _ in words]
    one = tagged(words, " ".join(drawn))
    rows = encoded(tokenizer, one)
    targets = rows.targets["tags"]
    (sentence,) = tokenizer([one.text], offsets=True)
    owner = {place: index for index, span in enumerate(one.words) for place in range(*span)}
    for (start, end), target in zip(sentence.offsets, targets, strict=True):
        if target == MISSING:
            continue
        # The label is that of a word in which the token has characters, or goes on in it.
        inside = {drawn[owner[place]] for place in range(start, end) if place in owner}
        label = TAGS.labels[target]
        assert label in inside | {f"I-{tag[2:]}" for tag in inside if tag != "O"}
    (measured,) = rows.words["tags"]
    for token, tag in measured.T:
        start, end = sentence.offsets[token]
        assert TAGS.labels[tag] in {drawn[owner[p]] for p in range(start, end) if p in owner}
        assert targets[token] != MISSING
    assert measured[0].tolist() == sorted(measured[0].tolist())


def test_what_rows_could_have_been_given_is_known_of_tasks_where_it_is_not_all(word_pieces):
    some = replace(row("1", topic="c"), choices={"topic": ("c", "a")})
    rows = encode_rows([[row("2", topic="b")], [some]], [TOPIC, FLAGS], word_pieces)
    assert {name: offered.tolist() for name, offered in rows.offered.items()} == {
        "topic": [[True, True, True], [True, False, True]]
    }
    assert encode_rows([[row("2", topic="b")]], [TOPIC], word_pieces).offered == {}
