"""The golden cases of QD-DETR for our parts: model and losses with the weights of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amrbench.registry import Registry
from amrbench.slots.blocks import Keys, Tokens
from amrbench.types import BuildContext, Checkpoint, FeatureWidths
from amrbench_plugins import cgdetr, moment_detr, qddetr, ranking, readouts
from amrbench_plugins.cgdetr.reference_weights import reference_names
from amrbench_plugins.moment_detr.cross_attention import WordLayer
from amrbench_plugins.moment_detr.layers import bias_of
from amrbench_plugins.qddetr.reference_weights import load_reference
from tests.oracle import qddetr_cases as cases
from tests.oracle.cgdetr import Inputs, tiled_keys
from tests.plugins.cgdetr.golden import VIEW, Result, batch_of, outcome_of, target_of

REGISTRY = Registry.of(
    *(part for plugin in (moment_detr, cgdetr, qddetr, ranking, readouts) for part in plugin.amrbench_parts())
)
LOSSES = ("span-l1", "span-giou", "foreground", "negative-pairs")


@dataclass(frozen=True)
class Ours:
    """Our QD-DETR and all its losses."""

    model: Any
    losses: nn.ModuleList

    def values(self, attribute: str = "data") -> dict[str, Tensor]:
        """Parameters, or their gradients with "grad", by the reference's names."""
        values: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            sources, value = reference_names(name), getattr(parameter, attribute)
            if value is not None:
                values |= dict(zip(sources, value.chunk(len(sources)), strict=True))
        return values


def option(slot: str, use: str, **options: Any) -> Any:
    """Return a part of the registry with these options."""
    return REGISTRY.find(slot, use).model_validate(options, context=REGISTRY)


def ours(checkpoint: Checkpoint | None = None, *, tiled: bool = True) -> Ours:
    """Our model with the golden weights, and with the tiled pair mask that the golden run had."""
    model: Any = load_reference(checkpoint or cases.checkpoint())
    losses = nn.ModuleList(option("loss", use).build(BuildContext(FeatureWidths(24, 20))) for use in LOSSES)
    if tiled:
        for layer in model.fusion.layers:
            layer.register_forward_pre_hook(_tile)
    return Ours(model, losses.eval())


def _tile(layer: WordLayer, given: tuple[Tokens, Keys, Tensor]) -> tuple[Tokens, Keys, Tensor]:
    """Put the reference's tiling into a layer, for each pass of a recording with itself or with its view."""
    audio, keys, _ = given
    samples = len(_PASS.mask)
    passes = zip(audio.mask.split(samples), keys.tokens.mask.split(samples), strict=True)
    visible = torch.cat([tiled_keys(frames, words, layer.heads) for frames, words in passes])
    return audio, keys, bias_of(visible, audio.features.dtype)


class _Pass:
    """The batch that is encoded now."""

    mask: Tensor


_PASS = _Pass()


def run(model: Any, inputs: Inputs, *, views: tuple[str, ...] = (VIEW,)) -> Result:
    """Encode and decode one batch."""
    batch = batch_of(inputs)
    _PASS.mask = batch.audio_mask
    encoded = model.encode(batch, views)
    return Result(batch, encoded, model.decode(encoded))


def terms(model: Ours, case: str) -> Mapping[str, Tensor]:
    """Return every loss term of a case, weighted."""
    outcome = outcome_of(run(model.model, cases.inputs(case)), target_of(cases.targets(case)))
    values: dict[str, Tensor] = {}
    for loss in model.losses:
        values |= loss(outcome)
    return values
