import json
from base64 import b64encode
from hashlib import sha256

import pytest

from amrbench.errors import DataError
from amrbench.pages.page import (
    Markup,
    Page,
    Section,
    data_table,
    details,
    joined,
    paragraph,
    refuse_unwritable,
)
from tests.core.pages.read_page import HOSTILE, Elements


def page(**options) -> Page:
    given = {
        "title": "A page",
        "heading": ["One line."],
        "sections": [Section("First part", paragraph("Text."))],
    }
    return Page(**given | options)


def test_every_element_is_closed_and_the_landmarks_are_there_once():
    elements = Elements(page().html())
    assert elements._open == []
    for landmark in ("header", "nav", "main", "h1", "title"):
        assert len(elements.named(landmark)) == 1, landmark
    assert elements.named("html") == [({"lang": "en"}, "\n\n\n")]


def test_the_contents_and_the_skip_link_lead_to_elements_of_the_page():
    elements = Elements(page(sections=[Section("A", Markup("")), Section("B: b & c", Markup(""))]).html())
    links = [attributes["href"] for attributes, _ in elements.named("a")]
    assert links == ["#content", "#a", "#b-b-c"]
    ids = [attributes["id"] for _, attributes, _ in elements.all if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)


def test_text_of_users_is_shown_as_it_is():
    section = Section(
        HOSTILE,
        joined([paragraph(HOSTILE), data_table(HOSTILE, [{HOSTILE: HOSTILE}]), details(HOSTILE, Markup(""))]),
    )
    html = page(title=HOSTILE, heading=[HOSTILE], sections=[section], data={"rows": [HOSTILE]}).html()
    elements = Elements(html)
    for tag in ("title", "h1", "h2", "p", "caption", "th", "summary"):
        assert HOSTILE in [text for _, text in elements.named(tag)], tag
    (attributes, text) = elements.named("script")[0]
    assert attributes == {"type": "application/json", "id": "rows"}
    assert json.loads(text) == [HOSTILE]
    assert "alert(1)</script>" not in html


def test_markup_is_not_escaped_twice():
    assert data_table("t", [{"a": Markup("<b>x</b>")}]).count("<b>x</b>") == 1
    assert paragraph(Markup("<b>x</b>")) == "<p><b>x</b></p>"


def test_nothing_is_loaded_and_only_the_scripts_of_the_page_run():
    script = "document.title = 'a < b';\n"
    elements = Elements(page(scripts=[script], styles=["p { color: red }"]).html())
    assert [attributes for tag, attributes, _ in elements.all if {"src", "srcset"} & attributes.keys()] == []
    assert elements.named("link") == []
    policy = next(
        attributes["content"] for attributes, _ in elements.named("meta") if "http-equiv" in attributes
    )
    assert policy.startswith("default-src 'none';")
    scripts = [text for attributes, text in elements.named("script") if "type" not in attributes]
    assert scripts[-1] == script
    for text in scripts:
        assert f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy


def test_a_number_has_two_decimals_and_all_digits_as_its_value():
    elements = Elements(data_table("Scores", [{"recipe": "toy", "queries": 3, "R1": 33.333333333333336}]))
    assert elements.named("data") == [({"value": "33.333333333333336"}, "33.33")]
    assert elements.named("th") == [
        ({"scope": "col"}, "recipe"),
        ({"scope": "col", "class": "number"}, "queries"),
        ({"scope": "col", "class": "number"}, "R1"),
        ({"scope": "row"}, "toy"),
    ]
    assert elements.named("td")[0] == ({"class": "number"}, "3")


def test_an_empty_cell_names_no_row():
    elements = Elements(data_table("t", [{"recipe": "", "member": "whole", "mAP": 1.0}], headers=2))
    assert elements.named("th")[3:] == [({"scope": "row"}, "whole")]
    assert elements.named("td")[0] == ({}, "")


def test_data_with_the_id_of_a_section_is_refused():
    with pytest.raises(ValueError, match="a section and a block of data have the id 'first-part'"):
        page(data={"first-part": []}).html()


def test_numbers_that_json_has_not_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        page(data={"rows": [float("nan")]}).html()


def test_a_page_is_written_whole(tmp_path):
    path = tmp_path / "page.html"
    page(title="caf\udce9").write(path)
    assert "<title>caf\\udce9</title>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_paths_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(DataError) as error:
        refuse_unwritable(tmp_path / "page.pdf")
    assert str(error.value) == f"{tmp_path / 'page.pdf'}: a page cannot have this suffix. Use .html."
    with pytest.raises(DataError) as error:
        refuse_unwritable(tmp_path / "no" / "page.html")
    assert str(error.value) == (
        f"{tmp_path / 'no' / 'page.html'}: there is no folder '{tmp_path / 'no'}'. Make it, or choose "
        "another path."
    )
    (tmp_path / "page.html").mkdir()
    with pytest.raises(DataError) as error:
        refuse_unwritable(tmp_path / "page.html")
    assert str(error.value) == f"{tmp_path / 'page.html'}: is a folder. Name a file for the output."
    with pytest.raises(DataError) as error:
        page().write(tmp_path / "page.html")
    assert str(error.value) == (
        f"{tmp_path / 'page.html'}: cannot be written (Is a directory). Choose another path."
    )
