"""The page of `amrbench report`, as people use it."""

import numpy as np
import pytest
import soundfile

from amrbench.tools.report_page import ReportRequest, write_report
from amrbench.types import Query
from tests.browser.conftest import SIZES, serious_faults
from tests.core.pages.read_page import HOSTILE
from tests.small_world.written_runs import make_run

SENTENCES = ("a dog barks", HOSTILE, "a door is closed", "rain on a roof")
RATE = 8000


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Return the address of a page about two runs, with sound."""
    folder = tmp_path_factory.mktemp("report")
    asked = [
        Query(
            f"{vid}_{index}", SENTENCES[(vid + index) % 4], f"v{vid}", 60.0, ((10.0 + index, 20.0 + index),)
        )
        for vid in range(40)
        for index in range(3)
    ]
    (folder / "audio").mkdir()
    for vid in range(40):
        tone = np.sin(np.arange(60 * RATE) * (0.05 + 0.01 * vid)) / 3
        soundfile.write(folder / "audio" / f"v{vid}.wav", tone, RATE)
    poor = make_run(folder / "poor", accuracy=0.3, asked=asked, saliency=True)
    good = make_run(folder / "good", accuracy=0.8, soup=0.9, shift=50, asked=asked)
    write_report(ReportRequest((poor, good), audio=folder / "audio"), folder / "report.html")
    return f"file://{folder / 'report.html'}"


def test_it_fits_the_window_and_axe_finds_no_serious_fault(visit, report, size, colours, tmp_path):
    page = visit(report, size=size, colours=colours)
    page.locator("#query-list li").first.scroll_into_view_if_needed()
    page.locator("#query-list .tl-drawn").first.wait_for()
    for summary in page.locator("details > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert serious_faults(page) == []
    page.screenshot(path=tmp_path / f"{size}-{colours}.png", full_page=True)


def test_saliency_is_drawn_above_the_moments_of_a_run_that_has_it(visit, report, size):
    page = visit(report, size=size)
    page.locator("#query-list li").first.scroll_into_view_if_needed()
    page.locator("#query-list .tl-drawn").first.wait_for()
    lanes = page.locator("#query-list > li").first.locator(".tl-lane")
    drawn = {lane.locator(".tl-name").inner_text(): lane.locator("svg path").count() for lane in lanes.all()}
    assert drawn == {"annotated": 0, "poor, seed 0": 1, "good, seed 0": 0}
    # High for the ten seconds that are annotated, and low elsewhere.
    path = lanes.nth(1).locator("svg path").get_attribute("d")
    assert path.count("V0.0000") == 10
    assert path.count("1.0000") == 50


def test_a_search_lists_the_queries_that_have_all_words(visit, report, size):
    page = visit(report, size=size)
    count = page.locator("#query-count")
    assert count.inner_text() == "120 of 120 queries, the first 20 are shown."
    page.get_by_label("Search sentences, recordings and ids").fill("ROOF v3")
    assert count.inner_text() == "9 of 120 queries, the first 9 are shown."
    assert page.locator("#query-more").is_hidden()
    titles = page.locator("#query-list h3")
    titles.first.wait_for()
    assert set(titles.all_inner_texts()) == {"rain on a roof"}
    page.get_by_label("Search sentences, recordings and ids").fill("no such sound")
    assert count.inner_text() == "No query has these words."


def test_more_are_shown_on_request_and_get_the_focus(visit, report):
    page = visit(report)
    page.get_by_role("button", name="Show more").click()
    assert page.locator("#query-list > li").count() == 40
    assert (
        page.evaluate("[...document.activeElement.parentNode.children].indexOf(document.activeElement)") == 20
    )


def test_an_order_puts_the_worst_queries_first(visit, report):
    page = visit(report)
    page.locator("#query-order").select_option("worst of good, mean of 2 seeds first")
    value = page.locator("#query-list li:first-child .query-values tbody tr:nth-child(2) td:last-child")
    assert float(value.inner_text()) < 50
    page.locator("#query-order").select_option("best of good, mean of 2 seeds first")
    assert float(value.inner_text()) == 100


def test_what_only_one_system_answers_can_be_listed(visit, report):
    page = visit(report)
    name = "only one answers (R1@0.5): good, mean of 2 seeds or poor, mean of 2 seeds"
    page.locator("#query-order").select_option(name)
    shown = page.locator("#query-list li").first.locator(".query-values td:nth-child(2)").all_inner_texts()
    assert abs(float(shown[0]) - float(shown[1])) > 50


def test_a_click_on_a_moment_plays_it(visit, report, size):
    page = visit(report, size=size)
    page.get_by_label("only with sound").check()
    assert page.locator("#query-count").inner_text() == "20 of 120 queries, the first 20 are shown."
    item = page.locator("#query-list li").first
    moment = item.locator(".tl-moment").first
    moment.click()
    page.wait_for_function("!Timelines.player.paused && Timelines.player.currentTime > 0")
    minutes, seconds = moment.inner_text().split(" ")[0].split(":")
    start = 60 * int(minutes) + float(seconds)
    assert start <= page.evaluate("Timelines.player.currentTime") < start + 9
    item.get_by_role("button", name="Pause").click()
    assert page.evaluate("Timelines.player.paused")


def test_sentences_of_users_are_only_text(visit, report):
    page = visit(report)
    page.get_by_label("Search sentences, recordings and ids").fill("<script>")
    page.locator("#query-list h3").first.wait_for()
    assert page.locator("#query-list h3").first.inner_text() == HOSTILE
    assert page.locator("#query-list script").count() == 0


@pytest.mark.parametrize(("given", "other"), [("light", "dark"), ("dark", "light")])
def test_the_button_changes_the_colours(visit, report, given, other):
    page = visit(report, colours=given)
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.get_by_role("button", name=f"{other.capitalize()} colours").click()
    assert page.evaluate(paper) == visit(report, colours=other).evaluate(paper) != before


def test_the_keyboard_gets_everywhere(visit, report):
    page = visit(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.get_by_label("Search sentences, recordings and ids").focus()
    page.keyboard.type("dog")
    page.keyboard.press("Enter")
    assert page.locator("#query-count").inner_text().startswith("30 of 120")
    page.locator("#query-list .tl-moment").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#query-list .tl-range").first.input_value() != "0"
