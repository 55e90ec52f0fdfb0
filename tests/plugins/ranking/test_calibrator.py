import json

import numpy as np
import pytest
import torch

from amrbench.errors import RunError
from amrbench_plugins.ranking.calibrator import Calibrator, Network, calibrate, calibrator_of
from amrbench_plugins.ranking.proposal_features import FeatureSpace
from tests.plugins.ranking.lists import QUERY, drawn, listed


def made(sources=1, hidden=4):
    """Return a calibrator with random weights."""
    rng = np.random.default_rng(0)
    space = FeatureSpace.of([drawn(rng, 9, sources)])
    features = len(space.names)
    shapes = [(features,), (features,), (hidden, features), (hidden,), (hidden,), ()]
    numbers = [np.asarray(rng.uniform(0.5, 1.5, shape)) for shape in shapes]
    return Calibrator(space, Network(*numbers))


def test_the_network_equals_that_of_torch():
    network, features = made().network, np.random.default_rng(1).normal(size=(5, 7))
    with torch.no_grad():
        x = torch.from_numpy((features - network.means) / network.deviations)
        hidden, bias, output = map(torch.from_numpy, (network.hidden, network.hidden_bias, network.output))
        inner = torch.nn.functional.silu(x @ hidden.T + bias)
        expected = torch.sigmoid(inner @ output + float(network.output_bias)).numpy()
    np.testing.assert_allclose(network(features), expected, rtol=1e-12)


def test_large_numbers_overflow_nowhere():
    found = made().network(np.array([[1e6] * 7, [-1e6] * 7]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("sources", [1, 2])
def test_a_calibrator_survives_json(sources):
    calibrator = made(sources)
    plain = calibrator.plain()
    again = calibrator_of(json.loads(json.dumps(plain)))
    assert again.plain() == plain
    given = drawn(np.random.default_rng(2), 9, sources)
    one, other = (calibrate(given, QUERY, calibrator=each).moments for each in (calibrator, again))
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_moments_are_sorted_by_what_is_expected():
    calibrator, given = made(), drawn(np.random.default_rng(3))
    expected = calibrator.network(calibrator.space.features(given))
    ranked = calibrate(given, QUERY, calibrator=calibrator)
    order = np.argsort(-expected, kind="stable")
    np.testing.assert_allclose(ranked.moments[:, 2], expected[order], rtol=1e-6)
    np.testing.assert_array_equal(ranked.moments[:, :2], given.moments[order, :2])
    np.testing.assert_array_equal(ranked.evidence["iou"], given.evidence["iou"][order])


def test_an_empty_list_needs_no_evidence():
    assert len(calibrate(listed(), QUERY, calibrator=made())) == 0


@pytest.mark.parametrize(
    "change",
    [
        dict.clear,
        lambda plain: plain.pop("hidden"),
        lambda plain: plain.update(evidence=["class"]),
        lambda plain: plain.update(sources=[0, 1]),
        lambda plain: plain.update(hidden=[[1.0, 2.0]]),
        lambda plain: plain.update(hidden="x"),
        lambda plain: plain.update(score_means=None),
    ],
)
def test_what_is_no_calibrator_is_refused(change):
    plain = made().plain()
    change(plain)
    with pytest.raises(RunError) as error:
        calibrator_of(plain)
    assert str(error.value) == (
        "ranking 'calibrated': nothing that it can use was fitted. Run the recipe again so that it is fitted."
    )
