import pytest
from torch import nn

from amrbench.discovery import load_registry
from amrbench.registry import Registry
from amrbench.slots.losses import LossPart
from amrbench.testing import check_part
from amrbench_plugins.frame_models.parts import DualEncoder, NoMatcher
from tests.core.testing.defects import LOSS_DEFECTS, SaliencyLoss, failure


def loss_with(terms):
    class Bad(LossPart):
        """A loss."""

        use = "bad"
        requires = frozenset({"saliency"})

        def build(self, context):
            return Called(lambda outcome, weight: terms(outcome.tensors["saliency"], weight), self.weight)

    return Bad


class Called(nn.Module):
    def __init__(self, terms, weight):
        super().__init__()
        self.terms, self.weight = terms, weight

    def forward(self, outcome):
        return self.terms(outcome, self.weight)


ALL = load_registry()
INSTALLED = [ALL.find(slot, use) for slot in ALL.slots() for use in ALL.names(slot)]
REGISTRY = Registry.of(SaliencyLoss, DualEncoder, NoMatcher)


@pytest.mark.parametrize("defect", ["none", "sum"])
def test_a_mean_and_a_sum_pass(defect):
    check_part(SaliencyLoss(defect=defect), REGISTRY)


@pytest.mark.parametrize(("defect", "text"), LOSS_DEFECTS, ids=[defect for defect, _ in LOSS_DEFECTS])
def test_a_defect_of_a_loss_is_found(defect, text):
    with pytest.raises(AssertionError) as error:
        check_part(SaliencyLoss(defect=defect), REGISTRY)
    assert str(error.value).startswith(text)


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (lambda x, w: {}, "loss 'bad': it returns no term."),
        (
            lambda x, w: {"two words": x.mean()},
            "loss 'bad': the name 'two words' of a term is not lower-case letters, digits, '.', '_', '-'.",
        ),
        (lambda x, w: {"a": w * x}, "loss 'bad': the term 'a' has shape (4, 14), not () or (N,)."),
        (lambda x, w: {"a": w * x.mean() / 0}, "loss 'bad': the term 'a' is not finite: "),
        (lambda x, w: {"a": x.mean()}, "loss 'bad': doubling `weight` doubles no term."),
        (
            lambda x, w: {"a": w * x.mean(), "b": w**2 * x.mean()},
            "loss 'bad': doubling `weight` neither doubles nor keeps b.",
        ),
        (lambda x, w: {"a": w * x.detach().mean()}, "loss 'bad': the term 'a' carries no gradient."),
        (lambda x, w: {"a": w * (0 * x).mean()}, "loss 'bad': all gradients of 'a' are zero."),
    ],
)
def test_a_wrong_term_is_found(terms, text):
    assert failure(loss_with(terms), DualEncoder, NoMatcher).startswith(text)


def reading(term, views=None):
    """Return a loss that requires nothing of the batch itself."""

    def mean(outcome, weight):
        return {"a": weight * term(outcome)[outcome.batch.audio_mask].mean()}

    class Reading(LossPart):
        """A loss of what it does not require."""

        use = "reading"

        def build(self, context):
            return Called(mean, self.weight)

    Reading.views = views or {}
    return Reading


def test_a_loss_that_reads_a_tensor_that_it_does_not_require_is_found():
    part = reading(lambda outcome: outcome.tensors["saliency"])
    assert failure(part, DualEncoder, NoMatcher) == (
        "loss 'reading': it reads 'saliency' without requiring it; add it to `requires`."
    )


def test_a_loss_may_ask_for_a_tensor_that_it_does_not_require():
    asks = reading(lambda outcome: "saliency" in outcome.tensors and outcome.tensors["saliency"])
    gets = reading(lambda outcome: outcome.tensors.get("saliency"))
    for part in (asks, gets):
        check_part(part(), Registry.of(part, DualEncoder, NoMatcher))


def test_a_loss_that_reads_a_tensor_of_a_view_that_it_does_not_require_is_found():
    views = {"mismatched-text": frozenset({"attention.text"})}
    part = reading(lambda outcome: outcome.views["mismatched-text"]["saliency"], views)
    with pytest.raises(AssertionError) as error:
        check_part(part(), Registry.of(part, *INSTALLED))
    assert str(error.value) == (
        "loss 'reading': it reads 'saliency' of the view 'mismatched-text' without requiring it; add it to "
        "`views`."
    )


def test_a_loss_that_compares_queries_says_so():
    class Contrast(LossPart):
        """A loss whose first query is special."""

        use = "contrast"
        requires = frozenset({"saliency"})
        compares_queries = True

        def build(self, context):
            return First(self.weight)

    check_part(Contrast(), Registry.of(Contrast, DualEncoder, NoMatcher))


class First(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, outcome):
        return {"a": self.weight * outcome.tensors["saliency"][0, 0]}


def test_a_loss_without_a_model_that_provides_its_tensors_says_what_to_pass():
    assert failure(loss_with(None), NoMatcher) == (
        "loss 'bad': it requires saliency, which no model here provides; pass one that does: "
        "check_part(part, registry, models=[...])."
    )
