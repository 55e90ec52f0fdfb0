"""The procedural scenes as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.slots.data import DatasetPart
from amrbench_plugins.datasets.procedural.dataset import Procedural
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import clip


def test_every_preset_can_be_chosen() -> None:
    assert set(get_args(Procedural.model_fields["preset"].annotation)) == set(PRESETS)


def test_a_recording_is_the_clip_of_its_preset_and_seed(tmp_path: Path) -> None:
    recording = Procedural(preset="scenes", seed=3).build().recording("test", 5)
    rendered = clip("scenes", "test", 5, 3)
    assert (recording.vid, recording.rate) == (rendered.vid, rendered.rate)
    np.testing.assert_array_equal(recording.waveform, rendered.waveform)
    assert recording.queries == rendered.queries
    assert [query.extra["kind"] for query in recording.queries] == [
        query.extra["kind"] for query in rendered.queries
    ]
    assert all(query.windows for query in recording.queries)
    write_annotations(tmp_path / "a.jsonl", recording.queries)
    assert read_annotations(tmp_path / "a.jsonl") == list(recording.queries)


def test_splits_have_the_sizes_of_the_preset() -> None:
    built = Procedural(preset="scenes").build()
    assert {split: built.size(split) for split in built.splits()} == PRESETS["scenes"].splits


def test_other_options_have_other_fingerprints() -> None:
    parts = [Procedural(), Procedural(), Procedural(seed=1), Procedural(preset="short")]
    fingerprints = [part.build().fingerprint() for part in parts]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


def test_unknown_presets_and_seeds_are_refused() -> None:
    for options in ({"preset": "scene"}, {"seed": -1}):
        with pytest.raises(ValidationError):
            Procedural.model_validate(options)


def test_it_is_a_data_set_part() -> None:
    assert issubclass(Procedural, DatasetPart)
