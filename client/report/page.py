"""The frame of each page that Twinhead writes: one HTML file that needs nothing else."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from .page_text import escaped

_TITLE_WIDTH = 200


class Section(NamedTuple):
    """A part of a page that the navigation leads to."""

    identity: str
    name: str
    """Plain text."""
    body: str
    """Markup."""


def render_page(
    title: str,
    kind: str,
    head: str,
    sections: Sequence[Section],
    *,
    style: str = "",
    script: str = "",
) -> str:
    """The page.

    Whatever texts hold, nothing of them runs if the markup has them escaped; and if one was
    forgotten, the policy lets no style and no script act but the page's own, by their digests.

    Args:
        title: the heading, plain text.
        kind: what page this is, in a few words.
        head: markup between heading and navigation, such as `facts`, `note` and cards.
        sections: in their order.
        style: what this page adds to the common look.
        script: of this page.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8") + style
    policy = f"default-src 'none'; style-src '{_digest(style)}'; "
    if script:
        policy += f"script-src '{_digest(script)}'; "
    links = "".join(f'<a href="#{one.identity}">{escaped(one.name)}</a>' for one in sections)
    shown = "\n".join(
        f'<section id="{one.identity}"><h2>{escaped(one.name)}</h2>{one.body}</section>'
        for one in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f"content=\"{policy}base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title, _TITLE_WIDTH)} · {kind}</title>\n<style>{style}</style>\n"
        + (f"<script>{script}</script>\n" if script else "")
        + f'</head>\n<body>\n<header>\n<h1 dir="auto">{escaped(title, _TITLE_WIDTH)}</h1>\n'
        f'<p class="soft">{kind.capitalize()}</p>\n{head}</header>\n'
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n{shown}\n</main>\n'
        f"<footer>Made by Twinhead {version('twinhead')}</footer>\n</body>\n</html>\n"
    )


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Names with their values, which are markup."""
    shown = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in items)
    return f'<dl class="facts">{shown}</dl>\n'


def note(lines: Sequence[str]) -> str:
    """Sentences, markup, that a reader should not overlook; nothing without any."""
    shown = "".join(f"<li>{line}</li>" for line in lines)
    return f'<div class="alarm" role="note"><ul>{shown}</ul></div>\n' if shown else ""


def cards(shown: Iterable[str]) -> str:
    """Boxes of markup side by side; nothing without any."""
    boxes = "".join(f'<div class="card">{one}</div>' for one in shown)
    return f'<div class="cards">{boxes}</div>\n' if boxes else ""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
