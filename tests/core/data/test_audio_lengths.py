import numpy as np
import pytest
import soundfile

from amrbench.data.audio import open_audio
from amrbench.data.audio_lengths import differs, other_lengths


@pytest.mark.parametrize(
    ("seconds", "duration", "other"),
    [
        *((12, 12, False), (11, 12, False), (12.9, 12, False), (6, 12, True), (13.1, 12, True)),
        *((302, 300, False), (296, 300, True), (3580, 3600, False), (3500, 3600, True)),
    ],
)
def test_rounded_durations_are_no_difference(seconds, duration, other):
    assert differs(seconds, duration) is other


def test_recordings_of_another_length_are_named_with_both_lengths(tmp_path):
    files = []
    for name, seconds in (("a", 2), ("b", 4), ("c", 9)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(8000 * seconds, 0.1), 8000)
        files.append((name, open_audio(tmp_path / f"{name}.wav")))
    assert other_lengths(files, {"a": 2.4, "b": 8}) == [f"{tmp_path}/b.wav: 4.0 s, annotated 8 s"]
