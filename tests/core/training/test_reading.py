"""Read-outs and ranking steps: what they may return, what they see, and how they are fitted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from amrbench.evaluation.result import Fitted
from amrbench.interfaces import ResultError
from amrbench.slots.ranking import RankingPart
from amrbench.training.reading import build_reading, fit_ranking, fit_readouts, propose, rank
from amrbench.types import Candidates, Outputs, Proposals, Query
from tests.small_world.parts import Cut, MeanWidth, OneSpan, Similar

MASK = torch.tensor([[True, True, True, True], [True, True, False, False]])
SALIENCY = torch.tensor([[1.0, 2.0, 4.0, 8.0], [3.0, 5.0, 99.0, 99.0]])
SPANS = torch.tensor([[[0.5, 0.5]], [[0.25, 0.5]]])
SCORES = torch.tensor([[0.5], [0.7]])
QUERY = Query("7", "a dog", "v1", 60.0, ((1.0, 2.0),), {"kind": "early", "answer": 1})


def proposed(result, **tensors):
    return propose(lambda outputs: result, Outputs(tensors, MASK))


# ---------------------------------------------------------------- proposals


def test_without_saliency_proposals_stay_as_they_are():
    own = Proposals(SPANS, SCORES, {"class": SCORES})
    assert proposed(own, spans=SPANS) is own


def test_saliency_gives_evidence_of_every_proposal():
    own = Proposals(SPANS, SCORES, {"class": SCORES})
    evidence = proposed(own, saliency=SALIENCY).evidence
    assert {name: tensor.tolist() for name, tensor in evidence.items()} == {
        "class": SCORES.tolist(),
        "saliency.inside": [[3.0], [3.0]],
        "saliency.outside": [[4.5], [5.0]],
    }


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "it returns None, not a Proposals."),
        (SPANS, "it returns Tensor of shape (2, 1, 2), not a Proposals."),
        (
            Proposals(SPANS[0], SCORES),
            "it returns spans Tensor of shape (1, 2) and scores Tensor of shape (2, 1), not (B, N, 2) and "
            "(B, N) for B = 2.",
        ),
        (
            Proposals(SPANS[:1], SCORES[:1]),
            "it returns spans Tensor of shape (1, 1, 2) and scores Tensor of shape (1, 1), not (B, N, 2) and "
            "(B, N) for B = 2.",
        ),
        (
            Proposals(SPANS[:, 0], SCORES[:, 0]),
            "it returns spans Tensor of shape (2, 2) and scores Tensor of shape (2,), not (B, N, 2) and "
            "(B, N) for B = 2.",
        ),
        (
            Proposals(SPANS, SCORES.tolist()),
            "it returns spans Tensor of shape (2, 1, 2) and scores list [[0.5], [0.699999988079071]], not "
            "(B, N, 2) and (B, N) for B = 2.",
        ),
        (
            Proposals(SPANS, SCORES, {"class": SCORES, "iou": SCORES[:, 0]}),
            "its evidence 'iou' is Tensor of shape (2,), not (B, N) like the scores, (2, 1).",
        ),
        (
            Proposals(SPANS, SCORES, {"iou": None}),
            "its evidence 'iou' is None, not (B, N) like the scores, (2, 1).",
        ),
    ],
)
def test_what_is_no_proposal_is_refused(result, text):
    with pytest.raises(ResultError) as error:
        proposed(result, saliency=SALIENCY)
    assert str(error.value) == text


# ---------------------------------------------------------------- ranking


def candidates(*rows, **evidence):
    return Candidates(
        np.array(rows, np.float32).reshape(-1, 3), {name: np.array(own) for name, own in evidence.items()}
    )


def test_steps_follow_each_other_and_do_not_see_the_truth():
    seen = []

    def step(own, query):
        seen.append(query)
        return own.with_scores(own.moments[:, 2] * -2)

    first = candidates([0, 1, 0.9], [1, 2, 0.1], n=[1, 2])
    last = rank(first, QUERY, [step, step, step])
    assert seen == [Query("7", "a dog", "v1", 60.0, ())] * 3
    assert [query.extra for query in seen] == [{}] * 3, "annotation keys may hold the truth"
    np.testing.assert_allclose(last.moments, [[1, 2, -0.8], [0, 1, -7.2]], rtol=1e-6)
    assert last.evidence["n"].tolist() == [2, 1]
    assert rank(first, QUERY, []) is first


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "it returns None, not a Candidates."),
        (np.zeros((2, 3)), "it returns ndarray of shape (2, 3), not a Candidates."),
        (
            Candidates(np.zeros((2, 2), np.float32)),
            "it returns moments of ndarray of shape (2, 2), not (N, 3).",
        ),
        (Candidates(np.zeros(3, np.float32)), "it returns moments of ndarray of shape (3,), not (N, 3)."),
    ],
)
def test_what_is_no_list_of_candidates_is_refused(result, text):
    with pytest.raises(ResultError) as error:
        rank(candidates([0, 1, 0.5]), QUERY, [lambda own, query: result])
    assert str(error.value) == text


# ---------------------------------------------------------------- fitting


def test_readouts_are_fitted_on_the_widths_by_name():
    outputs = Outputs({"span": SPANS, "score": SCORES, "similarity": SALIENCY}, MASK)
    readouts = fit_readouts([OneSpan(), Similar()], (0.1, 0.3))
    assert list(readouts) == ["span", "second"]
    assert readouts["span"](outputs).spans is SPANS
    assert readouts["second"](outputs).spans[:, 0, 1].tolist() == pytest.approx([0.2, 0.2])


def learning(name):
    """Return a part that learns the mean start of what it is given, and moves the windows by it."""

    class Mean(RankingPart):
        """A step that learns."""

        use = name
        learns = True

        def fit(self, examples):
            return {"mean": float(np.mean([own.moments[0, 0] for own, _ in examples]))}

        def build(self, fitted):
            return lambda own, query: own.with_windows(own.moments[:, :2] - fitted["mean"])

    return Mean


Mean, Other = learning("mean"), learning("other")


def test_steps_that_do_not_learn_need_no_examples():
    assert fit_ranking([Cut()], lambda: pytest.fail("nothing learns")) == {}
    assert fit_ranking([], lambda: pytest.fail("nothing learns")) == {}


def test_each_step_learns_from_what_those_before_it_leave():
    calls = []

    def examples():
        calls.append(1)
        return [(candidates([start, start + 20, 0.5]), QUERY) for start in (-5.0, 15.0)]

    fitted = fit_ranking([Cut(), Mean(), Other()], examples)
    assert fitted == {"mean": {"mean": 7.5}, "other": {"mean": 0.0}}, "the cut start is 0, and then 15"
    assert calls == [1]
    assert fit_ranking([Mean(), Cut()], examples) == {"mean": {"mean": 5.0}}


def test_a_step_sees_the_truth_when_it_learns():
    truth = [(candidates([0, 1, 0.5]), QUERY), (candidates([0, 1, 0.5]), QUERY)]
    assert fit_ranking([MeanWidth()], lambda: truth) == {"mean-width": {"width": 1.0}}


def test_a_step_that_learns_nothing_is_refused():
    class Empty(RankingPart):
        """A step that forgets to return."""

        use = "empty"
        learns = True

        def build(self, fitted):
            raise NotImplementedError

        def fit(self, examples):
            return None

    with pytest.raises(ResultError, match="^fit returns None, not a Mapping.$"):
        fit_ranking([Empty()], lambda: [(candidates([0, 1, 0.5]), QUERY)])


def test_a_reading_is_built_of_what_was_fitted():
    recipe = SimpleNamespace(readout=Similar(), ranking=(Cut(), Mean()))
    fitted = Fitted(readout={"width": 0.25}, ranking={"mean": {"mean": 1.0}})
    reading = build_reading(recipe, fitted)
    assert reading.readout(Outputs({"similarity": SALIENCY}, MASK)).spans[:, 0, 1].tolist() == [0.25, 0.25]
    ranked = rank(candidates([-3, 20, 0.5]), QUERY, reading.ranking)
    assert ranked.moments.tolist() == [[-1, 19, 0.5]]
