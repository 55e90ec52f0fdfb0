import torch

from amrbench.types import Outputs, Proposals
from amrbench_plugins.readouts.pooled import read_all

MASK = torch.ones(2, 5, dtype=torch.bool)


def proposals(count, value, **evidence):
    spans = torch.full((2, count, 2), value)
    columns = {name: torch.full((2, count), number) for name, number in evidence.items()}
    return Proposals(spans, torch.full((2, count), value), columns)


def test_proposals_follow_one_another_with_their_evidence():
    one, two = proposals(1, 0.5, a=1.0, b=2.0), proposals(2, 0.25, b=3.0, c=4.0)
    pool = read_all(Outputs({}, MASK), readouts=[lambda outputs: one, lambda outputs: two])
    assert torch.equal(pool.spans, torch.cat([one.spans, two.spans], 1))
    assert pool.scores[0].tolist() == [0.5, 0.25, 0.25]
    expected = {"a": [1, 0, 0], "b": [2, 3, 3], "c": [0, 4, 4], "source": [0, 1, 1]}
    assert {name: column[1].tolist() for name, column in pool.evidence.items()} == expected


def test_every_read_out_sees_the_same_outputs():
    seen, outputs = [], Outputs({}, MASK)

    def watch(given):
        seen.append(given)
        return proposals(1, 0.5)

    read_all(outputs, readouts=[watch, watch])
    assert [given is outputs for given in seen] == [True, True]
