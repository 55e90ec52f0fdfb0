"""The golden cases of CG-DETR for our parts: model and losses with the weights of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from amrbench.registry import Registry
from amrbench.slots.blocks import Keys, Tokens
from amrbench.slots.matcher import Matcher
from amrbench.types import Batch, BuildContext, Encoded, FeatureWidths, Outcome, Target
from amrbench_plugins import cgdetr, moment_detr, ranking, readouts
from amrbench_plugins.cgdetr.reference_weights import Reference, load_reference, reference_names
from amrbench_plugins.moment_detr.fusion import CrossLayer
from amrbench_plugins.moment_detr.layers import bias_of
from tests.oracle import cgdetr_cases as cases
from tests.oracle.cgdetr import Inputs, real_keys, tiled_keys
from tests.oracle.cgdetr_loss import Targets

REGISTRY = Registry.of(
    *(part for plugin in (moment_detr, cgdetr, ranking, readouts) for part in plugin.amrbench_parts())
)
VIEW = "mismatched-text"
LOSSES = ("span-l1", "span-giou", "foreground", "saliency", "orthogonality")


@dataclass(frozen=True)
class Result:
    """The output of our model for one case."""

    batch: Batch
    encoded: Encoded
    decoded: Mapping[str, Tensor]

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return {**self.encoded.tensors, **self.decoded}

    @property
    def view(self) -> Mapping[str, Tensor]:
        return self.encoded.views[VIEW]


@dataclass(frozen=True)
class Ours:
    """Our CG-DETR and all its losses."""

    reference: Reference
    others: nn.ModuleList

    @property
    def model(self) -> Any:
        return self.reference.model

    def modules(self) -> nn.ModuleList:
        return nn.ModuleList([self.reference.model, self.reference.loss, self.others])

    def gradients(self) -> dict[str, Tensor]:
        """Gradients by the reference's names."""
        return {name: value for name, value in self._by_reference("grad").items() if value is not None}

    def values(self) -> dict[str, Tensor]:
        """Parameters by the reference's names."""
        return {name: value.detach() for name, value in self._by_reference("data").items()}

    def _by_reference(self, attribute: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, parameter in self.reference.named_parameters().items():
            sources, value = reference_names(name), getattr(parameter, attribute)
            blocks = [None] * len(sources) if value is None else value.chunk(len(sources))
            values |= dict(zip(sources, blocks, strict=True))
        return values


def option(slot: str, use: str, **options: Any) -> Any:
    """Return a part of the registry with these options."""
    return REGISTRY.find(slot, use).model_validate(options, context=REGISTRY)


def ours(*, tiled: bool = True) -> Ours:
    """Our model with the golden weights, and with the tiled pair mask that the golden run had."""
    reference = load_reference(cases.checkpoint())
    others = nn.ModuleList(option("loss", use).build(BuildContext(FeatureWidths(24, 20))) for use in LOSSES)
    if tiled:
        for layer in cast("Any", reference.model).fusion.layers:
            layer.register_forward_pre_hook(_TILED)
    return Ours(reference, others.eval())


def batch_of(inputs: Inputs) -> Batch:
    """Return the batch of a case; recordings become numbers."""
    names = list(dict.fromkeys(inputs.recordings)) or [""]
    numbers = [names.index(name) for name in inputs.recordings] or [0] * len(inputs.audio)
    return Batch(inputs.audio, inputs.audio_mask, inputs.text, inputs.text_mask, torch.tensor(numbers))


def run(model: Any, inputs: Inputs, *, views: tuple[str, ...] = (VIEW,)) -> Result:
    """Encode and decode one batch."""
    batch = batch_of(inputs)
    _TILED.differs = batch.recording != batch.recording.roll(-1)
    encoded = model.encode(batch, views)
    return Result(batch, encoded, model.decode(encoded))


class _Tiled:
    """Puts the reference's tiling into a layer of the fusion, for a batch alone or followed by its view.

    The reference tiles over the samples of a pass, and its second pass has only the samples whose neighbour
    is of another recording.
    """

    differs: Tensor

    def __call__(self, layer: CrossLayer, given: tuple[Tokens, Keys, Tensor]) -> tuple[Tokens, Keys, Tensor]:
        audio, keys, _ = given
        frames, words, count = audio.mask, keys.tokens.mask, len(self.differs)
        visible = real_keys(frames, words, layer.heads).clone()
        visible[:count] = tiled_keys(frames[:count], words[:count], layer.heads)
        if len(frames) > count and self.differs.any():
            rows = count + self.differs.nonzero()[:, 0]
            visible[rows] = tiled_keys(frames[rows], words[rows], layer.heads)
        return audio, keys, bias_of(visible, audio.features.dtype)


_TILED = _Tiled()


def target_of(targets: Targets) -> Target:
    """Pad the spans of a case."""
    most = max(map(len, targets.spans))
    spans = torch.zeros(len(targets.spans), most, 2)
    mask = torch.zeros(len(targets.spans), most, dtype=torch.bool)
    for row, true in enumerate(targets.spans):
        spans[row, : len(true)], mask[row, : len(true)] = true, True
    return Target(spans, mask, targets.labels > 0, targets.positives, targets.negatives)


def outcome_of(result: Result, target: Target, matcher: Matcher | None = None) -> Outcome:
    """Match queries to spans and collect what the losses read."""
    tensors = result.tensors
    matched = (matcher or option("matcher", "hungarian").build())(tensors, target)
    return Outcome(result.batch, target, tensors, result.encoded.views, matched)


def terms(model: Ours, case: str) -> dict[str, Tensor]:
    """Return every loss term of a case, weighted."""
    outcome = outcome_of(run(model.model, cases.inputs(case)), target_of(cases.targets(case)))
    values: dict[str, Tensor] = {}
    for loss in (*model.others, model.reference.loss):
        values |= loss(outcome)
    return values


def total(values: Mapping[str, Tensor]) -> Tensor:
    """Sum all terms."""
    return torch.stack([term.sum() for term in values.values()]).sum()
