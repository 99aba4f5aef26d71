"""What a page or a plot shows, as its reader's browser would find it."""

import base64
import hashlib
import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page shows and asks for; fails on tags that do not close in their order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.ids, self.tables = [], [], [], []
        self.rows, self.cell, self.open = [], None, []
        self.texts = {}
        self.section = None
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "section":
            self.section = found["id"]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None
        if tag == "table":
            self.tables.append(self.rows)
            self.rows = []

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if self.cell is not None:
            self.cell += data


def check_closed(text, page):
    """The page asks for nothing, its links stay in it, and only its own style and script act."""
    assert not {"link", "iframe", "object", "img", "base", "form"} & set(page.tags)
    names = ("src", "href", "xlink:href", "action", "data")
    asking = [value for _, name, value in page.attributes if name in names]
    assert asking
    assert len(page.ids) == len(set(page.ids))
    assert set(asking) <= {f"#{identity}" for identity in page.ids}
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|https?:", text)
    (policy,) = [
        value for _, name, value in page.attributes if name == "content" and "-src" in value
    ]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    own = 0
    for tag in ("style", "script"):
        for content in re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
            own += 1
    assert policy.count("sha256-") == own
