"""Texts and numbers as a page shows them: on one line, cut, and escaped."""

import html
import json
import re
from typing import Any

# So much of a text is read to show its beginning.
TEXT_READ = 1_000
TEXT_WIDTH = 240
_NAME_WIDTH = 120
KIND_TITLES = {
    "single_label": "one label a text",
    "binary": "yes or no",
    "multi_label": "any number of labels a text",
    "token": "entities in the text",
}
"""What the kinds of tasks are called."""
# Control characters, halves of surrogate pairs, and those that turn the direction of what follows,
# with which a text could pass for another one.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SCRIPT_ESCAPES = {
    ord(unsafe): f"\\u{ord(unsafe):04x}" for unsafe in ("<", ">", "&", "\u2028", "\u2029")
}


def whole_line(text: str) -> str:
    """The whole text on one line.

    Line breaks and tabs become spaces; what cannot be shown, or would turn the direction of
    writing, becomes U+FFFD.
    """
    return _UNFIT.sub("\ufffd", re.sub(r"\s+", " ", text).strip())


def one_line(text: str, width: int = TEXT_WIDTH) -> str:
    """The text as `whole_line` has it, cut after at most `width` characters."""
    line = whole_line(text[: max(TEXT_READ, 4 * width)])
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def escaped(text: str, width: int = _NAME_WIDTH) -> str:
    """One line of text for between tags or in a quoted attribute."""
    return html.escape(one_line(text, width))


def escaped_lines(text: str) -> str:
    """The whole text with its lines, for inside of a `pre` element."""
    return "\n".join(html.escape(_UNFIT.sub("\ufffd", line)) for line in text.split("\n"))


def script_json(value: Any) -> str:
    """JSON that is safe inside of a `script` element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_SCRIPT_ESCAPES)


def percent(part: float, whole: float) -> str:
    """A share with one decimal; what is more than nothing does not look like nothing."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.0005:
        return "<\u00a00.1\u00a0%"
    return ">\u00a099.9\u00a0%" if 0.9995 <= share < 1 else f"{100 * share:.1f}\u00a0%"


def counted(count: int, one: str, more: str = "") -> str:
    """Such as `1 row` or `2,000 rows`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def duration(seconds: float) -> str:
    """Such as 4.2 s, 3 min 20 s or 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
