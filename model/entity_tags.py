"""Entity tags: IOB1 and IOB2 in, IOB2 out, and the spans that they mark (Ramshaw & Marcus 1995)."""

from collections.abc import Sequence
from dataclasses import dataclass

OUTSIDE = "O"


@dataclass(frozen=True)
class TagSpan:
    """Words `first` to `last` (included) are one entity."""

    first: int
    last: int
    label: str
    """Type of the entity, without prefix."""


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag.

    `O` gives ("O", ""). A tag without prefix, such as a part of speech, begins a span of its own
    and is never continued: `NOUN` gives ("B", "NOUN").
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, label = tag.partition("-")
    if dash and label and prefix in ("B", "I"):
        return prefix, label
    return "B", tag


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Rewrite IOB1 (or IOB2, or a model's output with stray I- tags) as IOB2.

    In IOB1 an entity begins with I-, and with B- only where it follows one of its own type; in
    IOB2 every entity begins with B-. Reading both alike is safe: an I- tag that continues nothing
    begins an entity.
    """
    rewritten: list[str] = []
    previous = ""
    for tag in tags:
        prefix, label = split_tag(tag)
        if prefix == "I" and label != previous:
            tag = f"B-{label}"
        rewritten.append(tag)
        # Only tags with a prefix can be continued.
        previous = label if tag.startswith(("B-", "I-")) else ""
    return rewritten


def spans_of(tags: Sequence[str]) -> list[TagSpan]:
    """The entities that tags mark, in order."""
    spans: list[TagSpan] = []
    for index, tag in enumerate(to_iob2(tags)):
        prefix, label = split_tag(tag)
        if prefix == "B":
            spans.append(TagSpan(index, index, label))
        elif prefix == "I":
            spans[-1] = TagSpan(spans[-1].first, index, label)
    return spans
