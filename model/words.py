"""Words of a text, and which token stands for each.

A token task labels words, and a word takes what its first token says; the other tokens of a word
are ignored, in training (label -100) as in decoding. This is the usual treatment of word pieces
(Devlin et al. 2018, section 5.3).
"""

from collections.abc import Sequence

import regex

Span = tuple[int, int]
"""Begin and end (excluded) in Unicode code points."""

# A character of a script that is written without spaces; a run of other letters, digits and the
# marks that combine with them; and of all else that is visible, each character as it is seen: an
# emoji with its skin tone, a family or a flag is one.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORD = regex.compile(
    rf"(?V1){_UNSPACED}\p{{M}}*|[[\p{{L}}\p{{N}}_]--{_UNSPACED}][[\p{{L}}\p{{N}}\p{{M}}_]--{_UNSPACED}]*"
    r"|(?=[^\s\p{C}])\X"
)


def split_words(text: str) -> list[Span]:
    """The words of a text, in order."""
    return [match.span() for match in _WORD.finditer(text)]


def first_tokens(words: Sequence[Span], offsets: Sequence[Span]) -> list[int]:
    """For each word the index of the token that stands for it; -1 where there is none.

    Args:
        words: in order, without overlaps.
        offsets: of each token in the same text; empty ones (special tokens) are passed over.

    Returns:
        One index a word. A word has no token when it was cut off, or when the tokenizer drops all
        of it (control characters, for example).
    """
    chosen = [-1] * len(words)
    word = 0
    for token, (start, end) in enumerate(offsets):
        if start == end:
            continue
        while word < len(words) and words[word][1] <= start:
            word += 1
        # A token may span several words: it stands for each that begins in it.
        index = word
        while index < len(words) and words[index][0] < end:
            if chosen[index] < 0:
                chosen[index] = token
            index += 1
    return chosen
