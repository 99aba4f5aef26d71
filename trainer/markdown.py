"""Plain texts as Markdown that shows just these texts."""

import json
import re
from collections.abc import Iterator, Sequence

from ..client.report.page_text import whole_line

# A colon before a letter may begin a link or an emoji, as may the dot of `www.` and an @.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#!~$@]|:(?=\S)|(?<=www)\.)", re.IGNORECASE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}


def escaped(text: str) -> str:
    """One line of Markdown that shows just this text, in a table, too."""
    marked = _SPECIAL.sub(r"\\\1", whole_line(text))
    return re.sub("[&<>|]", lambda one: _ENTITIES[one[0]], marked)


def listed(names: Sequence[str], most: int) -> str:
    """The first names, at most `most`, on one line that is not escaped, and how many are left."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(whole_line, names[:most])) + more


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table of plain texts, and a blank line; nothing without rows."""
    if not rows:
        return
    yield "| " + " | ".join(heading) + " |"
    yield "|" + "---|" * len(heading)
    yield from ("| " + " | ".join(map(escaped, row)) + " |" for row in rows)
    yield ""


def yaml_string(text: str) -> str:
    """One line as a YAML string."""
    # A JSON string is one, once what YAML does not take is out.
    return json.dumps(whole_line(text), ensure_ascii=False)
