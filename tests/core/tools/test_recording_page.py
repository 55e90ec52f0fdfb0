import json
import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from amrbench.experiment.finished_run import open_run
from amrbench.tools import recording_page as module
from amrbench.tools.predict_audio import find_moments
from amrbench.tools.recording_page import page_heading, recording_page, recording_timelines, sounds_text
from tests.small_world.parts import REGISTRY

HOSTILE = "<script>alert('a')</script> 2"
RATE = 8000
"""Of a recording that MP3 can hold; the encoder resamples it."""


@pytest.fixture
def result(soup_run, tmp_path):
    path = tmp_path / "<b>.wav"
    soundfile.write(path, np.ones(30 * RATE, np.float32), RATE, subtype="FLOAT")
    answered = find_moments(path, ["class 1", HOSTILE], open_run(soup_run.folder, REGISTRY))
    first, second = answered.answers
    return replace(answered, answers=(replace(first, saliency=np.linspace(-1, 2, 30)), second))


def data_of(html):
    (text,) = re.findall(r'<script type="application/json" id="timelines">(.*?)</script>', html)
    return json.loads(text)


def test_a_page_holds_sound_spectrogram_and_moments_of_each_sentence(result):
    html = recording_page([result], 3).html()
    data = data_of(html)
    assert [own[:16] for own in data["media"]] == ["data:audio/mpeg;", "data:image/png;b"]
    assert [row["query"] for row in data["timelines"]] == ["class 1", HOSTILE]
    for row, answer in zip(data["timelines"], result.answers, strict=True):
        assert (row["audio"], row["spectrogram"], row["hertz"], row["truth"]) == (0, 1, RATE / 2, None)
        (system,) = row["systems"]
        assert system["name"] == "toy, soup"
        np.testing.assert_allclose(system["moments"], answer.moments[:3], atol=1e-3)
        assert (system["saliency"] is None) == (answer.saliency is None)
        if answer.saliency is not None:  # 256 levels from -1 to 2.
            levels = np.frombuffer(b64decode(system["saliency"]), np.uint8)
            np.testing.assert_allclose(levels / 255 * 3 - 1, answer.saliency, atol=3 / 510 + 1e-6)
    assert [own["systems"][0]["saliency"] is None for own in data["timelines"]] == [False, True]
    assert html.count('class="timeline"') == 2


def test_names_and_sentences_of_people_are_text(result):
    html = recording_page([result], 3).html()
    assert HOSTILE not in html
    assert "<b>" not in html


def test_the_heading_names_run_protocol_stand_ins_and_their_sounds(result, monkeypatch):
    assert page_heading([result, result]) == result.heading()
    known = {"tiny": ("bell", "dog")}
    monkeypatch.setattr(type(result.finished), "known_sounds", lambda _: known)
    assert page_heading([result])[-1] == "Sounds known to tiny, and no others: bell, dog."
    assert sounds_text(known | {"large": ("bell", "dog"), "odd": ("cat",)}) == [
        "Sounds known to tiny and large, and no others: bell, dog.",
        "Sounds known to odd, and no others: cat.",
    ]


def test_a_remark_stands_at_its_sentence(result):
    weak = replace(result, answers=(replace(result.answers[0], above=0.5), result.answers[1]))
    first, second = recording_timelines([weak], 1)
    assert first.systems[0].remark == weak.answers[0].remark() != ""
    assert second.systems[0].remark == ""
    assert (first.audio, first.spectrogram) == (None, None)


def test_models_are_next_to_each_other(result):
    other = replace(result, finished=replace(result.finished, member=result.finished.result.row("seed 0")))
    for timeline in recording_timelines([result, other], 1):
        assert [system.name for system in timeline.systems] == ["toy, soup", "toy, seed 0"]


def test_the_sound_of_a_long_recording_stays_outside(result, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_SOUND", 18.0)
    page = recording_page([result], 1)
    assert [own[:9] for own in data_of(page.html())["media"]] == ["data:imag"]
    assert page.heading[-1] == (
        "The recording is longer than 0.3 minutes, so the page is without its sound. "
        "'amrbench predict --clips' writes the moments as audio."
    )
