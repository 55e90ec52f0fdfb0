"""The page of `amrbench predict --html`, as people use it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.experiment.finished_run import open_run
from amrbench.tools.predict_audio import find_moments
from amrbench.tools.recording_page import recording_page
from tests.browser.conftest import SIZES, serious_faults
from tests.browser.player import wait_until
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import run_in, write_yaml

RATE = 8000
SECONDS = 754
HOSTILE = "<script>alert('a')</script> 2"


@pytest.fixture(scope="session")
def result(tmp_path_factory):
    """Return the answers of a run about a tone of twelve and a half minutes, and the folder of both."""
    folder = tmp_path_factory.mktemp("toy")
    write_yaml(folder / "toy.yaml", RECIPE)
    write_yaml(folder / "tiny.yaml", PROTOCOL)
    path = tmp_path_factory.mktemp("recording") / "<b>street.wav"
    soundfile.write(path, np.sin(np.arange(SECONDS * RATE) * 0.3) / 3, RATE)
    finished = open_run(run_in(folder).folder, REGISTRY, cache=folder / "cache")
    answered = find_moments(path, ["class 1", HOSTILE], finished)
    first, second = answered.answers
    table = np.array([[600.0, 605.5, 0.9], [3.0, 4.0, 0.5]])
    saliency = np.linspace(0, 1, SECONDS)
    return replace(
        answered,
        answers=(replace(first, moments=table, saliency=saliency, above=0.5), replace(second, moments=table)),
    )


@pytest.fixture(scope="session")
def address(result):
    """Return the address of a page about two models."""
    other = replace(result, finished=replace(result.finished, member=result.finished.result.row("seed 1")))
    path = result.recording.path.with_name("page.html")
    recording_page([result, other], 5).write(path)
    return f"file://{path}"


def playing(page):
    """Return position and state of the player."""
    return page.evaluate("[Timelines.player.currentTime, Timelines.player.paused]")


def test_it_fits_the_window_and_axe_finds_no_serious_fault(visit, address, size, colours, tmp_path):
    page = visit(address, size=size, colours=colours)
    page.locator(".tl-drawn").nth(1).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert serious_faults(page) == []
    page.screenshot(path=tmp_path / f"{size}-{colours}.png", full_page=True)


def test_a_moment_that_is_clicked_is_heard_to_its_end(visit, address, size):
    page = visit(address, size=size)
    page.get_by_role("button", name=re.compile("10:00.0 . 10:05.5 0.900")).first.click()
    wait_until(page, "Timelines.player.currentTime > 600.2")
    position, paused = playing(page)
    assert not paused
    assert 600 < position < 605
    page.evaluate("Timelines.player.playbackRate = 8")
    wait_until(page, "Timelines.player.paused")
    assert playing(page)[0] == pytest.approx(605.5, abs=0.01)
    assert page.locator(".tl-time").first.inner_text() == "10:05.5 / 12:34"


def test_only_one_timeline_plays_at_a_time(visit, address):
    page = visit(address)
    first, second = (page.locator(".timeline").nth(index) for index in (0, 1))
    first.get_by_role("button", name="Play").click()
    first.get_by_role("button", name="Pause").wait_for()
    second.locator(".tl-moment").nth(1).click()
    second.get_by_role("button", name="Pause").wait_for()
    first.get_by_role("button", name="Play").wait_for()


def test_the_keyboard_moves_the_position_and_plays(visit, address):
    page = visit(address)
    slider = page.get_by_role("slider").first
    slider.focus()
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "12:34.0"
    page.keyboard.press("Home")
    page.locator(".tl-moment").first.focus()
    page.keyboard.press("Enter")
    wait_until(page, "Timelines.player.currentTime > 600")


def test_the_axis_has_minutes_and_becomes_finer(visit, address, size):
    page = visit(address, size=size)
    ticks = page.locator(".timeline").first.locator(".tl-ticks span")
    before = ticks.all_inner_texts()
    assert before[0] == "0:00"
    assert before[-1] in ("12:00", "10:00")
    page.get_by_role("button", name="Show less of the recording, larger").first.click()
    assert len(ticks.all_inner_texts()) > len(before)
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_sentences_models_and_remarks_are_whole(visit, address, result):
    page = visit(address)
    assert page.locator(".timeline h3").all_inner_texts() == ["class 1", HOSTILE]
    lists = page.locator(".timeline").first.locator("h4").all_inner_texts()
    assert lists == ["toy, seed 0", "toy, seed 1"]
    assert page.locator(".tl-remark").all_inner_texts() == [result.answers[0].remark()] * 2
    assert page.locator("h1").inner_text() == "Moments in <b>street.wav"
