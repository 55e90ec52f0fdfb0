"""A page: one HTML file with its styles, scripts and data inside, which loads nothing from anywhere.

A policy in the page (Content-Security-Policy, W3C) forbids the browser to load anything that is not in the
file, and to run a script other than those that are put in here. So a sentence from a user's file cannot do so
either.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from amrbench.errors import DataError
from amrbench.files.atomic import atomic_path
from amrbench.files.writable_folder import refuse_missing_parent

_STYLE, _SCRIPT = (
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
)
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; "
    "script-src {scripts}"
)
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""Signs that could end a script element, or a line of a script."""


class Markup(str):
    """Text that is HTML already; any other text is escaped before it is put into a page."""

    __slots__ = ()


Cell = str | int | float
"""Of a table: a float gets two decimals, and all of its digits as the value of the element."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a title, which the list of contents leads to.

    Attributes:
        title: As text.
        body: What is below the title.
    """

    title: str
    body: Markup

    @property
    def anchor(self) -> str:
        """Return the id of the section: its title in small letters and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def html(self) -> Markup:
        """Return the section with its title."""
        title = f"{self.anchor}-title"
        return Markup(
            f'<section id="{self.anchor}" aria-labelledby="{title}">\n'
            f'<h2 id="{title}">{escape(self.title)}</h2>\n{self.body}\n</section>'
        )


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: As text, of the page and its first heading.
        heading: Sentences below it, as text: the conditions under which the page is true.
        sections: Their titles differ.
        styles: Style sheets besides that of every page.
        scripts: Scripts besides that of every page, in the order in which they run.
        data: Plain values by the id of the element that holds them as JSON; scripts read them.
        sends: Whether scripts may send to the server that the page came from.
    """

    title: str
    heading: Sequence[str]
    sections: Sequence[Section]
    styles: Sequence[str] = ()
    scripts: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    sends: bool = False

    def html(self) -> str:
        """Return the whole file; ValueError if a section and a block of data have the same id."""
        if same := {section.anchor for section in self.sections} & self.data.keys():
            raise ValueError(f"a section and a block of data have the id {same.pop()!r}")
        scripts = [_SCRIPT, *self.scripts]
        contents = "\n".join(
            f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>' for section in self.sections
        )
        return "\n".join(
            [
                "<!doctype html>",
                '<html lang="en">',
                "<head>",
                '<meta charset="utf-8">',
                f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts, sends=self.sends)}">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{escape(self.title)}</title>",
                *(f"<style>\n{style}</style>" for style in (_STYLE, *self.styles)),
                "</head>",
                "<body>",
                '<a class="skip" href="#content">Skip to the content</a>',
                "<header>",
                '<button type="button" id="colours" hidden></button>',
                f"<h1>{escape(self.title)}</h1>",
                *map(paragraph, self.heading),
                "</header>",
                f'<nav aria-label="Contents">\n<ul>\n{contents}\n</ul>\n</nav>',
                '<main id="content" tabindex="-1">',
                *(section.html() for section in self.sections),
                "</main>",
                *(_json_block(name, values) for name, values in self.data.items()),
                *(f"<script>{script}</script>" for script in scripts),
                "</body>",
                "</html>\n",
            ]
        )

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            DataError: It cannot be written.
        """
        try:
            with atomic_path(path) as part:
                part.write_text(self.html(), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}). Choose another path.") from error


def refuse_unwritable(path: Path) -> None:
    """Raise DataError if a page cannot get this path, so that it fails before anything is computed."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: a page cannot have this suffix. Use .html.")
    refuse_missing_parent(path)


def paragraph(text: str) -> Markup:
    """Return a paragraph of text."""
    return Markup(f"<p>{escaped(text)}</p>")


def heading(text: str) -> Markup:
    """Return the title of a part of a section."""
    return Markup(f"<h3>{escaped(text)}</h3>")


def verbatim(name: str, text: str) -> Markup:
    """Return a text with its lines as they are; `name` says what it is."""
    return Markup(f'<pre role="region" tabindex="0" aria-label="{escape(name)}">{escaped(text)}</pre>')


def escaped(text: str) -> Markup:
    """Return text as HTML; `Markup` stays as it is."""
    return text if isinstance(text, Markup) else Markup(escape(text))


def joined(parts: Sequence[Markup]) -> Markup:
    """Return parts of a page, one below the other."""
    return Markup("\n".join(parts))


def details(summary: str, body: Markup) -> Markup:
    """Return something that is shown when its summary is clicked."""
    return Markup(f"<details>\n<summary>{escaped(summary)}</summary>\n{body}\n</details>")


def data_table(
    caption: str, rows: Sequence[Mapping[str, Cell]], *, align: Sequence[str] | None = None, headers: int = 1
) -> Markup:
    """Return a table, which scrolls where it is wider than the page.

    Args:
        caption: What the table shows.
        rows: At least one, all with the same keys, which are the names of the columns.
        align: "left" or "right" for each column; by default text is left and numbers are right.
        headers: How many of the first columns name the row.
    """
    sides = align or ["left" if isinstance(value, str) else "right" for value in rows[0].values()]
    names = "".join(
        f'<th scope="col"{_side(side)}>{escaped(name)}</th>'
        for name, side in zip(rows[0], sides, strict=True)
    )
    body = "\n".join(f"<tr>{_cells(list(row.values()), sides, headers)}</tr>" for row in rows)
    return Markup(
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n<table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
        "</table>\n</div>"
    )


def _cells(values: Sequence[Cell], sides: Sequence[str], headers: int) -> str:
    cells = []
    for column, (value, side) in enumerate(zip(values, sides, strict=True)):
        text = (
            f'<data value="{value!r}">{value:.2f}</data>' if isinstance(value, float) else escaped(str(value))
        )
        if isinstance(value, Markup):
            text = value
        name, scope = ("th", ' scope="row"') if column < headers and text else ("td", "")
        cells.append(f"<{name}{scope}{_side(side)}>{text}</{name}>")
    return "".join(cells)


def _side(side: str) -> str:
    return ' class="number"' if side == "right" else ""


def _policy(scripts: Sequence[str], *, sends: bool) -> str:
    hashes = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    return _POLICY.format(scripts=" ".join(hashes)) + ("; connect-src 'self'" if sends else "")


def _json_block(name: str, values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f'<script type="application/json" id="{name}">{text.translate(_IN_SCRIPT)}</script>'
