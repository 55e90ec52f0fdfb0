"""Read pages as a browser does: their elements, tables and data."""

import json
import re
from html import unescape
from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script> & \"'</style>"
"""A text that ends elements if it is not escaped."""


class Elements(HTMLParser):
    """The elements of a page as (name, attributes, own text), in order."""

    def __init__(self, html):
        super().__init__()
        self.all, self._open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.all.append([tag, dict(attrs), ""])
        if tag not in ("meta", "br", "link", "input"):
            self._open.append(self.all[-1])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self._open:
            self._open[-1][2] += data

    def named(self, tag):
        return [(attributes, text) for name, attributes, text in self.all if name == tag]


def tables_of(html: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each table by its caption: text by the name of the column."""
    return {
        caption: [dict(zip(names, row, strict=True)) for row in rows]
        for caption, names, rows in _tables(html)
    }


def values_of(html: str) -> dict[str, list[list[float]]]:
    """Return the unrounded numbers of each row of each table by its caption."""
    tables = re.findall(r"<caption>(.*?)</caption>(.*?)</table>", html, re.DOTALL)
    return {
        unescape(caption): [
            [float(value) for value in re.findall(r'<data value="([^"]*)"', row)]
            for row in body.split("<tr>")[2:]
        ]
        for caption, body in tables
    }


def data_of(html: str, name: str) -> object:
    """Return the data of a page by the id of its element."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html)[1])


def _tables(html):
    for caption, body in re.findall(r"<caption>(.*?)</caption>(.*?)</table>", html, re.DOTALL):
        cells = [
            [unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in body.split("<tr>")[1:]
        ]
        yield unescape(caption), cells[0], cells[1:]
