from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import nn

from amrbench.files.tree_file import read_tree, write_tree
from amrbench.training.kept_epochs import CheckpointKeeper
from amrbench.training.log import Epoch


def epoch(number: int, **values: tuple[float, float]) -> Epoch:
    """Return an epoch with the metrics R1@0.7 and R1@0.5 of each read-out."""
    val = {name: dict(zip(("R1@0.7", "R1@0.5"), own, strict=True)) for name, own in values.items()}
    return Epoch(number, {}, val, 0.0, 0.0)


Scores = Sequence[tuple[float, float]]


def new_keeper(readouts: Iterable[str], over: int = 1) -> CheckpointKeeper:
    return CheckpointKeeper(nn.Linear(1, 1, bias=False), list(readouts), ("R1@0.7", "R1@0.5"), over=over)


def keepers_of(over: int, **scores: Scores) -> Iterator[CheckpointKeeper]:
    """Yield a keeper after each of some epochs whose number is their weight, with metrics by read-out."""
    keeper = new_keeper(scores, over)
    for number, values in enumerate(zip(*scores.values(), strict=True), start=1):
        with torch.no_grad():
            keeper.module.weight.fill_(number)
        keeper.update(epoch(number, **dict(zip(scores, values, strict=True))))
        yield keeper


def keeper_of(over: int = 1, **scores: Scores) -> CheckpointKeeper:
    """Return what is kept at the end."""
    return [new_keeper(scores, over), *keepers_of(over, **scores)][-1]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        (((1.0, 9.0), (2.0, 1.0), (2.0, 3.0), (1.0, 10.0)), 3),
        (((1.0, 1.0), (1.0, 1.0)), 1),
        (((0.0, 0.0), (0.0, 0.0)), 1),
        (((5.0, 0.0),), 1),
    ],
)
def test_later_metrics_break_ties_and_of_equal_epochs_the_first_is_kept(scores, best):
    keeper = keeper_of(span=scores)
    assert keeper.best["span"].epoch == best
    assert keeper.best["span"].weights["weight"].item() == best
    assert tuple(keeper.best["span"].val.values()) == scores[best - 1]
    assert keeper.last["weight"].item() == len(scores)


def test_the_best_epoch_of_each_readout_is_kept():
    keeper = keeper_of(
        span=[(3.0, 0.0), (1.0, 0.0), (2.0, 0.0)],
        second=[(1.0, 0.0), (2.0, 1.0), (2.0, 2.0)],
        third=[(0.0, 0.0), (5.0, 0.0), (4.0, 0.0)],
    )
    kept = {name: (own.epoch, own.weights["weight"].item()) for name, own in keeper.best.items()}
    assert kept == {"span": (1, 1.0), "second": (3, 3.0), "third": (2, 2.0)}
    assert keeper.best["second"].val == {"R1@0.7": 2.0, "R1@0.5": 2.0}
    assert keeper.last["weight"].item() == 3


def test_without_an_epoch_the_first_weights_are_the_best():
    keeper = keeper_of(span=[], second=[])
    for kept in keeper.best.values():
        assert (kept.epoch, kept.val) == (0, {})
        assert torch.equal(kept.weights["weight"], keeper.last["weight"])


# ---------------------------------------------------------------- means over epochs


def single(*values: float) -> Scores:
    return [(value, 0.0) for value in values]


def best_of(scores: Scores, over: int) -> int:
    """Return the best epoch from 1, by hand."""
    best, best_score = 0, (-1.0, -1.0)
    for index in range(len(scores)):
        around = scores[max(0, index - over // 2) : index + over // 2 + 1]
        score = tuple(sum(column) / len(around) for column in zip(*around, strict=True))
        if score > best_score:
            best, best_score = index + 1, score
    return best


@pytest.mark.parametrize("over", [1, 3, 5, 9])
@pytest.mark.parametrize("seed", range(40))
def test_after_any_epoch_the_best_is_that_of_the_means_around_each(over, seed):
    """The values are small whole numbers, so that ties are frequent and sums exact."""
    rng = np.random.default_rng(seed)
    span, second = ([(float(a), float(b)) for a, b in rng.integers(0, 4, size=(12, 2))] for _ in range(2))
    for count, keeper in enumerate(keepers_of(over, span=span, second=second), 1):
        for name, scores in (("span", span), ("second", second)):
            expected = best_of(scores[:count], over)
            kept = keeper.best[name]
            assert (kept.epoch, kept.weights["weight"].item()) == (expected, expected)
            assert tuple(kept.val.values()) == scores[expected - 1], "its own metrics, not the means"
            assert keeper.last["weight"].item() == count


def test_one_lucky_epoch_does_not_decide():
    scores = single(10, 40, 10, 28, 30, 29)
    assert [keeper_of(over, span=scores).best["span"].epoch for over in (1, 3)] == [2, 6]


def test_epochs_with_the_same_metrics_in_another_order_are_equal():
    """0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1 if they are added one by one."""
    assert 0.1 + 0.2 + 0.3 > 0.3 + 0.2 + 0.1
    scores = single(0.3, 0.2, 0.1, 0, 0, 0.1, 0.2, 0.3, 0)
    assert keeper_of(3, span=scores).best["span"].epoch == 1
    scores = single(0, 0.3, 0.2, 0.1, 0, 0, 0.1, 0.2, 0.3, 0)
    assert keeper_of(3, span=scores).best["span"].epoch == 3


@pytest.mark.parametrize("over", [1, 3, 5])
def test_weights_are_held_for_half_of_the_epochs_of_a_mean(over):
    for count, keeper in enumerate(keepers_of(over, span=single(*range(12))), 1):
        assert sum(recent.weights is not None for recent in keeper.recent) == min(count, over // 2)
        assert len(keeper.recent) <= over
        assert keeper.neighbours == over // 2


@pytest.mark.parametrize("over", [1, 3, 5])
@pytest.mark.parametrize("stop", range(1, 8))
def test_a_keeper_goes_on_from_a_written_state(tmp_path, over, stop):
    scores = single(3, 1, 2, 2, 5, 1, 4, 3)
    whole = list(keepers_of(over, span=scores))[-1]
    keepers = keepers_of(over, span=scores)
    before = [next(keepers) for _ in range(stop)][-1]
    write_tree(tmp_path / "state", before.state())
    after = new_keeper(["span"], over)
    after.load_state(read_tree(tmp_path / "state"))
    assert after.best["span"].epoch == before.best["span"].epoch
    for number in range(stop + 1, len(scores) + 1):
        with torch.no_grad():
            after.module.weight.fill_(number)
        after.update(epoch(number, span=scores[number - 1]))
    assert after.state() == whole.state()
    assert (after.best, after.last) == (whole.best, whole.last)
