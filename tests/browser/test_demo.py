"""`amrbench demo`, as people use it."""

import threading
import time

import numpy as np
import pytest
import soundfile

from amrbench.experiment.finished_run import open_run
from amrbench.tools.demo_server import Demo, demo_app, listening
from tests.browser.conftest import SIZES, serious_faults
from tests.browser.player import wait_until
from tests.small_world.parts import PROTOCOL, RECIPE, REGISTRY
from tests.small_world.runs import run_in, write_yaml

RATE = 8000


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Return the address of a demo in a thread of this process."""
    import uvicorn

    folder = tmp_path_factory.mktemp("toy")
    write_yaml(folder / "toy.yaml", RECIPE)
    write_yaml(folder / "tiny.yaml", PROTOCOL)
    demo = Demo([open_run(run_in(folder).folder, REGISTRY, cache=folder / "cache")], 3)
    listener = listening(0)
    server = uvicorn.Server(uvicorn.Config(demo_app(demo), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "street.wav"
    soundfile.write(path, np.sin(np.arange(40 * RATE) * 0.3) / 3, RATE)
    return path


def ask(page, path, sentences):
    page.get_by_label("Recording: drop a file").set_input_files(path)
    page.get_by_label("What to find").fill(sentences)
    page.get_by_role("button", name="Find moments").click()


def test_moments_are_seen_heard_and_downloaded(visit, address, recording, size, colours, tmp_path):
    page = visit(address, size=size, colours=colours)
    assert serious_faults(page) == []
    ask(page, recording, "class 1\n\nclass 2\n")
    page.locator("#results .tl-drawn").nth(1).wait_for()
    assert page.locator("#results h3").all_inner_texts() == ["class 1", "class 2"]
    assert page.locator("#status").inner_text() == "Moments for 2 sentences."
    page.locator(".tl-moment").first.click()
    wait_until(page, "!Timelines.player.paused && Timelines.player.currentTime > 0")
    with page.expect_download() as labels:
        page.get_by_role("link", name="Labels for Audacity").click()
    with page.expect_download() as table:
        page.get_by_role("link", name="Table (CSV)").click()
    assert (labels.value.suggested_filename, table.value.suggested_filename) == ("street.txt", "street.csv")
    assert len(labels.value.path().read_text().splitlines()) == 6
    assert table.value.path().read_text().startswith("vid,query,start,end,")
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert serious_faults(page) == []
    page.screenshot(path=tmp_path / f"{size}-{colours}.png", full_page=True)


TONE = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const [tone, target] = [context.createOscillator(), context.createMediaStreamDestination()];
  tone.connect(target);
  tone.start();
  return target.stream;
};
"""
"""A microphone that hears a tone."""


def test_the_microphone_is_a_recording(visit, address):
    page = visit(address)
    page.evaluate(TONE)
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop recording").wait_for()
    page.wait_for_timeout(3000)
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_text("recorded.wav, ").wait_for()
    page.get_by_label("What to find").fill("class 1")
    page.get_by_role("button", name="Find moments").click()
    page.locator("#results .tl-drawn").wait_for()


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        (
            b"no audio at all",
            "street.wav",
            'street.wav: is text: "no audio at all". Copy or download the right file.',
        ),
        (b"<script>", "<b>.mp3", '<b>.mp3: is text: "<script>". Copy or download the right file.'),
        (bytes(2_000_001), "street.wav", "street.wav: is larger than 2.0 MB. Choose a shorter recording."),
    ],
)
def test_what_is_no_recording_is_refused(chromium, address, tmp_path, content, name, text):
    page = chromium.new_page()  # The browser takes the answer of the server for an error of the page.
    page.goto(address)
    page.evaluate("document.getElementById('demo').dataset.largest = 2000000")
    (tmp_path / name).write_bytes(content)
    ask(page, tmp_path / name, "class 1")
    page.get_by_role("alert").get_by_text("street" if "street" in text else "<b>").wait_for()
    assert page.get_by_role("alert").inner_text() == text
    assert page.locator("#moments").is_hidden()
    page.close()


def test_recording_and_sentences_are_asked_for(visit, address, recording):
    page = visit(address)
    page.get_by_role("button", name="Find moments").click()
    assert page.get_by_role("alert").inner_text() == "Choose or record a recording first."
    ask(page, recording, " \n")
    assert page.get_by_role("alert").inner_text() == "Write at least one sentence."
