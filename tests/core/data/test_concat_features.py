import numpy as np
import pytest

from amrbench.data.concat_features import concat_audio, concat_text, normalize_rows
from amrbench.errors import DataError


def rows(count, width):
    return np.random.default_rng((0, count, width)).normal(0, 3, (count, width)).astype(np.float32)


def test_zero_rows_stay_zero_and_small_ones_are_damped():
    normalized = normalize_rows(np.array([[0, 0], [3, 4], [3e-5, 4e-5]], np.float32))
    np.testing.assert_allclose(normalized, [[0, 0], [0.6, 0.8], [0.5, 2 / 3]], rtol=1e-5)


def test_rows_of_each_encoder_are_concatenated_as_unit_vectors():
    first, second = rows(5, 3), rows(4, 2)
    audio = concat_audio([first, second], "recording 'v'")
    assert audio.shape == (4, 5)
    for t in range(4):
        np.testing.assert_allclose(audio[t, :3], first[t] / np.linalg.norm(first[t]), rtol=1e-4)
        np.testing.assert_allclose(audio[t, 3:], second[t] / np.linalg.norm(second[t]), rtol=1e-4)


def test_a_pooled_text_is_repeated_for_each_token():
    tokens, sentence = rows(4, 3), rows(1, 2)
    text = concat_text([tokens, sentence], "query 'q'")
    assert text.shape == (4, 5)
    assert np.ptp(text[:, 3:], axis=0).max() == 0


def test_lengths_that_differ_by_more_than_a_row_are_refused():
    with pytest.raises(DataError) as error:
        concat_audio([rows(5, 3), rows(3, 2)], "recording 'v'")
    assert str(error.value) == (
        "recording 'v': encoders give 5, 3 rows, which differ by more than 1. "
        "Check that all were made from the same recording."
    )


def test_different_numbers_of_tokens_are_refused():
    with pytest.raises(DataError) as error:
        concat_text([rows(5, 3), rows(3, 2)], "query 'q'")
    assert str(error.value) == (
        "query 'q': encoders give 5, 3 tokens. Only texts of one token can be concatenated with longer ones; "
        "choose encoders that pool their text."
    )
