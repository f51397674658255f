"""Reads a page as a browser would, strictly."""

import html.parser

VOID = {"meta", "img", "link", "br"}


class Reader(html.parser.HTMLParser):
    """Collects text and addresses, and checks that elements are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], "", [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(path):
    """The page, which must be well-formed and fetch nothing."""
    text = path.read_text()
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    assert all(link.startswith(("data:", "#")) for link in reader.links)
    assert not {"script", "link", "iframe"} & set(reader.tags)
    assert "://" not in text
    return reader
