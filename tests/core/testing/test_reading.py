import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from amrbench.registry import Registry
from amrbench.slots.ranking import RankingPart
from amrbench.slots.readout import ReadoutPart
from amrbench.testing import check_part
from amrbench.types import Candidates, Proposals
from tests.core.testing.defects import failure, part_of
from tests.small_world.parts import Cut, OneSpan, ToyModel

# ---------------------------------------------------------------- ranking


class Fading:
    calls = 0

    def __call__(self, own, query):
        self.calls += 1
        return own.with_scores(own.moments[:, 2] / self.calls)


def overwriting(own, query):
    own.evidence["iou"][:] = 0
    return own


@pytest.mark.parametrize(
    ("rank", "text"),
    [
        (lambda own, query: own.at(range(len(own))[::-1]), "its list is not sorted by score, best first."),
        (lambda own, query: own.at([]), "it returns no moment of four."),
        (lambda own, query: Candidates(own.moments[:, :2]), "its moments are (4, 2), not (N, 3)."),
        (lambda own, query: own.with_windows(own.moments[:, :2] / 0), "a moment is not finite."),
        (lambda own, query: own.with_windows(own.moments[:, 1::-1]), "a moment ends before it starts."),
        (lambda own, query: None, "it returns None, not Candidates."),
        (lambda own, query: own.moments, "it returns ndarray of shape (4, 3), not Candidates."),
        (overwriting, "it writes into the list that it is given. Copy it."),
        (
            lambda own, query: replace(own, evidence={"iou": own.evidence["iou"]}),
            "it loses the evidence class, saliency.inside, saliency.outside, source, which later steps may "
            "read.",
        ),
        (
            lambda own, query: Candidates(own.moments[:2], own.evidence),
            "the evidence 'class' is (4,) for 2 moments.",
        ),
        (
            lambda own, query: own if len(own) else Candidates(np.zeros((1, 3), np.float32), own.evidence),
            "it returns (1, 3) for an empty list, not (0, 3).",
        ),
        (Fading(), "calling it again gives another list. Keep no state."),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_defect_of_a_ranking_step_is_found(rank, text):
    assert failure(part_of(RankingPart, rank)) == f"ranking 'bad': {text}"


def learner(fit_):
    """Return a step that learns in this way."""

    class Bad(RankingPart):
        """A step that learns."""

        use = "bad"
        learns = True
        requires = frozenset({"own"})

        def fit(self, examples):
            return fit_(examples)

        def build(self, fitted):
            return lambda own, query: own

    return Bad


def fitted_with_state(examples, calls=[]):  # noqa: B006
    calls.append(1)
    return {"calls": len(calls)}


def changing_examples(examples):
    examples[0][0].moments[:] = 0
    return {}


def drawing_with_torch(examples):
    return {"x": int(torch.rand(1) * 0)}


def drawing_with_numpy(examples):
    return {"x": int(np.random.rand() * 0)}  # noqa: NPY002


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (
            fitted_with_state,
            "fitting it again gives something else. Draw from a generator with a fixed seed.",
        ),
        (changing_examples, "`fit` writes into the examples. Change a copy."),
        (drawing_with_torch, "`fit` draws from the global random state. Use a generator of its own."),
        (drawing_with_numpy, "`fit` draws from the global random state. Use a generator of its own."),
        (lambda examples: None, "`fit` returns None, not a mapping."),
        (
            lambda examples: {"x": np.float32(1)},
            "what it fits cannot be written as JSON: Object of type float32 is not JSON serializable.",
        ),
        (
            lambda examples: {"x": (1, 2)},
            "what it fits is not the same after JSON. Use text, numbers, lists, and mappings with text "
            "as keys.",
        ),
    ],
)
def test_a_defect_of_what_a_step_learns_is_found(fit, text):
    assert failure(learner(fit)) == f"ranking 'bad': {text}"


def test_what_a_step_learns_is_finite():
    text = failure(learner(lambda examples: {"x": float("inf")}))
    assert text.startswith("ranking 'bad': what it fits cannot be written as JSON: Out of range float values")


def test_a_step_learns_from_its_evidence_and_the_truth():
    seen = []

    def fit(examples):
        seen.extend(examples)
        return {"x": [1.0]}

    part = learner(fit)()
    check_part(part, Registry.of(type(part)))
    assert {"own", "class", "source"} <= seen[0][0].evidence.keys()
    assert all(query.windows for _, query in seen)
    assert len(seen) >= 24


def test_a_right_step_passes():
    check_part(Cut(), Registry.of(Cut))


# ---------------------------------------------------------------- read-outs


