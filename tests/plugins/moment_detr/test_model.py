"""The part `moment-detr`: its options, messages and initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from amrbench.part import budgeted
from amrbench.registry import Registry
from amrbench.slots.blocks import BlockContext, Head, HeadPart, PriorPart, QueryPart, RefinePart
from amrbench_plugins import moment_detr
from amrbench_plugins.moment_detr.dropout import ElementDropout, ResidualSum, StochasticDepth
from tests.plugins.moment_detr import small


class LinearPrior(nn.Module):
    """A prior with weights, to test whether they change others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        return self.linear(content)[:, None].sigmoid()


class LearnedPrior(PriorPart):
    """A prior with weights."""

    use = "learned"

    def build(self, context: BlockContext) -> nn.Module:
        return LinearPrior(context.width)


class Keep(RefinePart):
    """Keep the memory."""

    use = "keep"

    def build(self, context: BlockContext) -> nn.Module:
        return nn.Identity()


class EmptyHead(Head, nn.Module):
    """Provides nothing."""


class SecondSpans(HeadPart):
    """Spans again."""

    use = "second-spans"

    @property
    def provides(self) -> Mapping[str, str]:
        return {"spans": "N B Q 2"}

    def build(self, context: BlockContext) -> nn.Module:
        return EmptyHead()


class WeatherQuery(QueryPart):
    """Requires a tensor that no part provides."""

    use = "weather-query"
    requires = frozenset({"weather"})
    count: int = budgeted(3, "layers")

    def build(self, context: BlockContext) -> nn.Module:
        return nn.Identity()


WIDER = Registry.of(*moment_detr.amrbench_parts(), LearnedPrior, Keep, SecondSpans, WeatherQuery)


