import pytest

from amrbench.data.required_splits import FeatureRequest, RequiredSplits, describe_part, refuse_missing_files
from amrbench.errors import DataError
from amrbench.required_files import Published, RequiredFile
from amrbench.slots.data import DatasetPart
from tests.small_world.data import Loudness, Noise
from tests.small_world.runs import request_of


def test_a_part_is_described_by_what_differs_from_its_defaults():
    assert describe_part(Noise()) == "toy"
    assert describe_part(Noise(seed=3, count=20)) == "toy seed=3"


def test_equal_requests_have_equal_keys():
    request = FeatureRequest(Noise(), "train", Loudness())
    assert request.key == FeatureRequest(Noise(count=20), "train", Loudness()).key
    others = [
        FeatureRequest(Noise(seed=1), "train", Loudness()),
        FeatureRequest(Noise(), "val", Loudness()),
        FeatureRequest(Noise(), "train", Loudness(wait=1.0)),
    ]
    assert len({request.key, *(other.key for other in others)}) == 4


def test_the_required_splits_are_those_of_the_stages_and_the_report():
    splits = request_of().splits
    assert isinstance(splits, RequiredSplits)
    assert [(split.dataset.name, split.split) for split in splits.all] == [
        *(("pre", "train"), ("pre", "val"), ("target", "train"), ("target", "val"), ("target", "test"))
    ]
    assert {split.features.use for split in splits.all} == {"one-hot"}, "the stand-in"


class Elsewhere(DatasetPart):
    """A data set whose file is missing."""

    use = "published"

    def build(self):
        raise NotImplementedError

    def required_files(self, split, features):
        return [RequiredFile(f"the file of {split}", "/x", False, Published("Zenodo 1"), "Put it there.")]


def test_all_missing_files_are_listed_once():
    train, val = (FeatureRequest(Elsewhere(), split, Loudness()) for split in ("train", "val"))
    for requests, who, count in (
        ([train], "published train for toy-features", 1),
        ([train, val, train], "the run", 2),
    ):
        with pytest.raises(DataError) as error:
            refuse_missing_files([FeatureRequest(Noise(), "train", Loudness()), *requests])
        first, *lines = str(error.value).splitlines()
        assert first == f"{who} needs files that are missing:"
        assert len(lines) == count
