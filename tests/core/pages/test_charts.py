import re
import sys
from xml.etree import ElementTree

import pytest

from amrbench.errors import DataError
from amrbench.pages.charts import (
    COLOURS,
    Interval,
    IntervalChart,
    LineChart,
    Series,
    chart_grid,
    refuse_without_matplotlib,
)
from amrbench.pages.page import Page, Section
from tests.core.pages.read_page import HOSTILE, Elements, tables_of, values_of

pytest.importorskip("matplotlib")


def lines(**options) -> LineChart:
    given = {
        "title": "Recall",
        "about": "Recall falls.",
        "x_label": "IoU",
        "y_label": "recall, %",
        "series": [Series("one", [0.5, 0.7], [50.0, 100 / 3], 0), Series("two", [0.5, 0.9], [None, 1.0], 1)],
    }
    return LineChart(**given | options)


def intervals(**options) -> IntervalChart:
    given = {
        "title": "Differences",
        "about": "One is better.",
        "names": "system",
        "label": "points",
        "intervals": [Interval("one", 2.0, 0.5, 3.5, 0), Interval("two", -1.0, -2.0, 0.25, 1)],
    }
    return IntervalChart(**given | options)


def svg_of(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", html, re.DOTALL)[0])


def test_the_table_has_the_numbers_that_are_drawn():
    assert tables_of(lines().html())["Recall"] == [
        {"IoU": "0.5", "one": "50", "two": ""},
        {"IoU": "0.7", "one": "33.33", "two": ""},
        {"IoU": "0.9", "one": "", "two": "1"},
    ]
    assert values_of(lines().html())["Recall"] == [[50.0], [100 / 3], [1.0]]
    assert tables_of(intervals().html())["Differences"] == [
        {"system": "one", "points": "2", "from": "0.5", "to": "3.5"},
        {"system": "two", "points": "-1", "from": "-2", "to": "0.25"},
    ]


def test_named_points_stand_in_the_order_of_their_series():
    series = [Series("one", ["up to 2", "2 to 10", "over 10"], [3.0, 1.0, 2.0], 0)]
    rows = tables_of(lines(series=series).html())["Recall"]
    assert [row["IoU"] for row in rows] == ["up to 2", "2 to 10", "over 10"]


@pytest.mark.parametrize("chart", [lines(), intervals()])
def test_people_who_do_not_see_a_chart_get_title_and_description(chart):
    svg = svg_of(chart.html())
    texts = {each.get("id"): each.text for each in svg.iter() if each.tag.endswith(("title", "desc"))}
    assert svg.get("role") == "img"
    assert texts[svg.get("aria-labelledby")] == chart.title
    assert texts[svg.get("aria-describedby")] == chart.about


@pytest.mark.parametrize("chart", [lines(), intervals(), lines(diagonal=True)])
def test_all_colours_are_those_of_the_page(chart):
    html = chart.html()
    assert not re.search(r"#[0-9a-f]{6}\b", html)
    assert "var(--series-1)" in html
    assert "var(--series-2)" in html
    assert "<style" not in html


def test_whole_numbers_have_no_ticks_between_them():
    html = lines(series=[Series("one", [1, 2, 3], [0.0, 1.0, 2.0], 0)], from_zero=False).html()
    ticks = re.findall(r"<text[^>]*>([^<]*)</text>", html)
    assert [tick for tick in ticks if tick in ("1", "2", "3")][:3] == ["1", "2", "3"]
    assert not any("1.5" in tick or "2.5" in tick for tick in ticks[:5])


@pytest.mark.parametrize("from_zero", [True, False])
def test_the_axis_begins_at_zero_only_if_it_is_asked_to(from_zero):
    html = lines(series=[Series("one", [0.1, 0.2], [60.0, 70.0], 0)], from_zero=from_zero).html()
    assert (">0</text>" in html) == from_zero


def test_further_series_than_colours_have_other_dashes():
    series = [Series(f"s{index}", [0.0, 1.0], [0.0, index], index) for index in range(2 * COLOURS)]
    html = lines(series=series).html()
    drawn = re.findall(r'style="fill: none; (stroke-dasharray[^;]*; )?[^"]*stroke: var\(--series-1\)', html)
    assert len({dashes for dashes in drawn if "0.8" not in dashes}) >= 2


def test_ids_of_all_charts_of_a_page_differ_and_their_links_lead_to_them():
    charts = [lines().html(), lines(title="Other").html(), intervals().html()]
    html = Page("t", [], [Section("s", chart_grid(charts))]).html()
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', html)) <= set(ids)


@pytest.mark.parametrize("name", [HOSTILE, r"$\frac{1}$ $", "音", "a\nb", "x" * 200])
def test_any_name_is_shown(name):
    series = [Series(name, [1.0], [1.0], 0), Series("other", [1.0], [2.0], 1)]
    line = lines(title=name, about=name, x_label=name, y_label=name, series=series).html()
    for html in (line, intervals(title=name, intervals=[Interval(name, 1.0, 0.0, 2.0, 0)]).html()):
        elements = Elements(html)
        assert name in [text for _, text in elements.named("title")]
        assert name in [text for _, text in elements.named("th")]
        assert elements.named("script") == []
        svg_of(html)


def shown_texts(html: str) -> list[str]:
    return ["".join(each.itertext()) for each in svg_of(html).iter() if each.tag.endswith("text")]


@pytest.mark.parametrize("value", ["$_$", "$5 to $10", r"$\frac{1}$", "_kind"])
def test_values_are_shown_as_they_are_below_the_axis(value):
    html = lines(series=[Series("one", [value, "other"], [3.0, 1.0], 0)]).html()
    assert value in shown_texts(html)


def test_names_that_begin_with_an_underscore_are_in_the_legend():
    names = ["_mine.jsonl", "other.jsonl", "__both", "$_$"]
    series = [Series(name, [0.0, 1.0], [0.0, index], index) for index, name in enumerate(names)]
    assert [text for text in shown_texts(lines(series=series).html()) if text in names] == names


def test_the_same_chart_is_the_same_text():
    assert lines().html() == lines().html()


def test_without_matplotlib_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError) as error:
        refuse_without_matplotlib()
    assert str(error.value) == (
        "charts need the package matplotlib. Install it with 'pip install amrbench[plot]'."
    )
