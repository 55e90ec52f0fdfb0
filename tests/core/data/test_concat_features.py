from dataclasses import dataclass, field

import numpy as np
import pytest

from amrbench.data.concat_features import ConcatFeatures, concat_audio, concat_text
from amrbench.errors import DataError
from amrbench.types import FeatureWidths, Query


@dataclass
class Told:
    """A source that says what it is told to say."""

    name: str
    audio_rows: np.ndarray
    text_rows: np.ndarray
    hop: float = 1.0
    queries: tuple = (Query("q", "a dog", "v", 3.0, ((0.0, 1.0),)),)
    checked: list = field(default_factory=list)

    @property
    def place(self):
        return f"{self.name}.h5"

    @property
    def encoder(self):
        return self.fingerprint

    @property
    def fingerprint(self):
        return self.name

    @property
    def widths(self):
        return FeatureWidths(self.audio_rows.shape[1], self.text_rows.shape[1])

    def check(self):
        self.checked.append(True)

    def audio(self, vid):
        return self.audio_rows

    def text_key(self, query):
        return f"{self.name} {query.query}"

    def text(self, query):
        return self.text_rows


def rows(count, width, seed=0):
    return np.random.default_rng((seed, count, width)).normal(0, 3, (count, width)).astype(np.float32)


def test_rows_stand_beside_each_other_each_as_a_unit_vector():
    one, other = rows(5, 3), rows(4, 2)
    found = concat_audio([one, other], "recording 'v'")
    assert found.shape == (4, 5)
    for t in range(4):
        np.testing.assert_allclose(found[t, :3], one[t] / np.linalg.norm(one[t]), rtol=1e-4)
        np.testing.assert_allclose(found[t, 3:], other[t] / np.linalg.norm(other[t]), rtol=1e-4)


def test_a_pooled_text_stands_beside_each_token():
    tokens, sentence = rows(4, 3), rows(1, 2)
    found = concat_text([tokens, sentence], "query 'q'")
    assert found.shape == (4, 5)
    assert np.ptp(found[:, 3:], axis=0).max() == 0


def test_lengths_that_differ_by_more_than_a_row_are_refused():
    with pytest.raises(DataError) as error:
        concat_audio([rows(5, 3), rows(3, 2)], "recording 'v'")
    assert str(error.value) == (
        "recording 'v': encoders give 5, 3 rows, which differ by more than 1. "
        "Check that all were made from the same recording."
    )


def test_tokens_of_different_encoders_are_no_pairs():
    with pytest.raises(DataError) as error:
        concat_text([rows(5, 3), rows(3, 2)], "query 'q'")
    assert str(error.value) == (
        "query 'q': encoders give 5, 3 tokens. Only texts of one token can stand beside longer ones; choose "
        "encoders that pool their text."
    )


def test_a_source_beside_another_is_a_source():
    one, other = Told("a", rows(3, 4), rows(2, 4)), Told("b", rows(3, 2), rows(1, 2))
    both = ConcatFeatures([one, other])
    query = both.queries[0]
    assert both.widths == FeatureWidths(6, 6)
    assert (both.place, both.encoder) == ("a.h5 + b.h5", "a + b")
    assert both.text_key(query) == "a a dog b a dog"
    assert both.audio("v").shape == (3, 6)
    assert both.text(query).shape == (2, 6)
    assert both.fingerprint != ConcatFeatures([other, one]).fingerprint
    both.check()
    assert one.checked == other.checked == [True]


def test_hops_must_agree():
    with pytest.raises(DataError) as error:
        ConcatFeatures([Told("a", rows(3, 4), rows(2, 4)), Told("b", rows(3, 2), rows(1, 2), hop=0.5)])
    assert str(error.value) == (
        "features of a + b cannot stand side by side: their rows are 0.5 and 1 s apart. "
        "Extract them with one hop."
    )
