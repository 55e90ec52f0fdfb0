import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amrbench.data.feature_source import (
    EncoderFeatures,
    FeatureSource,
    RowsInMemory,
    concat_sources,
    matches_duration,
)
from amrbench.data.published_features import published_source
from amrbench.errors import DataError
from amrbench.files.feature_file import FeatureHeader, open_feature_file
from amrbench.files.feature_file_writer import InMemoryTable, write_feature_file
from amrbench.types import FeatureWidths, Query
from tests.small_world.data import DrawnRows, drawn

QUERY = Query("q", "a dog", "v", 3.0, ((0.0, 1.0),))


def source(name, audio_shape, text_shape, **options) -> FeatureSource:
    features = EncoderFeatures(
        location=f"{name}.h5",
        encoder=name,
        hop=1.0,
        widths=FeatureWidths(audio_shape[1], text_shape[1]),
        fingerprint=name,
        audio=DrawnRows({"v": drawn(name, *audio_shape)}),
        text=DrawnRows({"a dog": drawn(name, *text_shape), "q": drawn(name, *text_shape)}),
        text_by="sentence",
    )
    return FeatureSource((QUERY,), (replace(features, **options),))


def test_the_source_of_one_encoder_has_its_rows_unchanged():
    single = source("a", (3, 4), (2, 4))
    assert np.array_equal(single.audio("v"), drawn("a", 3, 4))
    assert np.array_equal(single.text(QUERY), drawn("a", 2, 4))
    assert (single.location, single.encoder, single.fingerprint) == ("a.h5", "a", "a")


def test_sources_of_several_encoders_are_concatenated():
    first, second = source("a", (3, 4), (2, 4)), source("b", (3, 2), (1, 2), text_by="qid")
    both = concat_sources([first, second])
    assert both.queries == (QUERY,)
    assert both.widths == FeatureWidths(6, 6)
    assert (both.location, both.encoder, both.hop) == ("a.h5 + b.h5", "a + b", 1.0)
    assert both.text_key(QUERY) == "a dog\0q"
    assert both.audio("v").shape == (3, 6)
    assert both.text(QUERY).shape == (2, 6)
    assert both.fingerprint != concat_sources([second, first]).fingerprint
    both.verify()
    names = [(features.audio.verified, features.text.verified) for features in both.encoded]
    assert names == [([["v"]], [["a dog"]]), ([["v"]], [["q"]])]


def test_hops_must_agree():
    with pytest.raises(DataError) as error:
        concat_sources([source("a", (3, 4), (2, 4)), source("b", (3, 2), (1, 2), hop=0.5)])
    assert str(error.value) == (
        "features of a + b cannot be concatenated: their rows are 0.5 and 1 s apart. "
        "Extract them with one hop."
    )


def in_file(folder: Path) -> EncoderFeatures:
    header = FeatureHeader(source="x", backend="a", fingerprint="1", hop=1.0, audio_width=4, text_width=4)
    audio, text = InMemoryTable(("v",), (drawn("a", 3, 4),)), InMemoryTable(("a dog",), (drawn("a", 2, 4),))
    write_feature_file(folder / "x.h5", header, audio=audio, text=text)
    return EncoderFeatures.of_file(open_feature_file(folder / "x.h5"), "key")


def published(folder: Path) -> EncoderFeatures:
    for path, key, count in (("a/v.npz", "features", 3), ("a_text/qidq.npz", "last_hidden_state", 2)):
        (folder / path).parent.mkdir()
        np.savez(folder / path, **{key: drawn("a", count, 4)})
    (features,) = published_source(
        folder, [QUERY], audio="a", text="a", widths=FeatureWidths(4, 4), hop=1.0
    ).encoded
    return features


def in_memory(folder: Path) -> EncoderFeatures:
    (features,) = source("a", (3, 4), (2, 4)).encoded
    return replace(
        features,
        audio=RowsInMemory({"v": drawn("a", 3, 4)}),
        text=RowsInMemory({"a dog": drawn("a", 2, 4)}),
    )


@pytest.mark.parametrize("features_of", [in_file, published, in_memory])
def test_lengths_are_those_of_the_rows(tmp_path, features_of):
    one = FeatureSource((QUERY,), (features_of(tmp_path),))
    assert (one.audio_length("v"), one.text_length(QUERY)) == (3, 2)


def test_lengths_of_several_encoders_are_those_of_the_concatenated_rows():
    both = concat_sources([source("a", (3, 4), (2, 4)), source("b", (2, 4), (1, 4))])
    assert (both.audio_length("v"), both.text_length(QUERY)) == (2, 2)
    assert (len(both.audio("v")), len(both.text(QUERY))) == (2, 2)


@pytest.mark.parametrize("features_of", [in_file, published, in_memory])
def test_sources_pickle_for_worker_processes(tmp_path, features_of):
    before = FeatureSource((QUERY,), (features_of(tmp_path),))
    rows = before.audio("v"), before.text(QUERY)
    after = pickle.loads(pickle.dumps(before))
    assert after.queries == before.queries
    assert after.fingerprint == before.fingerprint
    after.verify()
    for row, other in zip(rows, (after.audio("v"), after.text(QUERY)), strict=True):
        assert np.array_equal(row, other)
    assert np.array_equal(rows[0], drawn("a", 3, 4))


@pytest.mark.parametrize(
    ("rows", "duration", "hop", "matches"),
    [(10, 10.4, 1.0, True), (11, 10.0, 1.0, True), (8, 10.0, 1.0, False), (95, 100.0, 1.0, True),
     (89, 100.0, 1.0, False), (20, 10.0, 0.5, True), (18, 10.0, 0.5, True), (17, 10.0, 0.5, False)],
)  # fmt: skip
def test_features_may_be_a_little_shorter_or_longer_than_annotated(rows, duration, hop, matches):
    assert matches_duration(rows, duration, hop) is matches
