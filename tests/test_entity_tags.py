"""Entity tags: IOB1 and IOB2 in, IOB2 out, and spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twinhead.model.entity_tags import TagSpan, spans_of, split_tag, to_iob2

TAGS = st.lists(
    st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "NOUN", "B-", "I-I-X", "B", ""])
)


@pytest.mark.parametrize(
    ("tag", "prefix", "label"),
    [
        ("O", "O", ""),
        ("B-PER", "B", "PER"),
        ("I-PER", "I", "PER"),
        ("B-WORK-OF-ART", "B", "WORK-OF-ART"),
        ("I-I-X", "I", "I-X"),
        ("NOUN", "B", "NOUN"),
        ("E-PER", "B", "E-PER"),
        ("B-", "B", "B-"),
        ("B", "B", "B"),
        ("o", "B", "o"),
    ],
)
def test_split_tag(tag, prefix, label):
    assert split_tag(tag) == (prefix, label)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", ""),
        ("O O", "O O"),
        # IOB1: B- only between neighbours of one type
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
        # IOB2 stays as it is
        ("B-PER I-PER O B-LOC B-LOC I-LOC", "B-PER I-PER O B-LOC B-LOC I-LOC"),
        # stray I-
        ("O I-PER", "O B-PER"),
        ("B-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
        ("B-PER O I-PER", "B-PER O B-PER"),
        # without prefix
        ("NOUN NOUN VERB", "NOUN NOUN VERB"),
        ("PER I-PER", "PER B-PER"),
        ("B-PER PER I-PER", "B-PER PER B-PER"),
    ],
)
def test_to_iob2(tags, expected):
    assert to_iob2(tags.split()) == expected.split()


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-PER", [(0, 0, "PER")]),
        ("B-PER I-PER O B-LOC", [(0, 1, "PER"), (3, 3, "LOC")]),
        ("I-PER I-PER I-LOC", [(0, 1, "PER"), (2, 2, "LOC")]),
        ("B-PER B-PER I-PER", [(0, 0, "PER"), (1, 2, "PER")]),
        ("O I-PER O I-PER I-PER", [(1, 1, "PER"), (3, 4, "PER")]),
        ("NOUN NOUN", [(0, 0, "NOUN"), (1, 1, "NOUN")]),
        ("PER I-PER I-PER", [(0, 0, "PER"), (1, 2, "PER")]),
    ],
)
def test_spans(tags, spans):
    assert spans_of(tags.split()) == [TagSpan(*span) for span in spans]


@given(tags=TAGS)
def test_iob2_is_a_fixed_point_with_the_same_spans(tags):
    rewritten = to_iob2(tags)
    assert len(rewritten) == len(tags)
    assert to_iob2(rewritten) == rewritten
    assert spans_of(rewritten) == spans_of(tags)
    for place, tag in enumerate(rewritten):
        if split_tag(tag)[0] == "I":  # each continues one of its own type
            assert rewritten[place - 1] in (tag, f"B-{split_tag(tag)[1]}")


@given(tags=TAGS)
def test_spans_hold_each_tagged_word_once(tags):
    covered = [place for span in spans_of(tags) for place in range(span.first, span.last + 1)]
    assert covered == [place for place, tag in enumerate(tags) if tag != "O"]
    for span in spans_of(tags):
        words = tags[span.first : span.last + 1]
        assert {split_tag(tag)[1] for tag in words} == {span.label}


@given(
    entities=st.lists(
        st.one_of(st.none(), st.tuples(st.sampled_from(["PER", "LOC"]), st.integers(1, 4)))
    )
)
def test_both_schemes_say_the_same(entities):
    """Entities written as IOB1 and as IOB2 by hand."""
    iob1: list[str] = []
    iob2: list[str] = []
    expected: list[TagSpan] = []
    for entity in entities:
        if entity is None:
            iob1.append("O")
            iob2.append("O")
            continue
        label, length = entity
        expected.append(TagSpan(len(iob2), len(iob2) + length - 1, label))
        follows = bool(iob1) and iob1[-1][2:] == label
        iob1 += [f"{'B' if follows else 'I'}-{label}", *[f"I-{label}"] * (length - 1)]
        iob2 += [f"B-{label}", *[f"I-{label}"] * (length - 1)]
    assert to_iob2(iob1) == iob2
    assert spans_of(iob1) == spans_of(iob2) == expected
