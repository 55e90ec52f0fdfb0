import math

import numpy as np
import pytest

from amrbench.errors import RunError
from amrbench_plugins.ranking.proposal_features import FeatureSpace, ScoreScale
from tests.plugins.ranking.lists import drawn, iou_by_hand, listed


def by_hand(candidates, scales):
    """The features of one list, moment by moment."""
    rows, table = candidates.moments.astype(float).tolist(), []
    sources = [int(each) for each in candidates.evidence.get("source", np.zeros(len(rows)))]
    standard = [
        (row[2] - scales[own].mean) / scales[own].deviation for row, own in zip(rows, sources, strict=True)
    ]
    for index, (start, end, _) in enumerate(rows):
        own = [other for other in range(len(rows)) if sources[other] == sources[index]]
        others = [other for other in range(len(rows)) if other != index]
        agreement = [iou_by_hand(rows[index], rows[other]) for other in others]
        elsewhere = [
            iou_by_hand(rows[index], rows[other]) for other in others if sources[other] != sources[index]
        ]
        features = [float(candidates.evidence[name][index]) for name in ("class", "iou")]
        features += [standard[index], standard[index] - max(standard[other] for other in own)]
        features += [math.log(1 + sum(standard[other] > standard[index] for other in own))]
        features += [math.log(max(end - start, 0.5)), max(agreement, default=0)]
        if len(scales) > 1:
            features += [max(elsewhere, default=0), *(float(sources[index] == source) for source in scales)]
        table.append(features)
    return table


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sources", [1, 3])
def test_features_equal_their_plain_twin(seed, sources):
    rng = np.random.default_rng(seed)
    lists = [drawn(rng, count, sources) for count in (9, 1, 5, 12)]
    space = FeatureSpace.of(lists)
    assert space.evidence == ("class", "iou")
    for one in lists:
        features = space.features(one)
        assert features.shape == (len(one), len(space.names))
        np.testing.assert_allclose(features, by_hand(one, space.scales), atol=1e-6)


def test_scores_are_standardised_within_their_source():
    lists = [listed((0, 1, 5), (2, 3, 0.5), (4, 5, 0.1), source=[1, 0, 0]), listed((0, 1, 7), source=[1])]
    scales = FeatureSpace.of(lists).scales
    assert scales.keys() == {0, 1}
    assert scales[0].mean == pytest.approx(0.3)
    assert scales[0].deviation == pytest.approx(0.2)
    assert scales[1] == ScoreScale(6.0, 1.0)


def test_equal_scores_are_not_divided_by_zero():
    assert FeatureSpace.of([listed((0, 1, 0.3), (2, 3, 0.3))]).scales[0].deviation == 1


def test_only_evidence_that_all_lists_have_is_read():
    lists = [listed((0, 1, 0.3), iou=[1], a=[2]), listed((0, 1, 0.3), iou=[1], b=[2])]
    assert FeatureSpace.of(lists).evidence == ("iou",)


def test_names_belong_to_the_columns():
    space = FeatureSpace(("iou",), {0: ScoreScale(0, 1), 2: ScoreScale(0, 1)})
    expected = ["iou", "score", "score minus best", "log rank", "log width", "agreement"]
    assert space.names == [*expected, "agreement of sources", "source 0", "source 2"]


def test_missing_evidence_is_named():
    space = FeatureSpace(("class", "iou"), {0: ScoreScale(0, 1)})
    with pytest.raises(RunError) as error:
        space.features(listed((0, 1, 0.5), a=[1]))
    assert str(error.value) == (
        "ranking 'calibrated': it was fitted with the evidence 'class', 'iou', which these moments lack. Use "
        "the read-out that it was fitted with, or run the recipe again so that it is fitted for this one."
    )


def test_new_sources_are_named():
    space = FeatureSpace((), {0: ScoreScale(0, 1)})
    with pytest.raises(
        RunError, match="^ranking 'calibrated': it was fitted without moments of source 3, wh"
    ):
        space.features(listed((0, 1, 0.5), (0, 1, 0.4), source=[0, 3]))
