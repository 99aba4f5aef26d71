"""What a page or a plot shows, as its reader's browser would find it."""

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