def reader(change, **declared):
    """Return a read-out of the span, with a change of its proposals."""

    class Bad(ReadoutPart):
        """A read-out."""

        use = "bad"
        requires = frozenset({"span", "score", "similarity"})
        evidence = declared

        def build(self, fitted):
            def read(outputs):
                tensors = outputs.tensors
                plain = Proposals(tensors["span"], tensors["score"])
                return change(plain, outputs)

            return read

    return Bad


def scored(score):
    """Return a read-out with a score for each query, made of (outputs)."""
    return reader(lambda plain, outputs: replace(plain, scores=score(outputs).view_as(plain.scores)))


def masked(outputs):
    """Return the similarity (B, T), 0 in padding."""
    return outputs.tensors["similarity"].masked_fill(~outputs.mask, 0)


def writing(plain, outputs):
    outputs.tensors["span"].mul_(1.5)
    return plain


STATE = random.Random(0)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (reader(lambda plain, outputs: None), "it returns None, not a Proposals."),
        (
            reader(lambda plain, outputs: replace(plain, scores=plain.scores[:2])),
            "it returns spans Tensor of shape (4, 1, 2) and scores Tensor of shape (2, 1), not (B, N, 2) and "
            "(B, N) for B = 4.",
        ),
        (reader(writing), "it writes into outputs.tensors.span, which it is given. Change a copy (clone)."),
        (
            reader(lambda plain, outputs: replace(plain, spans=plain.spans / 0)),
            "a span is not finite, which it must be for any score.",
        ),
        (
            reader(lambda plain, outputs: replace(plain, spans=-plain.spans)),
            "a span has a negative width.",
        ),
        (
            scored(lambda outputs: outputs.tensors["score"] * torch.nan),
            "a score is neither finite nor -inf.",
        ),
        (
            scored(lambda outputs: outputs.tensors["score"].abs() * torch.inf),
            "a score is neither finite nor -inf.",
        ),
        (
            scored(lambda outputs: -outputs.tensors["score"].abs() * torch.inf),
            "it proposes no moment for a query.",
        ),
        (
            reader(lambda plain, outputs: plain, iou="similarity", other="unknown"),
            "it does not give the evidence 'iou'.",
        ),
        (
            reader(lambda plain, outputs: replace(plain, evidence={"iou": plain.scores[:, 0]})),
            "its evidence 'iou' is Tensor of shape (4,), not (B, N) like the scores, (4, 1).",
        ),
        (
            reader(lambda plain, outputs: replace(plain, evidence={"iou": plain.scores / 0})),
            "the evidence 'iou' is not finite.",
        ),
        (
            scored(lambda outputs: outputs.tensors["score"] + STATE.random()),
            "calling it again changes the scores. Keep no state.",
        ),
        (
            scored(lambda outputs: masked(outputs).mean(1)),
            "other numbers in the padding, or more of it, change the scores. Leave padding out of sums, "
            "means, maxima and attention: use the mask.",
        ),
        (
            scored(lambda outputs: outputs.tensors["similarity"].amax(1)),
            "other numbers in the padding, or more of it, change the scores. Leave padding out of sums, "
            "means, maxima and attention: use the mask.",
        ),
        (
            scored(lambda outputs: masked(outputs).sum(1) * torch.arange(len(outputs.mask))),
            "the order of the queries changes the scores. Compute each sample of the batch from that sample "
            "alone.",
        ),
        (
            scored(lambda outputs: masked(outputs).sum(1) - masked(outputs).sum()),
            "the rest of the batch changes the scores. Compute each sample of the batch from that sample "
            "alone.",
        ),
    ],
)
def test_a_defect_of_a_readout_is_found(part, text):
    assert failure(part, ToyModel) == f"readout 'bad': {text}"


def test_a_readout_that_reads_a_tensor_that_it_does_not_require_is_found():
    part = reader(lambda plain, outputs: plain)
    part.requires = frozenset({"span"})
    assert failure(part, ToyModel) == (
        "readout 'bad': it reads 'score' without requiring it; add it to `requires`."
    )


def test_a_readout_needs_a_model():
    assert failure(OneSpan).startswith(
        "readout 'span': it requires score, span, which no model here provides"
    )


def test_what_a_readout_fits_has_to_be_plain():
    class Bad(ReadoutPart):
        """A read-out."""

        use = "bad"

        def fit(self, widths):
            return {"widths": torch.tensor(widths).tolist() and object}

        def build(self, fitted):
            return lambda outputs: None

    assert failure(Bad, ToyModel) == (
        "readout 'bad': what it fits cannot be written as JSON: Object of type type is not JSON serializable."
    )


def test_a_right_readout_passes():
    check_part(OneSpan(), Registry.of(OneSpan, ToyModel))
