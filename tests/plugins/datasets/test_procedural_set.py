from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from amrbench.files.annotations import read_annotations, write_annotations
from amrbench.slots.data import DatasetPart
from amrbench_plugins.datasets.procedural.presets import PRESETS
from amrbench_plugins.datasets.procedural.scenes import clip
from amrbench_plugins.datasets.procedural_set import Procedural


def test_every_preset_can_be_chosen() -> None:
    assert set(get_args(Procedural.model_fields["preset"].annotation)) == set(PRESETS)


def test_a_recording_is_the_clip_of_the_world(tmp_path: Path) -> None:
    part = Procedural(preset="scenes", seed=3)
    found, made = part.build().recording("test", 5), clip("scenes", "test", 5, 3)
    assert (found.vid, found.rate) == (made.vid, made.rate)
    np.testing.assert_array_equal(found.waveform, made.audio)
    assert [query.qid for query in found.queries] == [row["qid"] for row in made.rows]
    assert [query.extra["kind"] for query in found.queries] == [row["kind"] for row in made.rows]
    assert all(query.windows for query in found.queries)
    write_annotations(tmp_path / "a.jsonl", found.queries)
    assert read_annotations(tmp_path / "a.jsonl") == list(found.queries)


def test_splits_have_the_sizes_of_the_preset() -> None:
    built = Procedural(preset="scenes").build()
    assert {split: built.size(split) for split in built.splits()} == PRESETS["scenes"].splits


def test_fingerprints_tell_worlds_apart() -> None:
    parts = [Procedural(), Procedural(), Procedural(seed=1), Procedural(preset="short")]
    prints = [part.build().fingerprint() for part in parts]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_unknown_presets_and_seeds_are_refused() -> None:
    for options in ({"preset": "scene"}, {"seed": -1}):
        with pytest.raises(ValidationError):
            Procedural.model_validate(options)


def test_it_is_a_data_set_part() -> None:
    assert issubclass(Procedural, DatasetPart)
