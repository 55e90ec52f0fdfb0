"""The page of `amrbench demo`: a form for a recording and sentences, and the timelines of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from amrbench.pages import timeline
from amrbench.pages.page import Markup, Page, Section

_SCRIPT, _STYLE = (
    Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("demo.js", "demo.css")
)
_FORM = """<form id="demo" data-largest="{largest}">
<label for="file">Recording: drop a file anywhere on this page, choose or record one</label>
<div class="demo-row">
<input type="file" id="file" accept="audio/*,video/*">
<button type="button" id="record" hidden>Record</button>
<span id="chosen" role="status">No recording yet.</span>
</div>
<label for="sentences">What to find, one sentence a line</label>
<textarea id="sentences" placeholder="a dog barks"></textarea>
<button type="submit" id="send">Find moments</button>
<p id="status" role="status"></p>
<p id="fault" role="alert"></p>
</form>
<div id="moments" hidden>
<h3>Moments</h3>
<div id="downloads"></div>
<div id="results"></div>
</div>"""


def demo_page(heading: Sequence[str], sections: Sequence[Section], *, largest: int) -> Page:
    """Return the page.

    Args:
        heading: Sentences about the models.
        sections: What is below the form.
        largest: Bytes of the largest recording.
    """
    return Page(
        title="Find moments in a recording",
        heading=heading,
        sections=[Section("Recording and sentences", Markup(_FORM.format(largest=largest))), *sections],
        styles=[timeline.STYLE, _STYLE],
        scripts=[timeline.SCRIPT, _SCRIPT],
        sends=True,
    )
