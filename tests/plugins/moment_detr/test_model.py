"""The part `moment-detr`: its options, its messages, and first weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from amrbench.errors import RecipeError
from amrbench.part import budgeted
from amrbench.registry import Registry
from amrbench.slots.blocks import BlockContext, Head, HeadPart, PriorPart, QueryPart, RefinePart
from amrbench_plugins import moment_detr
from amrbench_plugins.moment_detr.prior import Flat
from tests.plugins.moment_detr import small


class Learned(nn.Module):
    """A prior with weights, to see whether they disturb others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, anchors: Tensor, content: Tensor, mask: Tensor) -> Tensor:
        return self.linear(content)[:, None].sigmoid()


class LearnedPrior(PriorPart):
    """A prior with weights."""

    use = "learned"

    def build(self, context: BlockContext) -> nn.Module:
        return Learned(context.width)


class Nothing(nn.Module):
    """Keeps the memory."""

    def forward(self, memory: Any) -> Any:
        return memory


class Keep(RefinePart):
    """Keep the memory."""

    use = "keep"

    def build(self, context: BlockContext) -> nn.Module:
        return Nothing()


class Second(HeadPart):
    """Spans once more."""

    use = "second-spans"

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"spans"})

    def build(self, context: BlockContext) -> Head:
        return Head()


class Curious(QueryPart):
    """Wants what nobody has."""

    use = "curious"
    requires = frozenset({"weather"})
    count: int = budgeted(3, "layers")

    def build(self, context: BlockContext) -> nn.Module:
        return nn.Identity()


WIDER = Registry.of(*moment_detr.amrbench_parts(), LearnedPrior, Keep, Second, Curious)


def refusal(**changed: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        small.part(WIDER, **changed)
    return " | ".join(each["msg"] for each in caught.value.errors())


def test_heads_must_divide_the_width() -> None:
    assert "attention_heads is 3, which does not divide width 16; give a divisor" in refusal(
        attention_heads=3
    )


def test_an_encoder_has_heads_of_its_own() -> None:
    changed = small.part(text_summary={"use": "transformer", "layers": 1, "attention_heads": 5})
    with pytest.raises(
        RecipeError, match=r"model\.text_summary\.encoder: attention_heads 5 does not divide width 16"
    ):
        changed.build(small.Context(small.WIDTHS))


def test_a_width_fits_sine_codes() -> None:
    assert "multiple of 4" in refusal(width=18, attention_heads=3)


def test_add_global_is_refused_before_there_is_a_token() -> None:
    text = refusal(audio_refine=["add-global"])
    assert "audio_refine: 'add-global' needs the global token, which is made later; put it into" in text
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


def test_a_query_that_wants_too_much_is_refused() -> None:
    assert "query: 'curious' needs 'weather', which no earlier part provides." in refusal(query="curious")


def test_more_prompts_than_there_are_cannot_be_used() -> None:
    text = refusal(fusion={"use": "adaptive-cross-attention", "prompts": 2, "prompts_used": 3})
    assert "prompts_used is 3, but there are only 2 prompts." in text


def test_one_name_twice_in_a_list_is_refused() -> None:
    assert "'add-global' stands twice in this list" in refusal(memory_refine=["add-global", "add-global"])


# ---------------------------------------------------------------- first weights


def weights(**changed: Any) -> dict[str, Tensor]:
    return small.model(registry=WIDER, **changed).state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor], *, but: str) -> None:
    shared = [name for name in one if name in other and not name.startswith(but)]
    assert len(shared) > 60
    for name in shared:
        assert one[name].equal(other[name]), name


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"encoder": {"use": "transformer", "layers": 1}}, "encoder."),
        ({"query": {"use": "zeros", "anchors": {"use": "random", "count": 7}}}, "query."),
        ({"decoder": {"use": "dab", "layers": 2, "prior": "learned"}}, "decoder.layers.0.prior"),
        ({"heads": ["foreground", "spans"]}, "heads.saliency"),
        ({"fusion": {"use": "adaptive-cross-attention", "dummies": 5, "prompts": 4}}, "fusion."),
        ({"text_summary": {"use": "transformer", "layers": 2}}, "text_summary.encoder"),
    ],
)
def test_exchanging_a_part_leaves_the_others_alone(changed: dict[str, Any], place: str) -> None:
    same(weights(), weights(**changed), but=place)


def test_dummies_do_not_disturb_their_encoder() -> None:
    changed = weights(fusion={"use": "adaptive-cross-attention", "dummies": 5, "prompts": 4})
    plain = weights()
    names = [name for name in plain if name.startswith("fusion.dummy_encoder")]
    assert len(names) == 26
    assert all(plain[name].equal(changed[name]) for name in names)


def test_seeds_give_other_weights_and_the_same_seed_the_same() -> None:
    one, again, other = (small.model(seed).state_dict() for seed in (0, 0, 1))
    same(one, again, but="-")
    assert not one["encoder.layers.0.attention.qkv.weight"].equal(
        other["encoder.layers.0.attention.qkv.weight"]
    )


def test_layers_of_a_stack_start_apart() -> None:
    found = weights()
    assert not found["encoder.layers.0.feedforward.up.weight"].equal(
        found["encoder.layers.1.feedforward.up.weight"]
    )


def test_a_prior_keeps_the_weights_that_it_draws() -> None:
    found = weights(decoder={"use": "dab", "layers": 2, "prior": "learned"})
    # The library's draw stays below 1 / sqrt(16); Xavier's would reach sqrt(6 / 17).
    for layer in range(2):
        assert float(found[f"decoder.layers.{layer}.prior.linear.weight"].abs().max()) <= 0.25


def test_the_last_correction_starts_without_a_bias() -> None:
    assert not small.model().decoder.correction.last.bias.any()


def test_a_flat_prior_changes_no_logit() -> None:
    prior = Flat().build(None)  # type: ignore[arg-type]
    found = prior(torch.rand(2, 3, 2), torch.rand(2, 3, 8), torch.ones(2, 5, dtype=torch.bool))
    assert found.shape == (1, 1, 1, 1)
    assert not found.any()
