import pytest

from amrbench.slots.ranking import RankingPart
from amrbench.slots.soups import SoupPart, SoupResult
from tests.core.testing.defects import failure, part_of


@pytest.mark.parametrize(
    ("rank", "text"),
    [
        (
            lambda moments, query: moments[::-1],
            "ranking 'bad': its list is not sorted by score, best first.",
        ),
        (lambda moments, query: moments[:0], "ranking 'bad': it returns no moment of four."),
        (lambda moments, query: moments[:, :2], "ranking 'bad': it returns (4, 2), not (Q, 3)."),
    ],
)
def test_a_defect_of_a_ranking_step_is_found(rank, text):
    assert failure(part_of(RankingPart, rank)) == text


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
    ],
)
def test_a_defect_of_a_soup_is_found(soup, text):
    assert failure(part_of(SoupPart, soup)) == text
