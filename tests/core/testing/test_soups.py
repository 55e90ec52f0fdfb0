import pytest
import torch

from amrbench.slots.soups import SoupPart, SoupResult
from tests.core.testing.defects import failure, part_of


def half(candidates, scorer):
    return {"soup": SoupResult({"weight": candidates[0].best()["weight"]}, ["seed 0"])}


def double(candidates, scorer):
    weights = candidates[0].best()
    return {"soup": SoupResult({**weights, "weight": weights["weight"].double()}, ["seed 0"])}


def strange(candidates, scorer):
    return {"soup": SoupResult(candidates[0].best(), ["seed 9"])}


def overwriting(candidates, scorer):
    candidates[0].best()["weight"].mul_(2)
    return {}


def infinite(candidates, scorer):
    weights = candidates[0].best()
    return {"soup": SoupResult({**weights, "weight": weights["weight"] / 0}, ["seed 0"])}


def described_by_a_tensor(candidates, scorer):
    return {"soup": SoupResult(candidates[0].best(), ["seed 0"], about={"share": torch.ones(1)})}


class Counting:
    calls = 0

    def __call__(self, candidates, scorer):
        self.calls += 1
        weights = candidates[0].best()
        return {"soup": SoupResult({**weights, "weight": weights["weight"] * self.calls}, ["seed 0"])}


@pytest.mark.parametrize(
    ("soup", "text"),
    [
        (half, "soup 'bad', member 'soup': it has ['weight'], not ['count', 'weight']."),
        (
            double,
            "soup 'bad', member 'soup': 'weight' is torch.float64 of (2, 3), not torch.float32 of (2, 3) "
            "as in the candidates.",
        ),
        (strange, "soup 'bad', member 'soup': its ingredients ['seed 9'] are not candidates."),
        (overwriting, "soup 'bad': it writes into the candidates."),
        (infinite, "soup 'bad', member 'soup': 'weight' is not finite."),
        (
            described_by_a_tensor,
            "soup 'bad', member 'soup': its `about` cannot be written as JSON: Object of type Tensor is not "
            "JSON serializable.",
        ),
        (
            Counting(),
            "soup 'bad', member 'soup': the same candidates give other weights the second time. Keep no "
            "state.",
        ),
        (lambda candidates, scorer: None, "soup 'bad': it returns None, not a mapping of soups by name."),
        (lambda candidates, scorer: {"soup": 1}, "soup 'bad', member 'soup': it is int 1, not a SoupResult."),
    ],
)
def test_a_defect_of_a_soup_is_found(soup, text):
    assert failure(part_of(SoupPart, soup)) == text
