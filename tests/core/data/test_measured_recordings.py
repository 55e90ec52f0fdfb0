"""Recordings are measured before features are made of them."""

import numpy as np
import pytest
import soundfile

from amrbench.data.measured_recordings import measured, refuse_other_durations, refuse_short
from amrbench.errors import DataError
from amrbench.notes import collected_notes
from tests.small_world.data import NOISE_RATE, Loudness

BACKEND = Loudness().build()


@pytest.fixture
def recordings(tmp_path):
    """Recordings of 3 and 60 seconds."""
    files = {"short": tmp_path / "short.wav", "long": tmp_path / "long.wav"}
    for path, seconds in zip(files.values(), (3, 60), strict=True):
        soundfile.write(path, np.zeros(seconds * NOISE_RATE), NOISE_RATE)
    reports = []
    own = measured(files, "mine", reports.append)
    assert [(report.what, report.done, report.total) for report in reports] == [
        ("mine: measuring", 1, 2),
        ("mine: measuring", 2, 2),
    ]
    return own


def test_recordings_that_fill_a_row_pass(recordings):
    refuse_short(recordings.values(), BACKEND)


def test_recordings_that_are_too_short_are_named(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(NOISE_RATE - 1), NOISE_RATE)
    with pytest.raises(DataError) as error:
        refuse_short(measured({"a": path}, "mine", lambda _: None).values(), BACKEND)
    assert str(error.value) == (
        "1 of 1 recordings are too short for the encoder 'toy-features', which gives a row for each 1 s: "
        f"'{path} (0.990 s)'. Leave them out, and queries about them."
    )


def test_recordings_of_the_annotated_length_need_no_note(recordings):
    with collected_notes() as notes:
        refuse_other_durations(recordings, {"short": 3.4, "long": 60.0}, BACKEND)
    assert notes == []


def test_small_differences_are_noted_and_large_ones_refused(recordings, tmp_path):
    with collected_notes() as notes:
        refuse_other_durations(recordings, {"short": 3.0, "long": 62.0}, BACKEND)
    text = f"1 of 2 recordings are not as long as annotated: '{tmp_path}/long.wav: 60.0 s, annotated 62 s'."
    assert notes == [text]
    with pytest.raises(DataError) as error:
        refuse_other_durations(recordings, {"short": 3.0, "long": 300.0}, BACKEND)
    assert str(error.value) == (
        f"1 of 2 recordings are not as long as annotated: '{tmp_path}/long.wav: 60.0 s, annotated 300 s'. "
        "Download them again, or correct their durations."
    )