def refusal(**changed: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        small.part(WIDER, **changed)
    return " | ".join(error["msg"] for error in caught.value.errors())


def test_heads_must_divide_the_width() -> None:
    assert "attention_heads is 3, which does not divide width 16; give a divisor" in refusal(
        attention_heads=3
    )


def test_a_width_fits_sine_codes() -> None:
    assert "multiple of 4" in refusal(width=18, attention_heads=3)


def test_add_global_is_refused_before_there_is_a_token() -> None:
    text = refusal(audio_refine=["add-global"])
    assert "audio_refine: 'add-global' needs the global token, which the fusion makes later; put it" in text
    assert small.part(WIDER, audio_refine=["keep"], memory_refine=["keep", "add-global"])


def test_two_heads_for_one_tensor_are_refused() -> None:
    text = refusal(heads=["spans", "second-spans", "foreground"])
    assert "heads: 'second-spans' and 'spans' both provide 'spans'; keep one." in text


@pytest.mark.parametrize(
    ("heads", "name", "example"),
    [(["foreground"], "spans", "spans"), (["spans", "saliency"], "scores", "foreground")],
)
def test_spans_and_scores_are_needed(heads: list[str], name: str, example: str) -> None:
    assert f"heads: none of them provides '{name}'; add one that does, e.g. '{example}'." in refusal(
        heads=heads
    )


def test_a_query_that_requires_an_unknown_tensor_is_refused() -> None:
    text = refusal(query="weather-query")
    assert "query: 'weather-query' needs 'weather', which no earlier part provides." in text


def test_one_name_twice_in_a_list_is_refused() -> None:
    assert "'add-global' is listed twice" in refusal(memory_refine=["add-global", "add-global"])


def test_the_global_token_needs_an_encoder() -> None:
    text = refusal(encoder="none")
    assert "encoder: with 'none' the global token reads no frame; name another encoder." in text


def test_a_query_that_reads_the_summary_is_refused_without_one() -> None:
    class SummaryQuery(QueryPart):
        """Reads the summary."""

        use = "summary-query"
        requires = frozenset({"summary.text"})

        def build(self, context: BlockContext) -> nn.Module:
            return nn.Identity()

    registry = Registry.of(*moment_detr.amrbench_parts(), SummaryQuery)
    assert small.part(registry, query="summary-query")
    with pytest.raises(ValidationError, match="query: 'summary-query' needs 'summary.text', which no"):
        small.part(registry, query="summary-query", text_summary="none")


# ---------------------------------------------------------------- token types and residual dropout


def test_without_token_types_nothing_is_added() -> None:
    model, batch = small.model(token_types="none"), small.batch()
    assert "token_types" not in model.state_dict()
    assert "token_types" not in dict(model.named_parameters())
    with torch.no_grad():
        plain = model.encode(batch).tensors
        typed = small.model()
        typed.token_types.zero_()
        zeroed = typed.encode(batch).tensors
    assert plain["audio"].equal(zeroed["audio"])
    assert plain["text"].equal(zeroed["text"])


@pytest.mark.parametrize(("kind", "expected"), [("branches", StochasticDepth), ("elements", ElementDropout)])
@pytest.mark.parametrize("fusion", [small.OPTIONS["fusion"], "cross-attention"])
def test_the_kind_of_residual_dropout_reaches_every_layer(
    kind: str, expected: type[ResidualSum], fusion: Any
) -> None:
    model = small.model(residual_dropout=kind, fusion=fusion, dropout=0.25)
    sums = [module for module in model.modules() if isinstance(module, ResidualSum)]
    assert len(sums) == (2 + 2 if fusion != "cross-attention" else 2) + 1 + 2 + 2
    assert {type(residual_sum) for residual_sum in sums} == {expected}
    assert {residual_sum.p for residual_sum in sums} == {0.25}


def test_another_kind_of_residual_dropout_is_refused() -> None:
    assert "'branches' or 'elements'" in refusal(residual_dropout="rows")
    assert "'learned' or 'none'" in refusal(token_types="fixed")


# ---------------------------------------------------------------- initial weights


def weights(**changed: Any) -> dict[str, Tensor]:
    return small.model(registry=WIDER, **changed).state_dict()


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], *, but: str) -> None:
    shared = [name for name in one if name in other and not name.startswith(but)]
    assert len(shared) > 60
    for name in shared:
        assert one[name].equal(other[name]), name


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"encoder": {"use": "transformer", "layers": 1}}, "encoder."),
        ({"query": {"use": "zeros", "anchors": {"use": "random", "count": 7}}}, "query."),
        ({"decoder": {"use": "dab", "layers": 2, "prior": "learned"}}, "decoder.layers.0.prior"),
        ({"heads": ["foreground", "spans"]}, "heads.saliency"),
        ({"fusion": {"use": "adaptive-cross-attention", "dummies": 5, "prompts": 4}}, "fusion."),
        ({"text_summary": {"use": "transformer", "layers": 2}}, "text_summary.encoder"),
        ({"text_summary": "none"}, "text_summary"),
        ({"token_types": "none"}, "token_types"),
        ({"residual_dropout": "elements"}, "-"),
        ({"fusion": "cross-attention"}, "fusion."),
    ],
)
def test_exchanging_a_part_changes_no_other_weights(changed: dict[str, Any], path: str) -> None:
    assert_same(weights(), weights(**changed), but=path)


def test_the_number_of_dummies_does_not_change_their_encoder() -> None:
    changed = weights(fusion={"use": "adaptive-cross-attention", "dummies": 5, "prompts": 4})
    plain = weights()
    names = [name for name in plain if name.startswith("fusion.dummy_encoder")]
    assert len(names) == 26
    assert all(plain[name].equal(changed[name]) for name in names)


def test_weights_depend_on_the_seed_alone() -> None:
    one, again, other = (small.model(seed).state_dict() for seed in (0, 0, 1))
    assert_same(one, again, but="-")
    assert not one["encoder.layers.0.attention.qkv.weight"].equal(
        other["encoder.layers.0.attention.qkv.weight"]
    )


def test_layers_of_a_stack_have_different_weights() -> None:
    initial = weights()
    assert not initial["encoder.layers.0.feedforward.up.weight"].equal(
        initial["encoder.layers.1.feedforward.up.weight"]
    )


def test_a_prior_keeps_its_own_initialisation() -> None:
    initial = weights(decoder={"use": "dab", "layers": 2, "prior": "learned"})
    # torch's initialisation stays below 1 / sqrt(16); Xavier's would reach sqrt(6 / 17).
    for layer in range(2):
        assert float(initial[f"decoder.layers.{layer}.prior.linear.weight"].abs().max()) <= 0.25
